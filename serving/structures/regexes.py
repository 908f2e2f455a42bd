"""Owns what a regular expression may be before anything compiles it. Knows no schema.

Counted repetitions multiply where they nest: each copy is a state of an automaton.
"""

import re

MAX_PATTERN_CHARACTERS = 8192
MAX_STATES = 20_000
# Possessive: what was read once is not read again from every character on.
_PART = re.compile(
    r"\\[pPxuU]\{[^}]*+\}|\\.|\[\^?\]?(?:\\.|\[:\w++:\]|[^\]\\])*+\]|\{[0-9, ]*+\}|.",
    re.DOTALL,
)
_COUNTS = re.compile(r"\{\s*([0-9]{1,9})\s*(,?)\s*([0-9]{0,9})\s*\}")
# Without Unicode, a dot is any byte: no text, and in the end any token.
_BYTES_FLAG = re.compile(r"\(\?[a-zA-Z]*-[a-zA-Z]*u")
# Its comments may hold anything.
_VERBOSE = re.compile(r"\(\?[a-zA-Z]*x")


def pattern_fault(pattern: str) -> str | None:
    """Why the pattern is refused unread, in one line."""
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        return f"has {len(pattern)} characters; allowed are at most {MAX_PATTERN_CHARACTERS}"
    if _BYTES_FLAG.search(pattern):
        return "turns Unicode off with the flag -u, which is not supported"
    size = _size(pattern)
    if size is None:
        return "has a [ that nothing closes"
    if size > MAX_STATES:
        return f"repeats too much: written out it is longer than {MAX_STATES} characters"
    return None


def _size(pattern: str) -> int | None:
    """About how long the pattern is with counted repetitions written out; None where a class has no
    end, which is read to the pattern's own: nothing is to be looked for behind it.
    """
    totals, last = [0], 0
    for match in _PART.finditer(pattern):
        part = match.group()
        if part == "[" and not _VERBOSE.search(pattern):
            return None
        if part == "(":
            totals.append(0)
            last = 0
        elif part == ")" and len(totals) > 1:
            last = totals.pop()
            totals[-1] += last
        elif len(part) > 2 and part[0] == "{":
            grown = last * (_repeats(part) - 1)
            totals[-1] += grown
            last += grown
        elif part not in "*+?|":
            last = 1
            totals[-1] += 1
        if totals[-1] > MAX_STATES:
            break
    return sum(totals)


def _repeats(part: str) -> int:
    """The larger count of a repetition; what is none counts as one."""
    counts = _COUNTS.fullmatch(part)
    if counts is None:
        return MAX_STATES if len(part) > 9 else 1
    return max(int(counts[1]), int(counts[3] or 0), 1)
