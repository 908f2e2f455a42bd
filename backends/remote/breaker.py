"""Owns whether requests may go to one server, after how it did of late. Knows no server.

The count and the three states are purgatory's. That lets any number through when half-open, takes
whichever outcome comes next for the probe's, and asks the wall clock; so here it is told of
outcomes alone: one probe passes at a time, its own outcome decides, a request that was given up
decides nothing, and the clock is passed in. A probe that takes longer than the breaker stays open
gives its place to another: whoever asks for a long answer must not keep all others away.
"""

from collections.abc import Callable
from enum import Enum, auto

from purgatory.domain.messages.events import ContextChanged
from purgatory.domain.model import CLOSED, HALF_OPENED, OPENED, Context, HalfOpenedState

from backends.upstream import BreakerState
from core.upstreams import BreakerRules

_STATES = {
    CLOSED: BreakerState.CLOSED,
    OPENED: BreakerState.OPEN,
    HALF_OPENED: BreakerState.HALF_OPEN,
}


class _Failure(Exception):
    """What purgatory is told of a failure: that there was one."""


class _Phase(Enum):
    PROBE = auto()
    ORDINARY = auto()
    SETTLED = auto()


class Permit:
    """One request that passed the breaker. The end that is told first counts, none after it."""

    def __init__(self, breaker: "Breaker", *, is_probe: bool) -> None:
        self._breaker = breaker
        self._phase = _Phase.PROBE if is_probe else _Phase.ORDINARY

    def begun(self) -> None:
        """Its answer began well: enough for a probe, so that no long answer holds up others. How it
        goes on counts as that of any request.
        """
        if self._phase is _Phase.PROBE:
            self._phase = _Phase.ORDINARY
            self._breaker.end_probe(self, is_good=True)

    def succeeded(self) -> None:
        self._settle(is_good=True)

    def failed(self) -> None:
        self._settle(is_good=False)

    def abandoned(self) -> None:
        """Who asked gave it up: neither a success nor a failure."""
        self._settle(is_good=None)

    def _settle(self, *, is_good: bool | None) -> None:
        phase, self._phase = self._phase, _Phase.SETTLED
        if phase is _Phase.PROBE:
            self._breaker.end_probe(self, is_good=is_good)
        elif phase is _Phase.ORDINARY and is_good is not None:
            self._breaker.count(is_good=is_good)


class Breaker:
    """Closed, open or half-open. `clock` is in seconds and never goes back; `on_change` is called
    with each state that it goes to. Belongs to one event loop.
    """

    def __init__(
        self,
        name: str,
        rules: BreakerRules,
        clock: Callable[[], float],
        on_change: Callable[[BreakerState], None],
    ) -> None:
        self._context = Context(name, rules.num_failures, rules.open_s)
        self._open_s = rules.open_s
        self._clock = clock
        self._on_change = on_change
        self._opened_at = 0.0
        self._probe: Permit | None = None
        self._probe_began_at = 0.0

    @property
    def state(self) -> BreakerState:
        """HALF_OPEN from the moment on at which a probe may pass."""
        state = _STATES[self._context.state]
        if state is BreakerState.OPEN and self._left_s <= 0:
            return BreakerState.HALF_OPEN
        return state

    @property
    def opened_at(self) -> float:
        """When it opened last, by its clock; 0 where it never did."""
        return self._opened_at

    @property
    def ready_in_s(self) -> float | None:
        """After what time a request may pass, 0 for now. None while a probe is under way: its
        outcome decides.
        """
        if self._has_probe:
            return None
        return self._left_s if self.state is BreakerState.OPEN else 0.0

    def admit(self) -> Permit | None:
        """Lets a request pass, or does not."""
        state = self.state
        if state is BreakerState.OPEN or self._has_probe:
            return None
        if state is BreakerState.CLOSED:
            return Permit(self, is_probe=False)
        if self._context.state == OPENED:
            self._context.set_state(HalfOpenedState())
            self._hear()
        self._probe = Permit(self, is_probe=True)
        self._probe_began_at = self._clock()
        return self._probe

    def end_probe(self, probe: Permit, *, is_good: bool | None) -> None:
        """For Permit. None frees the probe's place and tells nothing of the server. One that has
        lost its place counts as any request.
        """
        if probe is not self._probe:
            if is_good is not None:
                self.count(is_good=is_good)
            return
        self._probe = None
        if is_good is not None:
            self._report(is_good=is_good)

    def count(self, *, is_good: bool) -> None:
        """For Permit. What passed before it opened tells how the server was, not how it is."""
        if self._context.state == CLOSED:
            self._report(is_good=is_good)

    @property
    def _has_probe(self) -> bool:
        age_s = self._clock() - self._probe_began_at
        return self._probe is not None and age_s < self._open_s

    @property
    def _left_s(self) -> float:
        return self._opened_at + self._open_s - self._clock()

    def _report(self, *, is_good: bool) -> None:
        if is_good:
            self._context.handle_end_request()
        else:
            self._context.handle_exception(_Failure())
        if self._context.messages:
            self._hear()

    def _hear(self) -> None:
        # Purgatory's list of what happened grows until it is emptied.
        messages, self._context.messages = self._context.messages, []
        for message in messages:
            if isinstance(message, ContextChanged):
                state = _STATES[message.state]
                if state is BreakerState.OPEN:
                    self._opened_at = self._clock()
                self._on_change(state)
