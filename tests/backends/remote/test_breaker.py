"""The breaker: what opens it, what passes when, and that one probe alone decides."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from backends.remote.breaker import Breaker, Permit
from backends.upstream import BreakerState
from core.upstreams import BreakerRules

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
RULES = BreakerRules(num_failures=3, open_s=10.0)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A breaker with its clock, and the states it told of."""

    def __init__(self, rules: BreakerRules = RULES) -> None:
        self.clock = Clock()
        self.told: list[BreakerState] = []
        self.breaker = Breaker("u", rules, self.clock, self.told.append)

    def admit(self) -> Permit:
        permit = self.breaker.admit()
        assert permit is not None
        return permit

    def open(self) -> None:
        for _ in range(RULES.num_failures):
            self.admit().failed()

    def half_open(self) -> None:
        self.open()
        self.clock.now += RULES.open_s


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_opens_after_so_many_failures_in_a_row(bench: Bench) -> None:
    for _ in range(2):
        bench.admit().failed()
    assert bench.breaker.state is CLOSED
    bench.admit().failed()
    assert bench.breaker.state is OPEN
    assert bench.breaker.admit() is None
    assert bench.told == [OPEN]


def test_a_success_between_failures_starts_the_count_anew(bench: Bench) -> None:
    for _ in range(5):
        bench.admit().failed()
        bench.admit().failed()
        bench.admit().succeeded()
    assert bench.breaker.state is CLOSED


def test_requests_that_were_given_up_are_neither_successes_nor_failures(bench: Bench) -> None:
    for _ in range(10):
        bench.admit().abandoned()
    bench.admit().failed()
    bench.admit().failed()
    bench.admit().abandoned()
    bench.admit().failed()
    assert bench.breaker.state is OPEN


def test_it_says_when_a_request_may_pass(bench: Bench) -> None:
    assert bench.breaker.ready_in_s == 0.0
    bench.open()
    assert bench.breaker.ready_in_s == 10.0
    bench.clock.now += 4
    assert bench.breaker.ready_in_s == 6.0
    bench.clock.now += 6
    assert bench.breaker.ready_in_s == 0.0
    bench.admit()
    assert bench.breaker.ready_in_s is None


def test_it_is_half_open_as_soon_as_a_probe_may_pass(bench: Bench) -> None:
    bench.open()
    bench.clock.now += 9.9
    assert bench.breaker.state is OPEN
    assert bench.breaker.admit() is None
    bench.clock.now += 0.1
    assert bench.breaker.state is HALF_OPEN


def test_one_probe_passes_at_a_time(bench: Bench) -> None:
    bench.half_open()
    bench.admit()
    assert bench.breaker.state is HALF_OPEN
    bench.clock.now += 9.9
    assert [bench.breaker.admit() for _ in range(3)] == [None] * 3


@pytest.mark.parametrize("is_good", [True, False])
def test_a_long_probe_gives_its_place_to_another(bench: Bench, *, is_good: bool) -> None:
    bench.half_open()
    long = bench.admit()
    bench.clock.now += 10
    assert bench.breaker.ready_in_s == 0.0
    other = bench.admit()
    assert bench.breaker.admit() is None
    (long.succeeded if is_good else long.failed)()
    assert bench.breaker.state is HALF_OPEN
    assert bench.breaker.admit() is None
    other.succeeded()
    assert bench.breaker.state is CLOSED


def test_a_probe_that_succeeds_closes_it(bench: Bench) -> None:
    bench.half_open()
    bench.admit().succeeded()
    assert bench.breaker.state is CLOSED
    assert bench.told == [OPEN, HALF_OPEN, CLOSED]
    bench.admit().failed()
    bench.admit().failed()
    assert bench.breaker.state is CLOSED


def test_a_probe_that_fails_opens_it_for_the_whole_time_again(bench: Bench) -> None:
    bench.half_open()
    probe = bench.admit()
    bench.clock.now += 3
    probe.failed()
    assert bench.breaker.state is OPEN
    assert bench.breaker.ready_in_s == 10.0
    assert bench.told == [OPEN, HALF_OPEN, OPEN]


def test_a_probe_that_is_given_up_frees_its_place(bench: Bench) -> None:
    bench.half_open()
    for _ in range(3):
        bench.admit().abandoned()
        assert bench.breaker.state is HALF_OPEN
    bench.admit().succeeded()
    assert bench.breaker.state is CLOSED


def test_a_probe_whose_answer_begins_well_closes_it(bench: Bench) -> None:
    bench.half_open()
    probe = bench.admit()
    probe.begun()
    assert bench.breaker.state is CLOSED
    probe.failed()
    bench.admit().failed()
    assert bench.breaker.state is CLOSED
    bench.admit().failed()
    assert bench.breaker.state is OPEN


