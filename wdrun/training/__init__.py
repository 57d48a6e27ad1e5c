"""One Run -> its epochs. No disk and no words of a config in here."""
