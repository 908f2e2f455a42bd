"""The requests that the crowd draws."""

from collections.abc import Iterator

import msgspec
import pytest

from soak.ask import Ask, Form, Point
from soak.asks import WEIGHTS, aborted
from soak.bad_asks import BAD_WEIGHTS
from soak.drawing import Draw

ALL = (*WEIGHTS, *BAD_WEIGHTS)


def drawn(seed: str) -> Iterator[Ask]:
    draw = Draw(seed, window=1024)
    for _ in range(3):
        yield from (asking(draw) for asking in ALL)


def test_the_same_seed_draws_the_same() -> None:
    assert list(drawn("a")) == list(drawn("a"))
    assert list(drawn("a")) != list(drawn("b"))


def test_a_stream_is_read_as_one() -> None:
    for ask in drawn("a"):
        if ask.kind in ("malformed", "oversized") or not ask.body:
            continue
        is_stream = msgspec.json.decode(ask.body).get("stream") is True
        assert is_stream is (ask.form is not Form.BODY), ask.kind


def test_schemas_and_tools_are_ever_new() -> None:
    draw = Draw("a", window=1024)
    schemas = {msgspec.json.encode(draw.schema()) for _ in range(500)}
    assert len(schemas) == 500


@pytest.mark.parametrize("point", Point)
def test_clients_leave_at_every_point(point: Point) -> None:
    draw = Draw("a", window=1024)
    points = {ask.abort.point for _ in range(200) if (ask := aborted(draw)).abort}
    assert point in points
