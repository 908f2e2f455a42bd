"""The soak: a crowd of good and bad clients at one server for long, and what is left of it."""
