"""What is parked comes back as it was, and what it leaves is used again."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.llama import parked_spans
from backends.llama.parked_spans import Bytes, ParkedSpans


def content(number: int, size: int) -> Bytes:
    return np.random.default_rng(number).integers(0, 256, size, dtype=np.uint8)


def filling(content: Bytes) -> Callable[[Bytes], None]:
    def fill(into: Bytes) -> None:
        into[:] = content

    return fill


# What is done: a span of so many bytes is kept, or the oldest one is discarded.
steps = st.lists(st.one_of(st.integers(0, 400_000), st.none()), max_size=40)


@given(steps)
def test_each_span_is_read_as_it_was_kept(steps: list[int | None]) -> None:
    spans, kept = ParkedSpans(), dict[int, Bytes]()
    for number, size in enumerate(steps):
        if size is not None:
            kept[number] = content(number, size)
            spans.keep(number, size, filling(kept[number]))
        elif kept:
            oldest = min(kept)
            spans.discard(oldest)
            del kept[oldest]
    for number, wanted in kept.items():
        assert np.array_equal(spans.read(number), wanted)


def test_large_spans_are_read_as_they_were_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parked_spans, "_OWN_BYTES", 1000)
    spans = ParkedSpans()
    for number, size in enumerate((1000, 1001, 5000)):
        spans.keep(number, size, filling(content(number, size)))
    for number, size in enumerate((1000, 1001, 5000)):
        assert np.array_equal(spans.read(number), content(number, size))
        spans.discard(number)


def test_a_span_that_could_not_be_written_is_not_kept() -> None:
    def fill(into: Bytes) -> None:
        raise OSError("no")

    spans = ParkedSpans()
    with pytest.raises(OSError, match="no"):
        spans.keep(1, 10, fill)
    with pytest.raises(KeyError):
        spans.read(1)


def test_memory_that_was_left_is_taken_again() -> None:
    spans, sizes = ParkedSpans(), [100_000, 1_500_000, 70_000, 900_000]
    spans.passing(max(sizes))
    tracemalloc.start()
    try:
        for number in range(200):
            size = sizes[number % 4]
            spans.keep(number, size, filling(content(0, size)))
            if number >= 4:
                spans.discard(number - 4)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Five at once at the most, in whole slabs, beside what the test itself holds.
    assert most < sum(sizes) + 3 * max(sizes) + 4 * 2**20
