"""The figures of measurements that can be counted by hand."""

import pytest

from benchmarks.client.plan import Answer
from benchmarks.figures import figures, is_wrong, percentile, spread


def answer(client: int, sent_s: float, *times_s: float, **facts: object) -> Answer:
    known = {"num_tokens": len(times_s), "num_wanted": len(times_s), **facts}
    ended = times_s[-1] if times_s else sent_s
    return Answer(client, sent_s, event_times_s=list(times_s), ended_s=ended, **known)  # type: ignore[arg-type]


def test_rates_first_tokens_and_gaps() -> None:
    found = figures([answer(0, 0.0, 1.0, 2.0, 4.0), answer(1, 1.0, 4.0, 5.0, 6.0)])
    assert (found.num_tokens, found.wall_s, found.tokens_per_s) == (6, 6.0, 1.0)
    assert (found.first_p50_s, found.first_p95_s) == (1.0, 3.0)
    assert (found.gap_p50_s, found.gap_p99_s) == (1.0, 2.0)
    # From 4 s on both decode: two tokens in two seconds.
    assert found.decode_tokens_per_s == 1.0


def test_merged_events_are_counted_as_the_server_counts() -> None:
    found = figures([answer(0, 0.0, 1.0, 2.0, num_tokens=8, num_wanted=8)])
    assert (found.num_tokens, found.tokens_per_s, found.num_wrong) == (8, 4.0, 0)


def test_gaps_of_the_background_are_those_beside_a_waiting_prompt() -> None:
    running = answer(0, 0.0, 1.0, 2.0, 5.0, 6.0, 10.0, is_background=True)
    late = answer(1, 3.0, 5.5, 7.0)
    found = figures([running, late])
    assert (found.first_p50_s, found.gap_p50_s, found.gap_p99_s) == (2.5, 1.0, 3.0)


def test_a_decode_rate_needs_one_stream_a_client() -> None:
    assert figures([answer(0, 0, 1, 2), answer(0, 2, 3, 4)]).decode_tokens_per_s is None


def test_an_error_or_another_number_of_tokens_is_wrong() -> None:
    assert not is_wrong(answer(0, 0, 1, 2))
    assert is_wrong(answer(0, 0, 1, 2, num_wanted=3))
    assert is_wrong(answer(0, 0, 1, 2, error="status 400"))
    assert not is_wrong(answer(0, 0, 1, 2, num_tokens=None))
    merged = {"num_tokens": None, "num_wanted": 3}
    assert is_wrong(answer(0, 0, 1, 2, **merged))
    assert not is_wrong(answer(0, 0, 1, 2, **merged, finish_reason="length"))


def test_nothing_measured_gives_no_figures() -> None:
    found = figures([answer(0, 0.0, error="gone")])
    assert (found.num_wrong, found.tokens_per_s, found.first_p50_s) == (1, 0.0, None)
    assert figures([]).num_answers == 0


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 2), (51, 3), (95, 4), (100, 4)])
def test_a_percentile_is_the_nearest_rank(percent: float, expected: float) -> None:
    assert percentile([4, 1, 3, 2], percent) == expected


def test_a_spread_is_median_lowest_and_highest() -> None:
    found = spread([3.0, 1.0, 2.0, 10.0])
    assert found is not None
    assert (found.median, found.low, found.high) == (2.5, 1.0, 10.0)
    assert spread([]) is None
