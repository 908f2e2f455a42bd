"""The openai package for Python: the Responses API."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.clients.questions import (
    ANNA,
    HELLO,
    I_AM,
    INTRODUCTION,
    PORTRAIT,
    REPORT,
    STORY,
    TOO_LONG,
    WEATHER_FUNCTION,
    WEATHER_IN_PARIS,
    WHO_AM_I,
    Person,
    get_weather,
)
from tests.clients.server import API_KEY, MODEL, Served

pytestmark = pytest.mark.engine

TOOLS: Any = [{"type": "function", "strict": False, **WEATHER_FUNCTION}]


@pytest.fixture
def client(server: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.openai_url, api_key=API_KEY, max_retries=0) as opened:
        yield opened


def test_response(client: openai.OpenAI) -> None:
    response = client.responses.create(model=MODEL, input=HELLO, temperature=0)
    assert response.status == "completed"
    assert I_AM in response.output_text
    assert response.usage is not None
    assert response.usage.output_tokens > 0


def test_a_stream_says_what_the_plain_answer_says(client: openai.OpenAI) -> None:
    plain = client.responses.create(model=MODEL, input=STORY, temperature=0).output_text
    with client.responses.stream(model=MODEL, input=STORY, temperature=0) as stream:
        events = list(stream)
        final = stream.get_final_response()
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(deltas) > 20
    assert "".join(deltas) == final.output_text == plain
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert [event.sequence_number for event in events] == [*range(len(events))]


def test_a_response_goes_on_from_the_one_before(client: openai.OpenAI) -> None:
    first = client.responses.create(model=MODEL, input=INTRODUCTION, temperature=0)
    second = client.responses.create(
        model=MODEL, input=WHO_AM_I, previous_response_id=first.id, temperature=0
    )
    assert "Anna" in second.output_text
    assert second.previous_response_id == first.id


def test_a_kept_response_is_read_again_and_deleted(client: openai.OpenAI) -> None:
    made = client.responses.create(model=MODEL, input=HELLO, temperature=0)
    assert client.responses.retrieve(made.id).output_text == made.output_text
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError, match=made.id):
        client.responses.retrieve(made.id)


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "sent again"])
def test_tool_loop(client: openai.OpenAI, is_kept: bool) -> None:
    asked: Any = {"role": "user", "content": WEATHER_IN_PARIS}
    first = client.responses.create(
        model=MODEL, input=[asked], tools=TOOLS, temperature=0, store=is_kept
    )
    (call,) = [item for item in first.output if item.type == "function_call"]
    result = get_weather(**json.loads(call.arguments))
    told: Any = {"type": "function_call_output", "call_id": call.call_id, "output": result}
    second = client.responses.create(
        model=MODEL,
        input=[told] if is_kept else [asked, call, told],
        previous_response_id=first.id if is_kept else None,
        tools=TOOLS,
        temperature=0,
    )
    assert second.output_text == REPORT


def test_a_streamed_call_is_the_plain_one(client: openai.OpenAI) -> None:
    with client.responses.stream(
        model=MODEL, input=WEATHER_IN_PARIS, tools=TOOLS, temperature=0
    ) as stream:
        events = list(stream)
    deltas = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
    (done,) = [e for e in events if e.type == "response.function_call_arguments.done"]
    assert "".join(deltas) == done.arguments
    assert json.loads(done.arguments) == {"city": "Paris"}


def test_structured_output(client: openai.OpenAI) -> None:
    response = client.responses.parse(
        model=MODEL, input=PORTRAIT, text_format=Person, temperature=0
    )
    assert response.output_parsed == ANNA


def test_an_input_that_is_too_long_is_a_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="context window") as caught:
        client.responses.create(model=MODEL, input=TOO_LONG)
    assert caught.value.code == "context_length_exceeded"


def test_an_unknown_earlier_response_is_an_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError, match="resp_of_nobody") as caught:
        client.responses.create(model=MODEL, input=HELLO, previous_response_id="resp_of_nobody")
    assert caught.value.code == "previous_response_not_found"
