"""The openai package for Python: chat completions, plain completions and models."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
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
    WEATHER_TOOL,
    Person,
    get_weather,
)
from tests.clients.server import API_KEY, MODEL, Served

pytestmark = pytest.mark.engine


@pytest.fixture
def client(server: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.openai_url, api_key=API_KEY, max_retries=0) as opened:
        yield opened


@pytest.fixture
async def async_client(server: Served) -> AsyncIterator[openai.AsyncOpenAI]:
    url = server.openai_url
    async with openai.AsyncOpenAI(base_url=url, api_key=API_KEY, max_retries=0) as opened:
        yield opened


def said(client: openai.OpenAI, text: str, **fields: Any) -> Any:
    messages: Any = [{"role": "user", "content": text}]
    return client.chat.completions.create(model=MODEL, messages=messages, temperature=0, **fields)


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert MODEL in [model.id for model in client.models.list()]


def test_chat(client: openai.OpenAI) -> None:
    completion = said(client, HELLO)
    assert I_AM in completion.choices[0].message.content
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens > completion.usage.prompt_tokens > 0


def test_a_stream_says_what_the_plain_answer_says(client: openai.OpenAI) -> None:
    plain = said(client, STORY).choices[0].message.content
    chunks = list(said(client, STORY, stream=True, stream_options={"include_usage": True}))
    deltas = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert len(deltas) > 20
    assert "".join(deltas) == plain
    assert chunks[-1].usage.completion_tokens > 20


async def test_an_async_stream_says_the_same(
    client: openai.OpenAI, async_client: openai.AsyncOpenAI
) -> None:
    stream = await async_client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": STORY}], temperature=0, stream=True
    )
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == said(client, STORY).choices[0].message.content


def test_a_stream_can_be_left(client: openai.OpenAI) -> None:
    with said(client, STORY, stream=True) as stream:
        next(iter(stream))
    assert I_AM in said(client, HELLO).choices[0].message.content


def test_plain_completion(client: openai.OpenAI) -> None:
    completion = client.completions.create(
        model=MODEL, prompt="<|im_start|>user\nHello!<|im_end|>\n", max_tokens=4, temperature=0
    )
    assert completion.usage is not None
    assert completion.usage.completion_tokens <= 4


@pytest.mark.parametrize("is_streamed", [False, True], ids=["plain", "streamed"])
def test_tool_loop(client: openai.OpenAI, is_streamed: bool) -> None:
    messages: list[Any] = [{"role": "user", "content": WEATHER_IN_PARIS}]
    fields: dict[str, Any] = {"model": MODEL, "tools": [WEATHER_TOOL], "temperature": 0}
    if is_streamed:
        with client.chat.completions.stream(messages=messages, **fields) as stream:
            choice: Any = stream.get_final_completion().choices[0]
    else:
        choice = client.chat.completions.create(messages=messages, **fields).choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    result = get_weather(**json.loads(call.function.arguments))
    told = {"role": "tool", "tool_call_id": call.id, "content": result}
    messages += [choice.message, told]
    answer = client.chat.completions.create(messages=messages, **fields).choices[0]
    assert answer.message.content == REPORT
    assert answer.finish_reason == "stop"


def test_the_argument_events_of_a_streamed_call_join_to_its_arguments(
    client: openai.OpenAI,
) -> None:
    messages: Any = [{"role": "user", "content": WEATHER_IN_PARIS}]
    tools: Any = [WEATHER_TOOL]
    with client.chat.completions.stream(
        model=MODEL, messages=messages, tools=tools, temperature=0
    ) as stream:
        events = list(stream)
    deltas = [e for e in events if e.type == "tool_calls.function.arguments.delta"]
    done = [e for e in events if e.type == "tool_calls.function.arguments.done"]
    assert [event.name for event in done] == ["get_weather"]
    assert "".join(event.arguments_delta for event in deltas) == done[0].arguments


@pytest.mark.parametrize(
    "choice",
    ["required", {"type": "function", "function": {"name": "get_weather"}}],
    ids=["required", "named"],
)
def test_a_demanded_call_comes_whatever_is_said(client: openai.OpenAI, choice: Any) -> None:
    (call,) = (
        said(client, HELLO, tools=[WEATHER_TOOL], tool_choice=choice).choices[0].message.tool_calls
    )
    assert call.function.name == "get_weather"
    assert list(json.loads(call.function.arguments)) == ["city"]


def test_structured_output(client: openai.OpenAI) -> None:
    completion = client.chat.completions.parse(
        model=MODEL,
        messages=[{"role": "user", "content": PORTRAIT}],
        temperature=0,
        response_format=Person,
    )
    assert completion.choices[0].message.parsed == ANNA


# What pydantic says of a parsed answer as the package writes it.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
def test_parsed_answers_can_be_sent_back(client: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": PORTRAIT}]
    fields: dict[str, Any] = {"model": MODEL, "temperature": 0}
    first = client.chat.completions.parse(messages=messages, response_format=Person, **fields)
    messages += [first.choices[0].message, {"role": "user", "content": PORTRAIT}]
    tool = openai.pydantic_function_tool(Person)
    second = client.chat.completions.parse(
        messages=messages, tools=[tool], tool_choice="required", **fields
    )
    asked = second.choices[0].message
    assert asked.tool_calls is not None
    call = asked.tool_calls[0]
    assert isinstance(call.function.parsed_arguments, Person)
    messages += [asked, {"role": "tool", "tool_call_id": call.id, "content": "done"}]
    third = client.chat.completions.parse(messages=messages, tools=[tool], **fields)
    assert third.choices[0].finish_reason == "stop"


def test_a_structured_stream_parses_as_it_ends(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model=MODEL,
        messages=[{"role": "user", "content": PORTRAIT}],
        temperature=0,
        response_format=Person,
    ) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == ANNA


def test_a_prompt_that_is_too_long_is_a_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="context window") as caught:
        said(client, TOO_LONG)
    assert (caught.value.status_code, caught.value.code) == (400, "context_length_exceeded")


def test_a_prompt_that_is_too_long_is_refused_before_a_stream(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="context window"):
        said(client, TOO_LONG, stream=True)


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no-such-model") as caught:
        client.chat.completions.create(
            model="no-such-model", messages=[{"role": "user", "content": HELLO}]
        )
    assert caught.value.code == "model_not_found"


def test_a_bad_field_is_named(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="top_p") as caught:
        said(client, HELLO, top_p=3)
    assert caught.value.param == "top_p"
