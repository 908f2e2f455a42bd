"""An answer fed by hand: the stream's events and the plain body of the same generation."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from api.responses.answer import ResponseAnswer
from api.responses.facts import request_facts
from api.responses.frames import ResponseFrames
from api.responses.output import ScoreView
from api.schemas.responses.request import read_response
from api.schemas.validation import UnknownFields
from backends.scripted import byte_vocabulary
from core.errors import JarvisError
from core.events import FinishReason, GenerationEnd, GenerationEvent
from core.sampling import SamplingPlan
from tests.api.responses.strictly import check_event

END = GenerationEnd(FinishReason.STOP, 7, 5, 3, 2)
CUT = GenerationEnd(FinishReason.LENGTH, 7, 5)


def made_answer(
    *,
    is_stream: bool = False,
    num_top: int | None = None,
    keep: Callable[[dict[str, Any]], None] | None = None,
    **fields: Any,
) -> ResponseAnswer:
    read = read_response({"input": "hi"} | fields, UnknownFields(are_refused=True))
    return ResponseAnswer(
        "resp_1",
        request_facts(read, "tiny", SamplingPlan()),
        ScoreView(byte_vocabulary(), num_top),
        keep,
        is_stream=is_stream,
    )


def read_frames(data: bytes) -> list[dict[str, Any]]:
    """Each event of a stream, checked: its type, its frame's name, and its number."""
    events = []
    for number, frame in enumerate(each for each in data.decode().split("\n\n") if each):
        name, payload = frame.split("\n")
        event = json.loads(payload.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == number
        check_event(event)
        events.append(event)
    return events


def streamed(
    batches: Sequence[Sequence[GenerationEvent]],
    *,
    error: JarvisError | None = None,
    num_top: int | None = None,
) -> list[dict[str, Any]]:
    """The stream of events that come in batches; with `error`, they don't end."""
    answer = made_answer(is_stream=True, num_top=num_top)
    frames = ResponseFrames(answer)
    data = b""
    for index, batch in enumerate(batches):
        answer.add({0: list(batch)})
        data += b"" if index else frames.opening()
        data += frames.of({0: list(batch)})
    return read_frames(data + (frames.closing() if error is None else frames.error(error)))


def folded(events: Sequence[GenerationEvent], num_top: int | None = None) -> dict[str, Any]:
    answer = made_answer(is_stream=False, num_top=num_top)
    answer.add({0: list(events)})
    whole: dict[str, Any] = json.loads(json.dumps(answer.whole()))
    return whole
