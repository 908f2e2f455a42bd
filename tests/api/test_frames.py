"""The bytes of a stream are those that its chunks have when each is encoded whole."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.bodies import Answer, Labels
from api.frames import Frames, UsageStyle
from api.pump import Arrived
from api.shapes import AnswerShape, ChatShape, CompletionShape
from core.errors import EngineFailed
from core.events import FinishReason, GenerationEnd, TextDelta

END = GenerationEnd(FinishReason.STOP, 1, 1)


def answer_as(shape: AnswerShape, model: str = "m") -> Answer:
    return Answer(shape, Labels(model, "fp_1"), [], [])


def payload(frame: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(frame.removeprefix("data: "))
    return parsed


def split(data: bytes) -> list[str]:
    text = data.decode()
    assert text.endswith("\n\n")
    return text.removesuffix("\n\n").split("\n\n")


@pytest.mark.parametrize("shape", [ChatShape(), CompletionShape()])
@pytest.mark.parametrize("usage", [UsageStyle.NONE, UsageStyle.LAST])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), model=st.text('a\0"\\é'))
def test_any_text_and_name_make_the_same_chunk_as_encoding_it_whole(
    shape: AnswerShape, usage: UsageStyle, text: str, model: str
) -> None:
    answer = answer_as(shape, model)
    frames = Frames(answer, usage)
    extra = {"usage": None} if usage is UsageStyle.LAST else {}
    for _ in range(2):
        arrived: Arrived = {1: [TextDelta(text)], 0: [TextDelta("x" + text), END]}
        found = [payload(frame) for frame in split(frames.of(arrived))]
        assert found == [
            answer.text_chunk(1, text) | extra,
            answer.text_chunk(0, "x" + text) | extra,
            answer.end_chunk(0, "stop") | extra,
        ]


def test_a_stream_of_nothing_closes_with_done() -> None:
    frames = Frames(answer_as(CompletionShape()), UsageStyle.NONE)
    assert frames.opening() == b""
    assert frames.closing() == b"data: [DONE]\n\n"


def test_usage_comes_before_done() -> None:
    frames = Frames(answer_as(ChatShape()), UsageStyle.LAST)
    usage, done = split(frames.closing())
    assert payload(usage)["choices"] == []
    assert payload(usage)["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}
    assert done == "data: [DONE]"


def test_an_error_is_an_event_of_its_own() -> None:
    frames = Frames(answer_as(ChatShape()), UsageStyle.NONE)
    event, data = split(frames.error(EngineFailed("it died")))[0].split("\n")
    assert event == "event: error"
    assert payload(data)["error"]["message"] == "it died"
