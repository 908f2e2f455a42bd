"""Finds the end of a text that may be the beginning of something longer."""


def partial_length(text: str, at: int, marker: str) -> int:
    """How many characters at the end of `text`, none before `at`, begin the marker without being
    all of it.
    """
    longest = min(len(marker) - 1, len(text) - at)
    for length in range(longest, 0, -1):
        if text.endswith(marker[:length]):
            return length
    return 0
