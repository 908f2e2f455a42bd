"""Where events end, however their bytes are cut."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.remote.event_cutting import (
    MAX_EVENT,
    EventCutter,
    EventTooLong,
    end_before,
    event_fields,
    split_events,
)

_texts = st.text(st.sampled_from("ab: \n\ré😀"), max_size=40)
_cuts = st.lists(st.integers(0, 80), max_size=8)


def fed(data: bytes, cuts: list[int]) -> tuple[list[bytes], EventCutter]:
    """What comes out for `data` in pieces."""
    cutter = EventCutter()
    places = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    pieces = [data[start:end] for start, end in pairwise(places)]
    return [whole for piece in pieces if (whole := cutter.feed(piece))], cutter


def lines_of(data: bytes) -> list[bytes]:
    return [line for line in re.split(rb"\r\n|\n|\r", data) if line]


@given(_texts, _cuts)
def test_nothing_is_lost_changed_or_kept_back_and_only_events_come_out(
    text: str, cuts: list[int]
) -> None:
    data = text.encode()
    wholes, cutter = fed(data, cuts)
    came = b"".join(wholes)
    assert data.startswith(came)
    # What is kept back holds no line that is empty and ended behind one that is not.
    *ended, _ = re.split(rb"\r\n|\n|\r", data[len(came) :])
    assert all(after or not before for before, after in pairwise(ended))
    assert all(re.search(rb"(\r\n|\n|\r)(\r\n|\n|\r)$", whole) for whole in wholes)
    assert cutter.has_rest == bool(data[len(came) :].strip(b"\r\n"))


@given(_texts, _cuts)
def test_lines_are_the_same_however_the_bytes_are_cut(text: str, cuts: list[int]) -> None:
    data = (text + "\n\n").encode()
    wholes, _ = fed(data, cuts)
    assert lines_of(b"".join(wholes)) == lines_of(data)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n", b"\n\r"])
@pytest.mark.parametrize("is_cut", [True, False])
def test_every_kind_of_blank_line_ends_an_event(end: bytes, is_cut: bool) -> None:
    event = b"data: 1" + end
    cuts = list(range(len(event))) if is_cut else []
    wholes, cutter = fed(event + b"data: 2", cuts)
    assert b"".join(wholes).rstrip(b"\r\n") == b"data: 1"
    assert cutter.has_rest


def test_one_line_end_of_two_characters_is_no_blank_line() -> None:
    wholes, cutter = fed(b"data: 1\r\ndata: 2\r\n", [8, 9])
    assert wholes == []
    assert cutter.has_rest


def test_what_has_no_end_is_bounded() -> None:
    cutter = EventCutter()
    piece = b"x" * (1 << 20)
    for _ in range(MAX_EVENT >> 20):
        assert cutter.feed(piece) == b""
    with pytest.raises(EventTooLong):
        cutter.feed(b"x")


def test_many_small_pieces_of_a_long_event_take_no_quadratic_time() -> None:
    """Cut off by the time limit of tests, if it does: copying all again would be 10^13 bytes."""
    cutter = EventCutter()
    for _ in range(1_000_000):
        cutter.feed(b"0123456789")
    assert len(cutter.feed(b"\n\n")) == 10_000_002


def test_events_are_told_apart_and_their_fields_read() -> None:
    events = [b": c\n\n", b"event: a\r\ndata:1\r\ndata:  2\r\n\r\n", b"data\r\r"]
    whole = b"".join(events)
    assert split_events(whole) == events
    assert [event_fields(event) for event in events] == [
        {},
        {b"event": b"a", b"data": b"1\n 2"},
        {b"data": b""},
    ]
    assert end_before(whole, 3) == 0
    assert end_before(whole, len(events[0])) == len(events[0])
    assert end_before(whole, len(whole) - 3) == len(events[0] + events[1])
