"""What was used in the last while: no span holds more than its limit, and waits are true."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.access.allowances import Allowances, Visit
from api.access.rate_headers import duration, rate_headers
from api.access.windows import NUM_SLOTS, Window
from core.access import Account, KeyLimits
from core.errors import LimitReached

STEPS = st.lists(st.tuples(st.floats(0, 40), st.integers(1, 5)), min_size=1, max_size=80)


class Clock:
    """Goes as far as it is told."""

    def __init__(self) -> None:
        self.now = 1000.5

    def __call__(self) -> float:
        return self.now


@settings(deadline=None)
@given(STEPS, st.integers(1, 12))
def test_no_span_of_a_minute_holds_more_than_the_limit(
    steps: Sequence[tuple[float, int]], limit: int
) -> None:
    window, now, admitted = Window(60), 0.0, []
    for gap_s, wanted in steps:
        now += gap_s
        for _ in range(wanted):
            if window.used(now) < limit:
                window.add(1, now)
                admitted.append(now)
    for start in admitted:
        assert sum(start <= time < start + 60 for time in admitted) <= limit


@settings(deadline=None)
@given(STEPS, st.integers(1, 12), st.sampled_from([60, 86_400]))
def test_a_wait_is_long_enough_and_at_most_a_slot_too_long(
    steps: Sequence[tuple[float, int]], limit: int, span_s: int
) -> None:
    window, now, added = Window(span_s), 0.0, []
    for gap_s, count in steps:
        now += gap_s
        window.add(count, now)
        added.append((now, count))
    wait_s = window.wait_s(limit, now)
    assert wait_s >= 0
    assert (wait_s == 0) == (window.used(now) < limit)
    slot_s = span_s / NUM_SLOTS
    earlier = now + wait_s - slot_s
    if wait_s > slot_s:
        assert sum(count for time, count in added if time >= earlier - span_s) >= limit
    assert window.used(now + math.ceil(wait_s)) < limit
    reset_s = window.reset_s(now)
    assert reset_s <= span_s + slot_s
    assert window.used(now + math.ceil(reset_s)) == 0


@settings(deadline=None)
@given(st.lists(st.floats(0, 30), min_size=1, max_size=300))
def test_memory_is_bounded_and_nothing_is_counted_twice(gaps: Sequence[float]) -> None:
    window, now, times = Window(60), 0.0, []
    for gap_s in gaps:
        now += gap_s
        times.append(now)
        window.add(1, now)
        assert len(window._slots) <= NUM_SLOTS + 1
        used = window.used(now)
        assert sum(time > now - 60 for time in times) <= used
        assert used <= sum(time >= now - 60 - 60 / NUM_SLOTS for time in times)


def refused(allowances: Allowances, account: Account) -> LimitReached:
    with pytest.raises(LimitReached) as caught:
        allowances.begin(account)
    return caught.value


def test_requests_run_out_and_come_back_when_it_was_said() -> None:
    clock = Clock()
    allowances, account = Allowances(clock), Account("a", limits=KeyLimits(requests_per_minute=2))
    for _ in range(2):
        allowances.begin(account).end()
    for _ in range(3):
        error = refused(allowances, account)
    assert "2 requests a minute" in str(error)
    clock.now += math.ceil(error.retry_after_s)
    allowances.begin(account).end()


@pytest.mark.parametrize("limits", [KeyLimits(None, 10), KeyLimits(None, None, 10)])
def test_tokens_are_charged_afterwards_and_refuse_what_comes_next(limits: KeyLimits) -> None:
    clock = Clock()
    allowances, account = Allowances(clock), Account("a", limits=limits)
    visit = allowances.begin(account)
    allowances.charge("a", 9)
    allowances.begin(account).end()
    allowances.charge("a", 500)
    visit.end()
    error = refused(allowances, account)
    assert "10 tokens a " in str(error)
    clock.now += math.ceil(error.retry_after_s)
    allowances.begin(account).end()
    assert error.retry_after_s > (60 if limits.tokens_per_minute else 86_400) - 1


def test_as_many_at_once_as_may_be_and_each_ends_once() -> None:
    allowances, account = Allowances(Clock()), Account("a", limits=KeyLimits(concurrent_requests=2))
    first, _ = allowances.begin(account), allowances.begin(account)
    assert "2 requests at the same time" in str(refused(allowances, account))
    for _ in range(3):
        first.end()
    assert allowances.num_running("a") == 1
    allowances.begin(account)
    refused(allowances, account)


def test_keys_have_limits_of_their_own_and_none_without() -> None:
    allowances = Allowances(Clock())
    one, other = (Account(name, limits=KeyLimits(1, 1, 1, 1)) for name in "ab")
    allowances.begin(one)
    allowances.begin(other)
    refused(allowances, one)
    free = Account("c")
    visits = [allowances.begin(free) for _ in range(100)]
    allowances.charge("c", 10**9)
    allowances.begin(free)
    assert len(visits) == 100


def test_counts_stay_with_keys_that_stay_under_new_limits() -> None:
    allowances = Allowances(Clock())
    account = Account("a", limits=KeyLimits(requests_per_minute=5))
    gone = allowances.begin(Account("b"))
    for _ in range(3):
        allowances.begin(account)
    allowances.keep({"a"})
    refused(allowances, Account("a", limits=KeyLimits(requests_per_minute=3)))
    refused(allowances, Account("a", limits=KeyLimits(concurrent_requests=3)))
    allowances.begin(Account("a", limits=KeyLimits(requests_per_minute=4)))
    gone.end()
    assert allowances.num_running("b") == 0
    allowances.charge("b", 1)
    allowances.charge("", 1)


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), max_size=60))
def test_what_is_under_way_is_what_began_and_has_not_ended(moves: Sequence[int]) -> None:
    allowances, account = Allowances(Clock()), Account("a", limits=KeyLimits(concurrent_requests=3))
    open_visits: list[Visit] = []
    for move in moves:
        if move and open_visits:
            open_visits.pop(move % len(open_visits)).end()
        elif len(open_visits) < 3:
            open_visits.append(allowances.begin(account))
        else:
            refused(allowances, account)
        assert allowances.num_running("a") == len(open_visits)


def test_headers_tell_of_each_limit_there_is() -> None:
    clock = Clock()
    allowances = Allowances(clock)
    account = Account("a", limits=KeyLimits(10, 1000, 1500))
    allowances.begin(account)
    allowances.charge("a", 100)
    told = dict(rate_headers(allowances.standing(account)))
    assert told == {
        b"x-ratelimit-limit-requests": b"10",
        b"x-ratelimit-remaining-requests": b"9",
        b"x-ratelimit-reset-requests": b"1m1s",
        b"x-ratelimit-limit-tokens": b"1000",
        b"x-ratelimit-remaining-tokens": b"900",
        b"x-ratelimit-reset-tokens": b"1m1s",
    }
    allowances.charge("a", 1450)
    clock.now += 120
    told = dict(rate_headers(allowances.standing(account)))
    assert told[b"x-ratelimit-limit-tokens"] == b"1500"
    assert told[b"x-ratelimit-remaining-tokens"] == b"0"
    assert told[b"x-ratelimit-reset-requests"] == b"0s"
    assert list(rate_headers(allowances.standing(Account("c")))) == []


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        *((0, "0s"), (0.2, "1s"), (59, "59s"), (60, "1m0s"), (360, "6m0s")),
        *((3600, "1h0m0s"), (86_399.5, "24h0m0s"), (3661, "1h1m1s")),
    ],
)
def test_durations_are_written_as_go_writes_them(seconds: float, written: str) -> None:
    assert duration(seconds) == written
