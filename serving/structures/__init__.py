"""What an answer must match: checked, and made into a grammar, the same for every engine."""
