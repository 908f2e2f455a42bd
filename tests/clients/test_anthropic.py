"""The anthropic package: messages, and the count of their tokens."""

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.clients.questions import (
    ANNA,
    HELLO,
    I_AM,
    PORTRAIT,
    REPORT,
    STORY,
    TOO_LONG,
    WEATHER_IN_PARIS,
    WEATHER_SCHEMA,
    Person,
    get_weather,
)
from tests.clients.server import API_KEY, MODEL, Served

pytestmark = pytest.mark.engine

TOOLS: Any = [
    {
        "name": "get_weather",
        "description": "Get the current weather for a city",
        "input_schema": WEATHER_SCHEMA,
    }
]


@pytest.fixture
def client(server: Served) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key=API_KEY, max_retries=0) as opened:
        yield opened


def fields(text: str, **others: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    return {
        "model": MODEL,
        "max_tokens": 300,
        "messages": messages,
        "extra_body": {"temperature": 0},
        **others,
    }


def test_message(client: anthropic.Anthropic) -> None:
    message = client.messages.create(**fields(HELLO))
    assert I_AM in message.content[0].text
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0


def test_a_stream_says_what_the_plain_answer_says(client: anthropic.Anthropic) -> None:
    plain = client.messages.create(**fields(STORY)).content[0].text
    with client.messages.stream(**fields(STORY)) as stream:
        deltas = list(stream.text_stream)
        final = stream.get_final_message()
    assert len(deltas) > 20
    assert "".join(deltas) == plain
    assert final.stop_reason == "end_turn"


def test_tokens_are_counted_as_they_are_charged(client: anthropic.Anthropic) -> None:
    counted = client.messages.count_tokens(
        model=MODEL, messages=[{"role": "user", "content": HELLO}]
    )
    assert counted.input_tokens == client.messages.create(**fields(HELLO)).usage.input_tokens


@pytest.mark.parametrize("is_streamed", [False, True], ids=["plain", "streamed"])
def test_tool_loop(client: anthropic.Anthropic, is_streamed: bool) -> None:
    asked = fields(WEATHER_IN_PARIS, tools=TOOLS)
    if is_streamed:
        with client.messages.stream(**asked) as stream:
            message: Any = stream.get_final_message()
    else:
        message = client.messages.create(**asked)
    assert message.stop_reason == "tool_use"
    (call,) = [block for block in message.content if block.type == "tool_use"]
    told = {
        "type": "tool_result",
        "tool_use_id": call.id,
        "content": get_weather(**call.input),
    }
    asked["messages"] += [
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [told]},
    ]
    answer = client.messages.create(**asked)
    assert answer.content[0].text == REPORT


@pytest.mark.parametrize(
    "choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}], ids=["any", "named"]
)
def test_a_demanded_call_comes_whatever_is_said(client: anthropic.Anthropic, choice: Any) -> None:
    message = client.messages.create(**fields(HELLO, tools=TOOLS, tool_choice=choice))
    assert [block.name for block in message.content if block.type == "tool_use"] == ["get_weather"]


def test_structured_output_by_a_named_tool(client: anthropic.Anthropic) -> None:
    tool = {"name": "person", "input_schema": Person.model_json_schema()}
    choice = {"type": "tool", "name": "person"}
    message = client.messages.create(**fields(PORTRAIT, tools=[tool], tool_choice=choice))
    (call,) = [block for block in message.content if block.type == "tool_use"]
    assert Person.model_validate(call.input).age == ANNA.age


def test_a_prompt_that_is_too_long_is_a_bad_request(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="context window") as caught:
        client.messages.create(**fields(TOO_LONG))
    assert caught.value.status_code == 400
    assert caught.value.type == "invalid_request_error"


def test_an_unknown_model_is_not_found(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="no-such-model"):
        client.messages.create(**fields(HELLO, model="no-such-model"))


def test_a_bad_field_is_named(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="top_p"):
        client.messages.create(**fields(HELLO, extra_body={"top_p": 3}))
