"""Owns the one error of the set-up."""


class SetupError(Exception):
    """The set-up can't go on. The message is one line: what is wrong, and the remedy."""
