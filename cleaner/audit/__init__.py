"""The audit: a blind sample of a manifest, and what the verdicts on it mean for the whole set."""
