"""Owns what each key has used of its limits, in memory. Event loop only; knows no HTTP."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from api.access.windows import Window
from core.access import Account
from core.errors import LimitReached

_MINUTE_S, _DAY_S = 60, 24 * 60 * 60
# Nobody knows when one of a key's requests under way will end.
_WHEN_ONE_MAY_HAVE_ENDED_S = 1.0


@dataclass(frozen=True, slots=True)
class Standing:
    """What is left of one limit, and in how many seconds all of it would be there again."""

    limit: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class AccountStanding:
    """None where the key has no such limit. Of the two limits of tokens: that of which less is
    left.
    """

    requests: Standing | None
    tokens: Standing | None


class _Usage:
    """What one key has used."""

    def __init__(self) -> None:
        self.requests = Window(_MINUTE_S)
        self.tokens = Window(_MINUTE_S)
        self.tokens_of_day = Window(_DAY_S)
        self.num_running = 0


class Visit:
    """One request of a key while it is under way."""

    def __init__(self, usage: _Usage) -> None:
        self._usage: _Usage | None = usage
        usage.num_running += 1

    def end(self) -> None:
        """The first call counts."""
        if self._usage is not None:
            self._usage.num_running -= 1
            self._usage = None


class Allowances:
    """By the names of accounts. Limits come with each account, so that they can be changed while
    what was used stays. `clock` is in seconds and never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._usages: dict[str, _Usage] = {}

    def begin(self, account: Account) -> Visit:
        """Counts a request. Raises LimitReached, and counts nothing then."""
        usage, limits, now = self._usage(account), account.limits, self._clock()
        for window, limit, what in (
            (usage.requests, limits.requests_per_minute, "requests a minute"),
            (usage.tokens, limits.tokens_per_minute, "tokens a minute"),
            (usage.tokens_of_day, limits.tokens_per_day, "tokens a day"),
        ):
            if limit is not None and window.used(now) >= limit:
                raise _reached(limit, what, window.wait_s(limit, now))
        at_once = limits.concurrent_requests
        if at_once is not None and usage.num_running >= at_once:
            raise _reached(at_once, "requests at the same time", _WHEN_ONE_MAY_HAVE_ENDED_S)
        usage.requests.add(1, now)
        return Visit(usage)

    def hold(self, account: Account) -> Visit:
        """For what goes on after its request was replied to: it is under way until it ends."""
        return Visit(self._usage(account))

    def charge(self, name: str, num_tokens: int) -> None:
        """Counts tokens of an answer that has ended. A key that is gone is charged nothing."""
        if (usage := self._usages.get(name)) and num_tokens:
            now = self._clock()
            usage.tokens.add(num_tokens, now)
            usage.tokens_of_day.add(num_tokens, now)

    def standing(self, account: Account) -> AccountStanding:
        usage, limits, now = self._usage(account), account.limits, self._clock()
        of_tokens = [
            each
            for each in (
                _standing(usage.tokens, limits.tokens_per_minute, now),
                _standing(usage.tokens_of_day, limits.tokens_per_day, now),
            )
            if each
        ]
        return AccountStanding(
            _standing(usage.requests, limits.requests_per_minute, now),
            min(of_tokens, key=lambda each: each.remaining, default=None),
        )

    def keep(self, names: Collection[str]) -> None:
        """Forgets all other names."""
        self._usages = {name: each for name, each in self._usages.items() if name in names}

    def num_running(self, name: str) -> int:
        return self._usages[name].num_running if name in self._usages else 0

    def _usage(self, account: Account) -> _Usage:
        return self._usages.setdefault(account.name, _Usage())


def _standing(window: Window, limit: int | None, now: float) -> Standing | None:
    if limit is None:
        return None
    return Standing(limit, max(0, limit - window.used(now)), window.reset_s(now))


def _reached(limit: int, what: str, wait_s: float) -> LimitReached:
    return LimitReached(f"this key's limit of {limit} {what} is used up for now", wait_s)
