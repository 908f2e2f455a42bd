"""Owns when an engine that died is loaded again, and when no longer. Loads nothing."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartRules:
    """`max_restarts` in a row; a pause before each, from `first_delay_s` doubling to
    `longest_delay_s`. An engine that was ready for as long as the longest pause begins a new row.

    `step_timeout_s` is how long an engine with work may go without a step before it counts as
    dead; None: for ever.
    """

    max_restarts: int = 0
    first_delay_s: float = 1.0
    longest_delay_s: float = 60.0
    step_timeout_s: float | None = None


class Restarts:
    """The restarts of one engine."""

    def __init__(self, rules: RestartRules) -> None:
        self._rules = rules
        self.num_in_row = 0

    def forget_row(self, ready_s: float) -> None:
        """The engine was ready for so long before it died."""
        if ready_s >= self._rules.longest_delay_s:
            self.num_in_row = 0

    def next_delay(self) -> float | None:
        """How long to wait before the next restart, which counts from now on; None: give up.

        Half of the pause is chance: what failed for all engines of a site must not come back for
        all at once.
        """
        if self.num_in_row >= self._rules.max_restarts:
            return None
        longest = self._rules.longest_delay_s
        # The exponent is bounded, since a float is.
        delay_s = min(self._rules.first_delay_s * 2.0 ** min(self.num_in_row, 60), longest)
        self.num_in_row += 1
        return delay_s * random.uniform(0.5, 1)
