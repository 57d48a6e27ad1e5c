"""Words -> a Run: every value known, typed and in range. No torch in here."""
