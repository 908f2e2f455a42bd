"""Owns how long turns at the engine took of late. Pure."""

_WEIGHT_OF_NEWEST = 0.1
_FIRST_GUESS_S = 1.0
_SHORTEST_S, _LONGEST_S = 1.0, 600.0


class TurnTimes:
    """An average that follows what is measured."""

    def __init__(self) -> None:
        self._mean_s: float | None = None

    def add(self, seconds: float) -> None:
        mean = seconds if self._mean_s is None else self._mean_s
        self._mean_s = mean + _WEIGHT_OF_NEWEST * (seconds - mean)

    def until(self, num_turns: int, num_at_once: int) -> float:
        """When so many more will have ended, in seconds: 1 to 600."""
        mean_s = _FIRST_GUESS_S if self._mean_s is None else self._mean_s
        return min(max(mean_s * num_turns / num_at_once, _SHORTEST_S), _LONGEST_S)