def test_a_probe_that_has_closed_it_decides_nothing_of_the_next_one(bench: Bench) -> None:
    bench.half_open()
    first = bench.admit()
    first.begun()
    bench.half_open()
    second = bench.admit()
    first.failed()
    assert bench.breaker.state is HALF_OPEN
    assert bench.breaker.admit() is None
    second.succeeded()
    assert bench.breaker.state is CLOSED


def test_a_good_beginning_alone_is_no_success(bench: Bench) -> None:
    for _ in range(3):
        permit = bench.admit()
        permit.begun()
        permit.failed()
    assert bench.breaker.state is OPEN


@pytest.mark.parametrize("is_good", [True, False])
def test_what_passed_before_it_opened_does_not_decide(bench: Bench, *, is_good: bool) -> None:
    late = [bench.admit() for _ in range(9)]
    bench.open()
    ends = [permit.succeeded if is_good else permit.failed for permit in late]
    for end in ends[:3]:
        end()
    assert bench.breaker.state is OPEN
    bench.clock.now += 10
    probe = bench.admit()
    for end in ends[3:]:
        end()
    assert bench.breaker.state is HALF_OPEN
    assert bench.breaker.admit() is None
    probe.succeeded()
    assert bench.breaker.state is CLOSED


def test_the_end_that_is_told_first_counts(bench: Bench) -> None:
    for _ in range(3):
        permit = bench.admit()
        permit.succeeded()
        permit.failed()
        permit.abandoned()
    assert bench.breaker.state is CLOSED
    bench.half_open()
    probe = bench.admit()
    probe.abandoned()
    probe.failed()
    other = bench.admit()
    probe.succeeded()
    assert bench.breaker.state is HALF_OPEN
    other.succeeded()
    assert bench.breaker.state is CLOSED


class BreakerMachine(RuleBasedStateMachine):
    """Any order of requests, ends and hours against a model of what should be."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.permits: list[Permit] = []
        self.probe: Permit | None = None
        self.probe_began_at = 0.0
        self.opened_at: float | None = None
        self.num_failed = 0

    @property
    def expected(self) -> BreakerState:
        if self.opened_at is None:
            return CLOSED
        is_over = self.bench.clock.now >= self.opened_at + RULES.open_s
        return HALF_OPEN if is_over else OPEN

    @rule()
    def ask(self) -> None:
        can_pass = self.expected is CLOSED or (self.expected is HALF_OPEN and not self.has_probe)
        permit = self.bench.breaker.admit()
        assert (permit is not None) == can_pass
        if permit is not None:
            self.permits.append(permit)
            if self.expected is HALF_OPEN:
                self.probe, self.probe_began_at = permit, self.bench.clock.now

    @property
    def has_probe(self) -> bool:
        is_new = self.bench.clock.now < self.probe_began_at + RULES.open_s
        return self.probe is not None and is_new

    @precondition(lambda self: self.permits)
    @rule(data=st.data(), end=st.sampled_from(["succeeded", "failed", "abandoned", "begun"]))
    def end(self, data: st.DataObject, end: str) -> None:
        permit = data.draw(st.sampled_from(self.permits))
        if end != "begun":
            self.permits = [each for each in self.permits if each is not permit]
        is_probe = permit is self.probe
        getattr(permit, end)()
        if is_probe:
            self.probe = None
            if end in ("succeeded", "begun"):
                self.opened_at, self.num_failed = None, 0
            elif end == "failed":
                self.opened_at = self.bench.clock.now
        elif self.opened_at is None and end in ("succeeded", "failed"):
            self.num_failed = self.num_failed + 1 if end == "failed" else 0
            if self.num_failed >= RULES.num_failures:
                self.opened_at = self.bench.clock.now

    @rule(passed_s=st.sampled_from([0.5, 3.0, 10.0, 3600.0]))
    def wait(self, passed_s: float) -> None:
        self.bench.clock.now += passed_s

    @invariant()
    def is_as_expected(self) -> None:
        assert self.bench.breaker.state is self.expected
        if self.has_probe:
            assert self.bench.breaker.ready_in_s is None
        elif self.expected is OPEN:
            assert 0 < (self.bench.breaker.ready_in_s or 0) <= RULES.open_s
        else:
            assert self.bench.breaker.ready_in_s == 0.0


TestAnyOrder = BreakerMachine.TestCase
TestAnyOrder.settings = settings(deadline=None, max_examples=60)
