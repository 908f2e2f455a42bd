"""Where a value is counted, and how counts are shown."""

import bisect

from hypothesis import given
from hypothesis import strategies as st

from api.metrics.tally import Tally

BOUNDS = (1.0, 2.5, 10.0)


def test_a_value_on_a_bound_is_not_above_it() -> None:
    tally = Tally(BOUNDS)
    for value in (1.0, 2.5, 2.6, 10.0, 10.1):
        tally.observe(value)
    assert tally.buckets() == [("1.0", 1), ("2.5", 2), ("10.0", 4), ("+Inf", 5)]
    assert tally.buckets(5) == [("1.0", 1), ("2.5", 2), ("+Inf", 5)]


@given(st.lists(st.floats(0, 20)))
def test_each_bucket_holds_all_that_are_not_above_it(values: list[float]) -> None:
    tally = Tally(BOUNDS)
    for value in values:
        tally.observe(value)
    ordered = sorted(values)
    expected = [bisect.bisect_right(ordered, bound) for bound in BOUNDS]
    assert [number for _, number in tally.buckets()] == [*expected, len(values)]
    assert tally.sum == sum(values)
