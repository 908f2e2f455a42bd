"""Owns how much may be under way at an engine that takes whole inputs. Knows no order: the engine
has its own.

An account that has more than it leaves free waits for what it has: as serving/shares.py has it, but
that a request is never too large for an empty place.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.errors import QueueFull
from serving.turn_times import TurnTimes
from serving.turns import QueueRules


class Backlog:
    """Inputs under way, bounded in number and in tokens. Belongs to one event loop."""

    def __init__(self, rules: QueueRules) -> None:
        self._rules = rules
        self._inputs: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()
        self._times = TurnTimes()

    @contextmanager
    def admitted(self, num_inputs: int, account: str = "") -> Iterator[Callable[[int], None]]:
        """For as long as they are under way. Gives what is told how many tokens they have, once
        that is known. Raises QueueFull where those before are too many.
        """
        self._check(account)
        num_told = 0

        def tell(num_tokens: int) -> None:
            nonlocal num_told
            num_told += num_tokens
            self._tokens[account] += num_tokens

        self._inputs[account] += num_inputs
        began_at = time.monotonic()
        try:
            yield tell
            # What was refused or given up tells nothing of the engine's speed.
            self._times.add(time.monotonic() - began_at)
        finally:
            self._inputs[account] -= num_inputs
            self._tokens[account] -= num_told
            if not self._inputs[account]:
                del self._inputs[account], self._tokens[account]

    def _check(self, account: str) -> None:
        num_inputs, num_tokens = self._inputs.total(), self._tokens.total()
        own_inputs = self._inputs[account] if account else 0
        own_tokens = self._tokens[account] if account else 0
        is_crowded = _is_full(self._rules.max_waiting, num_inputs, own_inputs)
        if is_crowded or _is_full(self._rules.max_tokens, num_tokens, own_tokens):
            wait_s = self._times.until(1, 1)
            whose = f", {own_inputs} inputs and {own_tokens} tokens of them this key's"
            raise QueueFull(
                f"the server has as much work as it takes: {num_inputs} inputs with {num_tokens}"
                f" tokens are under way{whose if account else ''}; try again in {wait_s:.0f} s",
                wait_s,
            )


def _is_full(limit: int | None, amount: int, own: int) -> bool:
    return limit is not None and (amount > limit or own > limit - amount)
