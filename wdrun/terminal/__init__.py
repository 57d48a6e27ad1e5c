"""What a person sees on stderr while runs train."""
