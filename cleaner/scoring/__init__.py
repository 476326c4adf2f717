"""Arrays in, arrays out: every score and rule. No torch, no files."""
