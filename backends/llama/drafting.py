"""Owns the guess at what comes next: what followed the same ids earlier in the same sequence.

Prompt lookup decoding: no second model. A guess costs a wider step, so that its length follows how
the last ones fared, and a sequence that keeps failing pauses, each time for longer.
"""

from collections.abc import Sequence

NGRAM = 3
LONGEST = 16
_FIRST_LENGTH = 4
_LONGEST_PAUSE = 256


class Drafter:
    """Follows one sequence. Call `propose` for each decode, then `learn` what came of it."""

    def __init__(self) -> None:
        self._ends: dict[tuple[int, ...], int] = {}
        self._num_indexed = 0
        self._length = _FIRST_LENGTH
        self._num_failures = 0
        self._pause = 0

    def propose(self, token_ids: Sequence[int], limit: int) -> tuple[int, ...]:
        """At most `limit` ids that may follow `token_ids`; empty where nothing speaks for any."""
        if self._pause:
            self._pause -= 1
            return ()
        start = self._find(token_ids)
        if start is None:
            return ()
        return tuple(token_ids[start : start + min(self._length, limit)])

    def learn(self, num_drafted: int, num_right: int) -> None:
        """`num_right` of the ids drafted last were what the model chose."""
        if num_right == num_drafted:
            self._length = min(2 * self._length, LONGEST)
        else:
            self._length = max(num_right, 1) + 1
        if 2 * num_right >= num_drafted:
            self._num_failures = 0
        else:
            self._num_failures += 1
            self._pause = min(2**self._num_failures, _LONGEST_PAUSE)

    def _find(self, token_ids: Sequence[int]) -> int | None:
        """Where the ids that followed the last n-gram begin; indexes what is new before it."""
        for end in range(max(self._num_indexed, NGRAM), len(token_ids)):
            self._ends[tuple(token_ids[end - NGRAM : end])] = end
        self._num_indexed = max(self._num_indexed, len(token_ids))
        return self._ends.get(tuple(token_ids[-NGRAM:]))
