"""Owns the search for stop strings in a growing text, also across token and chunk borders."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scanned:
    """`text` may go out now. `stop` follows it, and all after that is cut; None: none was found."""

    text: str
    stop: str | None = None


class StopScanner:
    """Holds back only what could still become a stop string. Linear in the text's length.

    Of several stops, the one that is complete first ends the text, wherever chunks are cut.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        if not all(stops):
            raise ValueError("a stop string must not be empty")
        self._stops = stops
        self._held = ""

    def feed(self, text: str) -> Scanned:
        if not self._stops:
            return Scanned(text)
        self._held += text
        ends = [at + len(stop) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if ends:
            return self._cut(self._held[: min(ends)])
        return Scanned(self._take(len(self._held) - self._num_undecided()))

    def flush(self) -> str:
        """What was held back, once the end came without a stop string."""
        return self._take(len(self._held))

    def _cut(self, complete: str) -> Scanned:
        """A stop may end with another one, which began later."""
        found = {at: stop for stop in self._stops if (at := complete.find(stop)) >= 0}
        start = min(found)
        return Scanned(self._take(start), found[start])

    def _take(self, count: int) -> str:
        text, self._held = self._held[:count], self._held[count:]
        return text

    def _num_undecided(self) -> int:
        """The longest end of the text that begins a stop string."""
        longest = max(len(stop) for stop in self._stops) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0
