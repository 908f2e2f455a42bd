"""What is asked through our server is answered as the upstream itself answers, of each kind."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.upstream_servers import MODEL_ID, WINDOW, UpstreamServer
from tests.upstreams.through import Through, assert_same, events_of, opened

pytestmark = pytest.mark.engine

# The slowest to start comes last.
KINDS = ("llama-cpp", "jarvis", "vllm")
CHAT = "/v1/chat/completions"
PLAIN = "/v1/completions"
QUESTION: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Hello! What are you?"}],
    "temperature": 0,
    "max_tokens": 12,
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
ASKED_OF_WEATHER = QUESTION | {
    "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
    "tools": [WEATHER],
    "max_tokens": 60,
}
FORCED = {"tool_choice": {"type": "function", "function": {"name": "get_weather"}}}
PERSON = {
    "type": "object",
    "properties": {"age": {"type": "integer", "maximum": 99}},
    "required": ["age"],
    "additionalProperties": False,
}
IN_SCHEMA = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
TEXT: dict[str, Any] = {"prompt": "Hello", "temperature": 0, "max_tokens": 6}
TOO_LONG = [{"role": "user", "content": "Hello there! " * 2 * WINDOW}]
USAGE = {"stream_options": {"include_usage": True}}

# A path and a body; the right ones here, and the wrong ones below.
RIGHT: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, QUESTION),
    "seeded": (CHAT, QUESTION | {"temperature": 1.0, "seed": 7}),
    "stopped": (CHAT, QUESTION | {"stop": ["tiny"]}),
    "scores": (CHAT, QUESTION | {"logprobs": True, "top_logprobs": 2, "max_tokens": 3}),
    "tools": (CHAT, ASKED_OF_WEATHER),
    "forced": (CHAT, ASKED_OF_WEATHER | FORCED),
    "json": (CHAT, QUESTION | {"response_format": {"type": "json_object"}}),
    "text": (PLAIN, TEXT),
    "text-scores": (PLAIN, TEXT | {"logprobs": 2, "max_tokens": 2}),
}
WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "value": (CHAT, QUESTION | {"temperature": "hot"}),
    "schema": (CHAT, QUESTION | {"response_format": {"type": "xml"}}),
    "no-messages": (CHAT, {"temperature": 0, "max_tokens": 1}),
    "too-long": (CHAT, QUESTION | {"messages": TOO_LONG}),
    "model": (CHAT, QUESTION | {"model": "nope"}),
    "text-value": (PLAIN, TEXT | {"max_tokens": -5}),
    "vectors": ("/v1/embeddings", {"input": "Hello"}),
}


@pytest.fixture(params=KINDS)
def asked(
    upstream_servers: dict[str, UpstreamServer],
    proxy: httpx2.Client,
    request: pytest.FixtureRequest,
) -> Iterator[Through]:
    name = request.param
    with opened(upstream_servers[name.replace("-", "_")]) as direct:
        yield Through(name, direct, proxy)


def assert_passes(asked: Through, path: str, body: dict[str, Any]) -> httpx2.Response:
    # The first one computes the prompt: what a server tells of its cache changes with it.
    asked.ask_directly(path, body)
    direct, through = asked.ask_directly(path, body), asked.ask(path, body)
    assert_same(direct, through, asked.name)
    return through


@pytest.mark.parametrize("case", RIGHT)
def test_an_answer_is_the_upstream_s_own(asked: Through, case: str) -> None:
    path, body = RIGHT[case]
    # It was not started for scores.
    is_refused = asked.name == "llama-cpp" and "scores" in case
    assert assert_passes(asked, path, body).status_code == (500 if is_refused else 200)


@pytest.mark.parametrize("case", RIGHT)
def test_a_stream_is_the_upstream_s_own_byte_for_byte(asked: Through, case: str) -> None:
    path, body = RIGHT[case]
    body = body | {"stream": True} | USAGE
    if asked.name == "llama-cpp" and "scores" in case:
        # It breaks off before the first byte, which is no answer.
        assert asked.ask(path, body).status_code == 502
        return
    streamed = assert_passes(asked, path, body)
    assert streamed.content.endswith(b"data: [DONE]\n\n")
    assert streamed.content.count(b"\n\n") > 2


@pytest.mark.parametrize("is_stream", [False, True])
def test_an_answer_in_a_schema_is_the_upstream_s_own(asked: Through, is_stream: bool) -> None:
    body = QUESTION | {"response_format": IN_SCHEMA, "stream": is_stream}
    status = assert_passes(asked, CHAT, body).status_code
    assert status == (500 if asked.name == "llama-cpp" else 200)


@pytest.mark.parametrize("case", WRONG)
def test_a_refusal_is_the_upstream_s_own(asked: Through, case: str) -> None:
    path, body = WRONG[case]
    direct, through = asked.ask_directly(path, body), asked.ask(path, body)
    assert_same(direct, through, asked.name)
    is_taken = asked.name == "llama-cpp" and case in ("model", "no-messages")
    assert (through.status_code == 200) == is_taken


@pytest.mark.parametrize("case", ["value", "model"])
def test_a_stream_is_refused_as_the_upstream_does(asked: Through, case: str) -> None:
    path, body = WRONG[case]
    body = body | {"stream": True}
    if asked.name == "llama-cpp" and case == "model":
        assert asked.ask(path, body).status_code == 200, "it takes any name"
        return
    assert_same(asked.ask_directly(path, body), asked.ask(path, body), asked.name)


def test_fields_that_only_the_upstream_knows_arrive_and_come_back(asked: Through) -> None:
    body = QUESTION | {"return_token_ids": True, "no_such_field": {"a": [1.50, "é"]}}
    through = assert_passes(asked, CHAT, body)
    if asked.name == "vllm":
        (choice,) = through.json()["choices"]
        assert len(choice["token_ids"]) == through.json()["usage"]["completion_tokens"]
    assert through.status_code == (400 if asked.name == "jarvis" else 200)


def test_a_stream_that_never_begins_is_a_failure_with_the_upstream_s_name(
    upstream_servers: dict[str, UpstreamServer], proxy: httpx2.Client
) -> None:
    """llama_cpp.server says 200 and then nothing, where a prompt is too long for it."""
    with opened(upstream_servers["llama_cpp"]) as direct:
        asked = Through("llama-cpp", direct, proxy)
        response = asked.ask(CHAT, QUESTION | {"messages": TOO_LONG, "stream": True})
    assert response.status_code == 502
    error = response.json()["error"]
    assert (error["type"], error["upstream"]) == ("upstream_error", "llama-cpp")
    assert asked.ask(CHAT, QUESTION).status_code == 200


@pytest.mark.parametrize("text", [{"prompt": "Hello world"}, {"messages": QUESTION["messages"]}])
def test_ids_are_the_upstream_s_own(asked: Through, text: dict[str, Any]) -> None:
    if asked.name == "llama-cpp":
        assert asked.ask("/tokenize", text).status_code == 404
        return
    direct, through = asked.ask_directly("/tokenize", text), asked.ask("/tokenize", text)
    assert_same(direct, through, asked.name)
    tokens = {"tokens": through.json()["tokens"]}
    back = asked.ask_directly("/detokenize", tokens), asked.ask("/detokenize", tokens)
    assert_same(*back, asked.name)


def test_large_numbers_and_doubled_names_stay_as_they_were_written(
    upstream_servers: dict[str, UpstreamServer], proxy: httpx2.Client
) -> None:
    """A seed of 64 bits would lose its end on the way through a double."""
    body = QUESTION | {"temperature": 1.0, "seed": 2**63 - 1}
    with opened(upstream_servers["jarvis"]) as direct:
        assert_passes(Through("jarvis", direct, proxy), CHAT, body)


@pytest.mark.parametrize("name", ["jarvis", "vllm"])
def test_a_call_s_deltas_join_to_its_arguments(proxy: httpx2.Client, name: str) -> None:
    body = ASKED_OF_WEATHER | FORCED | {"model": f"{name}/{MODEL_ID}", "stream": True}
    choices = [event["choices"][0] for event in events_of(proxy.post(CHAT, json=body).content)]
    calls = [call for choice in choices for call in choice["delta"].get("tool_calls") or ()]
    assert json.loads("".join(call["function"].get("arguments") or "" for call in calls))["city"]
