"""Owns how much may be under way at an engine that takes whole inputs. Knows no order: the engine
has its own.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.errors import QueueFull
from serving.turn_times import TurnTimes
from serving.turns import QueueRules


class Backlog:
    """Inputs under way, bounded in number and in tokens. Belongs to one event loop."""

    def __init__(self, rules: QueueRules) -> None:
        self._rules = rules
        self._num_inputs = 0
        self._num_tokens = 0
        self._times = TurnTimes()

    @contextmanager
    def admitted(self, num_inputs: int) -> Iterator[Callable[[int], None]]:
        """For as long as they are under way. Gives what is told how many tokens they have, once
        that is known. Raises QueueFull where those before are too many.
        """
        self._check()
        num_told = 0

        def tell(num_tokens: int) -> None:
            nonlocal num_told
            num_told += num_tokens
            self._num_tokens += num_tokens

        self._num_inputs += num_inputs
        began_at = time.monotonic()
        try:
            yield tell
            # What was refused or given up tells nothing of the engine's speed.
            self._times.add(time.monotonic() - began_at)
        finally:
            self._num_inputs -= num_inputs
            self._num_tokens -= num_told

    def _check(self) -> None:
        rules = self._rules
        is_crowded = rules.max_waiting is not None and self._num_inputs > rules.max_waiting
        is_long = rules.max_tokens is not None and self._num_tokens > rules.max_tokens
        if is_crowded or is_long:
            wait_s = self._times.until(1, 1)
            raise QueueFull(
                f"the server has as much work as it takes: {self._num_inputs} inputs with"
                f" {self._num_tokens} tokens are under way; try again in {wait_s:.0f} s",
                wait_s,
            )
