"""litellm, which calls the server as OpenAI's API and as Anthropic's."""

import asyncio
import json
from collections.abc import Callable, Iterator
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
from tests.clients.server import API_KEY, EMBEDDING_MODEL, MODEL, Served

pytestmark = [
    pytest.mark.engine,
    # What pydantic says of its types, and of how it uses them.
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211"),
    pytest.mark.filterwarnings("ignore:Item '.*' on TypedDict:UserWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]
Complete = Callable[..., Any]


@pytest.fixture
def loop() -> Iterator[None]:
    """litellm asks for the thread's event loop, and would leave one open that it got made."""
    opened = asyncio.new_event_loop()
    asyncio.set_event_loop(opened)
    yield
    asyncio.set_event_loop(None)
    opened.close()


@pytest.fixture
def litellm(loop: None) -> Any:
    """Imported with its own table of prices: it would fetch one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        import litellm

    litellm.suppress_debug_info = True
    return litellm


@pytest.fixture
def complete(litellm: Any, server: Served) -> Iterator[Complete]:
    """Completions over OpenAI's API."""
    client = openai.OpenAI(base_url=server.openai_url, api_key=API_KEY, max_retries=0)

    def completion(said: Any, model: str = MODEL, **fields: Any) -> Any:
        messages = [{"role": "user", "content": said}] if isinstance(said, str) else said
        return litellm.completion(
            f"openai/{model}", messages, client=client, temperature=0, num_retries=0, **fields
        )

    with client:
        yield completion


def test_chat(complete: Complete) -> None:
    answer = complete(HELLO)
    assert I_AM in answer.choices[0].message.content
    assert answer.usage.completion_tokens > 0


def test_a_stream_says_what_the_plain_answer_says(complete: Complete) -> None:
    deltas = [chunk.choices[0].delta.content or "" for chunk in complete(STORY, stream=True)]
    assert len(deltas) > 20
    assert "".join(deltas) == complete(STORY).choices[0].message.content


def test_tool_loop(complete: Complete) -> None:
    messages: list[Any] = [{"role": "user", "content": WEATHER_IN_PARIS}]
    asked = complete(messages, tools=[WEATHER_TOOL]).choices[0]
    assert asked.finish_reason == "tool_calls"
    (call,) = asked.message.tool_calls
    result = get_weather(**json.loads(call.function.arguments))
    told = {"role": "tool", "tool_call_id": call.id, "content": result}
    messages += [asked.message, told]
    assert complete(messages, tools=[WEATHER_TOOL]).choices[0].message.content == REPORT


def test_a_streamed_call_is_the_plain_one(litellm: Any, complete: Complete) -> None:
    messages = [{"role": "user", "content": WEATHER_IN_PARIS}]
    chunks = list(complete(messages, tools=[WEATHER_TOOL], stream=True))
    built = litellm.stream_chunk_builder(chunks, messages=messages)
    (call,) = built.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Paris"}


def test_structured_output(complete: Complete) -> None:
    answer = complete(PORTRAIT, response_format=Person)
    assert Person.model_validate_json(answer.choices[0].message.content) == ANNA


def test_embeddings(litellm: Any, server: Served) -> None:
    with openai.OpenAI(base_url=server.openai_url, api_key=API_KEY) as client:
        model = f"openai/{EMBEDDING_MODEL}"
        found = litellm.embedding(model, input=[HELLO, STORY], client=client)
    assert [len(each["embedding"]) for each in found.data] == [384, 384]


def test_a_prompt_that_is_too_long_is_litellm_s_own_error(litellm: Any, complete: Complete) -> None:
    with pytest.raises(litellm.BadRequestError, match="context window") as caught:
        complete(TOO_LONG)
    assert caught.value.status_code == 400


def test_an_unknown_model_is_not_found(litellm: Any, complete: Complete) -> None:
    with pytest.raises(litellm.NotFoundError, match="no-such-model"):
        complete(HELLO, model="no-such-model")


def test_chat_over_anthropic_s_api(litellm: Any, server: Served) -> None:
    from litellm.llms.custom_httpx.http_handler import HTTPHandler

    http: Any = HTTPHandler()
    answer = litellm.completion(
        f"anthropic/{MODEL}",
        [{"role": "user", "content": WEATHER_IN_PARIS}],
        tools=[WEATHER_TOOL],
        api_base=server.url,
        api_key=API_KEY,
        client=http,
        temperature=0,
    )
    http.close()
    (call,) = answer.choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Paris"}
