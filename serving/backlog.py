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
        that is known, before the engine has them. Both raise QueueFull where those before are too
        many.
        """
        self._check_inputs(account)
        num_inputs = _counted(num_inputs, account, self._rules.max_waiting)
        num_told = 0

        def tell(num_tokens: int) -> None:
            nonlocal num_told
            # Others may have told theirs since.
            self._check_tokens(account)
            num_told = _counted(num_tokens, account, self._rules.max_tokens)
            self._tokens[account] += num_told

        self._check_tokens(account)
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

    def _check_inputs(self, account: str) -> None:
        self._check(self._inputs, account, self._rules.max_waiting, "inputs")

    def _check_tokens(self, account: str) -> None:
        self._check(self._tokens, account, self._rules.max_tokens, "tokens")

    def _check(self, amounts: Counter[str], account: str, limit: int | None, what: str) -> None:
        if limit is None:
            return
        total, own = amounts.total(), amounts[account] if account else 0
        if total > limit or own > limit - total:
            wait_s = self._times.until(1, 1)
            whose = f", {own} of them this key's" if account else ""
            raise QueueFull(
                f"the server has as much work as it takes: {total} {what} are under way{whose};"
                f" try again in {wait_s:.0f} s",
                wait_s,
            )


def _counted(amount: int, account: str, limit: int | None) -> int:
    """One request of a key must leave a place, however large it is."""
    return amount if not account or limit is None else min(amount, max(limit // 2, 1))
