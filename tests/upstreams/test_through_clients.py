"""The openai package and litellm, through our server, over two kinds of upstream."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.clients.questions import (
    ANNA,
    PORTRAIT,
    REPORT,
    TOO_LONG,
    WEATHER_IN_PARIS,
    WEATHER_TOOL,
    Person,
    get_weather,
)
from tests.upstream_servers import MODEL_ID, UpstreamServer

pytestmark = [
    pytest.mark.engine,
    # What pydantic says of litellm's types, and of how it uses them.
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211"),
    pytest.mark.filterwarnings("ignore:Item '.*' on TypedDict:UserWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]
HELLO, I_AM = "Hello! What are you?", "I am Jarvis, a tiny language model."


@pytest.fixture(params=["jarvis", "vllm"])
def model(request: pytest.FixtureRequest) -> str:
    return f"{request.param}/{MODEL_ID}"


@pytest.fixture
def client(proxied: UpstreamServer) -> Iterator[openai.OpenAI]:
    url = proxied.base_url
    with openai.OpenAI(base_url=url, api_key="unused", max_retries=0) as opened:
        yield opened


def said(client: openai.OpenAI, model: str, messages: Any, **fields: Any) -> Any:
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    return client.chat.completions.create(model=model, messages=messages, temperature=0, **fields)


def test_openai_chat(client: openai.OpenAI, model: str) -> None:
    plain = said(client, model, HELLO)
    assert plain.choices[0].message.content == I_AM
    options: Any = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(said(client, model, HELLO, **options))
    deltas = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(deltas) == I_AM
    assert chunks[-1].usage.completion_tokens == plain.usage.completion_tokens
    with said(client, model, HELLO, stream=True) as stream:
        next(iter(stream))
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "user", "content": HELLO}], max_tokens=1
    )
    assert raw.headers["x-jarvis-upstream"] == model.partition("/")[0]


@pytest.mark.parametrize("is_streamed", [False, True], ids=["plain", "streamed"])
def test_openai_tool_loop(client: openai.OpenAI, model: str, is_streamed: bool) -> None:
    messages: list[Any] = [{"role": "user", "content": WEATHER_IN_PARIS}]
    fields: dict[str, Any] = {"model": model, "tools": [WEATHER_TOOL], "temperature": 0}
    if is_streamed:
        with client.chat.completions.stream(messages=messages, **fields) as stream:
            choice: Any = stream.get_final_completion().choices[0]
    else:
        choice = client.chat.completions.create(messages=messages, **fields).choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    result = get_weather(**json.loads(call.function.arguments))
    told = {"role": "tool", "tool_call_id": call.id, "content": result}
    answer = said(client, model, [*messages, choice.message, told], tools=[WEATHER_TOOL])
    assert answer.choices[0].message.content == REPORT


def test_openai_structured_output(client: openai.OpenAI, model: str) -> None:
    messages: Any = [{"role": "user", "content": PORTRAIT}]
    fields: Any = {"model": model, "messages": messages, "temperature": 0}
    parsed = client.chat.completions.parse(response_format=Person, **fields)
    assert parsed.choices[0].message.parsed == ANNA
    with client.chat.completions.stream(response_format=Person, **fields) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == ANNA


def test_openai_errors_are_of_the_package_s_classes(client: openai.OpenAI, model: str) -> None:
    upstream = model.partition("/")[0]
    for is_stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            said(client, model, TOO_LONG, stream=is_stream)
        assert caught.value.body is not None
        assert caught.value.body["upstream"] == upstream  # type: ignore[index]
    with pytest.raises(openai.NotFoundError) as unknown:
        said(client, f"{upstream}/nope", HELLO)
    assert unknown.value.param == "model"
    with pytest.raises(openai.NotFoundError, match="nobody-has-this"):
        said(client, "nobody-has-this", HELLO)


def test_openai_failures_of_an_upstream_are_server_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        said(client, f"llama-cpp/{MODEL_ID}", HELLO, top_p="high")
    assert caught.value.status_code == 500
    with pytest.raises(openai.InternalServerError) as empty:
        said(client, f"llama-cpp/{MODEL_ID}", TOO_LONG, stream=True)
    assert empty.value.status_code == 502


@pytest.fixture
def litellm() -> Iterator[Any]:
    """Imported with its own table of prices: it would fetch one. It asks for the thread's event
    loop, and would leave one open that it got made.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        import litellm

    litellm.suppress_debug_info = True
    yield litellm
    asyncio.set_event_loop(None)
    loop.close()


def test_litellm(litellm: Any, client: openai.OpenAI, model: str) -> None:
    def completion(text: str, **fields: Any) -> Any:
        messages = [{"role": "user", "content": text}]
        name = f"openai/{fields.pop('model', model)}"
        return litellm.completion(
            name, messages, client=client, temperature=0, num_retries=0, **fields
        )

    assert completion(HELLO).choices[0].message.content == I_AM
    deltas = [chunk.choices[0].delta.content or "" for chunk in completion(HELLO, stream=True)]
    assert "".join(deltas) == I_AM
    chunks = list(completion(WEATHER_IN_PARIS, tools=[WEATHER_TOOL], stream=True))
    (call,) = litellm.stream_chunk_builder(chunks).choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    parsed = completion(PORTRAIT, response_format=Person).choices[0].message.content
    assert Person.model_validate_json(parsed) == ANNA
    with pytest.raises(litellm.BadRequestError):
        completion(TOO_LONG)
    with pytest.raises(litellm.NotFoundError):
        completion(HELLO, model="nobody-has-this")
