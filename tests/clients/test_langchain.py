"""langchain-openai: its chat model over chat completions, and over the Responses API."""

from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from tests.clients.questions import (
    ANNA,
    HELLO,
    I_AM,
    PORTRAIT,
    REPORT,
    STORY,
    TOO_LONG,
    WEATHER_IN_PARIS,
    Person,
    get_weather,
)
from tests.clients.server import API_KEY, MODEL, Served

pytestmark = pytest.mark.engine


@pytest.fixture(params=[False, True], ids=["chat", "responses"])
def chat(request: pytest.FixtureRequest, server: Served) -> Iterator[ChatOpenAI]:
    with httpx2.Client() as http:
        yield opened(server, http, use_responses_api=request.param)


def opened(server: Served, http: httpx2.Client, **fields: Any) -> ChatOpenAI:
    return ChatOpenAI(
        base_url=server.openai_url,
        api_key=SecretStr(API_KEY),
        model=MODEL,
        temperature=0,
        max_retries=0,
        http_client=http,
        **fields,
    )


def test_chat(chat: ChatOpenAI) -> None:
    message = chat.invoke(HELLO)
    assert I_AM in message.text
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] > 0


def test_a_stream_says_what_the_plain_answer_says(chat: ChatOpenAI) -> None:
    chunks = [chunk.text for chunk in chat.stream(STORY)]
    assert len(chunks) > 20
    assert "".join(chunks) == chat.invoke(STORY).text


def test_tool_loop(chat: ChatOpenAI) -> None:
    weather = tool(get_weather)
    bound = chat.bind_tools([weather])
    messages: list[BaseMessage] = [HumanMessage(WEATHER_IN_PARIS)]
    asked = bound.invoke(messages)
    messages += [asked, *(weather.invoke(call) for call in asked.tool_calls)]
    assert bound.invoke(messages).text == REPORT


def test_a_streamed_call_is_whole_when_its_chunks_are_added(chat: ChatOpenAI) -> None:
    whole: Any = None
    for chunk in chat.bind_tools([tool(get_weather)]).stream(WEATHER_IN_PARIS):
        whole = chunk if whole is None else whole + chunk
    assert isinstance(whole, AIMessageChunk)
    (call,) = whole.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})


def test_a_demanded_call_comes_whatever_is_said(chat: ChatOpenAI) -> None:
    bound = chat.bind_tools([tool(get_weather)], tool_choice="get_weather")
    answer = bound.invoke(HELLO)
    assert [call["name"] for call in answer.tool_calls] == ["get_weather"]


def test_structured_output(chat: ChatOpenAI) -> None:
    assert chat.with_structured_output(Person).invoke(PORTRAIT) == ANNA


def test_structured_output_by_a_function(chat: ChatOpenAI) -> None:
    filled = chat.with_structured_output(Person, method="function_calling").invoke(PORTRAIT)
    assert isinstance(filled, Person)
    assert filled.age == ANNA.age


def test_a_prompt_that_is_too_long_is_langchain_s_own_error(chat: ChatOpenAI) -> None:
    with pytest.raises(ModelInvalidRequestError, match="context window") as caught:
        chat.invoke(TOO_LONG)
    assert isinstance(caught.value, openai.BadRequestError)
    assert caught.value.status_code == 400


def test_an_unknown_model_is_not_found(chat: ChatOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no-such-model"):
        chat.bind(model="no-such-model").invoke(HELLO)
