"""What servers of each kind really send: what our handling of them rests on.

They are asked directly, with nothing of ours between.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.upstream_servers import MODEL_ID, WINDOW, UpstreamServer

pytestmark = pytest.mark.engine

# The slowest to start comes last.
KINDS = ("llama_cpp", "jarvis", "vllm")
QUESTION = {
    "model": MODEL_ID,
    "messages": [{"role": "user", "content": "Hello! What are you?"}],
    "temperature": 0,
    "max_tokens": 3,
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
WITH_TOOL = QUESTION | {
    "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
    "tools": [WEATHER],
    "max_tokens": 60,
}
TOO_LONG = QUESTION | {"messages": [{"role": "user", "content": "Hello there! " * 2 * WINDOW}]}


class Asked:
    """One server, asked over connections that are each used once."""

    def __init__(self, name: str, server: UpstreamServer) -> None:
        self.name = name
        self._server = server

    def get(self, path: str) -> httpx2.Response:
        return httpx2.get(self._server.root_url + path, timeout=60)

    def post(self, path: str, body: dict[str, Any]) -> httpx2.Response:
        return httpx2.post(self._server.root_url + path, json=body, timeout=60)

    def chat(self, **fields: Any) -> httpx2.Response:
        return self.post("/v1/chat/completions", QUESTION | fields)

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self._server.root_url, timeout=60)


def only(upstream_servers: dict[str, UpstreamServer], name: str) -> Asked:
    return Asked(name, upstream_servers[name])


@pytest.fixture(params=KINDS)
def server(upstream_servers: dict[str, UpstreamServer], request: pytest.FixtureRequest) -> Asked:
    return only(upstream_servers, request.param)


@pytest.fixture
def llama_cpp(upstream_servers: dict[str, UpstreamServer]) -> Asked:
    return only(upstream_servers, "llama_cpp")


@pytest.fixture
def vllm(upstream_servers: dict[str, UpstreamServer]) -> Asked:
    return only(upstream_servers, "vllm")


def chunks(response: httpx2.Response) -> Iterator[dict[str, Any]]:
    """Of a whole stream: one event a chunk, nothing else, and the mark of its end."""
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *events, end, rest = response.text.split("\n\n")
    assert (end, rest) == ("data: [DONE]", "")
    for event in events:
        assert event.startswith("data: ")
        assert "\n" not in event
        yield json.loads(event.removeprefix("data: "))


def test_the_list_names_the_model_and_its_owner(server: Asked) -> None:
    response = server.get("/v1/models")
    assert response.headers["content-type"] == "application/json"
    listed = response.json()
    assert listed["object"] == "list"
    (model,) = listed["data"]
    owner = {"llama_cpp": "me", "jarvis": "jarvis-llm-proxy", "vllm": "vllm"}[server.name]
    assert (model["id"], model["object"], model["owned_by"]) == (MODEL_ID, "model", owner)
    window = None if server.name == "llama_cpp" else WINDOW
    assert model.get("max_model_len") == window
    assert ("created" in model) == (server.name != "llama_cpp")


def test_all_give_the_same_answer(server: Asked) -> None:
    body = server.chat().json()
    (choice,) = body["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == "I am Jarvis"
    assert choice["finish_reason"] == "length"
    counts = {"prompt_tokens": 14, "completion_tokens": 3, "total_tokens": 17}
    assert body["usage"] | counts == body["usage"]
    assert body["id"].startswith("chatcmpl-")


def test_vllm_sends_fields_that_openai_has_not(vllm: Asked) -> None:
    body = vllm.chat().json()
    assert body.keys() >= {"prompt_logprobs", "kv_transfer_params", "prompt_token_ids"}
    assert body["choices"][0].keys() >= {"stop_reason", "token_ids"}
    assert vllm.chat(return_token_ids=True).json()["choices"][0]["token_ids"]


def test_a_chat_stream_begins_with_a_role_alone(server: Asked) -> None:
    first, *rest = chunks(server.chat(stream=True))
    content = {} if server.name == "llama_cpp" else {"content": ""}
    assert first["choices"][0]["delta"] == {"role": "assistant"} | content
    told = [chunk["choices"][0]["delta"].get("content", "") for chunk in rest]
    assert "".join(told) == "I am Jarvis"
    assert all("role" not in chunk["choices"][0]["delta"] for chunk in rest)


def test_the_finish_reason_comes_by_itself_except_from_vllm(server: Asked) -> None:
    *_, last = chunks(server.chat(stream=True))
    assert last["choices"][0]["finish_reason"] == "length"
    delta = {"content": " Jarvis"} if server.name == "vllm" else {}
    assert last["choices"][0]["delta"] == delta


def test_usage_comes_in_a_chunk_without_choices_where_it_is_known(server: Asked) -> None:
    *others, last = chunks(server.chat(stream=True, stream_options={"include_usage": True}))
    assert all(chunk.get("usage") is None for chunk in others)
    if server.name == "llama_cpp":
        assert "usage" not in last, "it knows no stream_options"
        return
    assert last["choices"] == []
    assert (last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]) == (14, 3)


def test_a_plain_completion_streams_text_from_its_first_chunk_on(server: Asked) -> None:
    body = {"model": MODEL_ID, "prompt": "Hello", "temperature": 0, "max_tokens": 3}
    text = server.post("/v1/completions", body).json()["choices"][0]["text"]
    first, *rest = chunks(server.post("/v1/completions", body | {"stream": True}))
    assert first["choices"][0]["text"]
    assert "".join(chunk["choices"][0]["text"] for chunk in (first, *rest)) == text


def test_calls_of_tools_are_read_by_all_but_llama_cpp(server: Asked) -> None:
    (choice,) = server.post("/v1/chat/completions", WITH_TOOL).json()["choices"]
    if server.name == "llama_cpp":
        assert choice["message"]["content"].startswith('<tool_call>\n{"name": "get_weather"')
        assert choice["finish_reason"] == "stop"
        return
    (call,) = choice["message"]["tool_calls"]
    assert call["function"] == {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    assert choice["message"]["content"] is None
    assert choice["finish_reason"] == "tool_calls"


def test_the_first_delta_of_a_call_has_its_name_and_the_others_arguments(
    server: Asked,
) -> None:
    streamed = list(chunks(server.post("/v1/chat/completions", WITH_TOOL | {"stream": True})))
    deltas = [chunk["choices"][0]["delta"] for chunk in streamed]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    if server.name == "llama_cpp":
        assert not calls
        return
    first, *rest = calls
    assert (first["index"], first["type"], first["function"]["name"]) == (
        0,
        "function",
        "get_weather",
    )
    assert ("arguments" in first["function"]) == (server.name == "jarvis")
    assert all(call.keys() == {"index", "function"} for call in rest)
    assert json.loads("".join(call["function"]["arguments"] for call in rest)) == {"city": "Paris"}


def test_a_schema_is_a_failure_of_llama_cpps_server(server: Asked) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    response = server.chat(response_format=form, max_tokens=40)
    if server.name == "llama_cpp":
        assert response.status_code == 500
        return
    assert isinstance(json.loads(response.json()["choices"][0]["message"]["content"])["a"], int)


def test_unknown_fields_are_refused_by_ours_alone(server: Asked) -> None:
    response = server.chat(no_such_field=1)
    assert response.status_code == (400 if server.name == "jarvis" else 200)


def test_an_unknown_model_is_404_but_for_llama_cpp_which_takes_any(server: Asked) -> None:
    response = server.chat(model="nope")
    if server.name == "llama_cpp":
        assert (response.status_code, response.json()["model"]) == (200, "nope")
        return
    assert response.status_code == 404
    error = response.json()["error"]
    assert error["param"] == "model"
    assert error["code"] == (404 if server.name == "vllm" else "model_not_found")
    assert server.chat(model="nope", stream=True).status_code == 404


@pytest.mark.parametrize("stream", [False, True])
def test_a_bad_value_is_400_but_500_from_llama_cpp(server: Asked, stream: bool) -> None:
    response = server.chat(temperature="hot", stream=stream)
    error = response.json()["error"]
    if server.name == "llama_cpp":
        assert (response.status_code, error["type"]) == (500, "internal_server_error")
        assert 'File "' in error["message"], "it tells of its paths"
        return
    assert response.status_code == 400
    assert "temperature" in error["param"]
    assert error["code"] == (400 if server.name == "vllm" else "invalid_value")


def test_a_prompt_that_is_too_long_is_400(server: Asked) -> None:
    response = server.post("/v1/chat/completions", TOO_LONG)
    assert response.status_code == 400
    assert "error" in response.json()


def test_a_stream_of_a_too_long_prompt_is_400_or_breaks_off_empty(server: Asked) -> None:
    body = TOO_LONG | {"stream": True}
    if server.name != "llama_cpp":
        response = server.post("/v1/chat/completions", body)
        assert response.status_code == 400
        assert response.headers["content-type"] == "application/json"
        return
    with server.client() as client:
        request = client.stream("POST", "/v1/chat/completions", json=body)
        with request as response:
            assert response.status_code == 200
            assert b"".join(response.iter_raw()) == b""


def test_no_chat_model_makes_vectors(server: Asked) -> None:
    response = server.post("/v1/embeddings", {"model": MODEL_ID, "input": "Hello"})
    status = {"llama_cpp": 500, "jarvis": 400, "vllm": 404}[server.name]
    assert response.status_code == status
    has_error = "error" in response.json()
    assert has_error == (server.name != "vllm")


def test_what_a_server_has_no_path_for_is_404(server: Asked) -> None:
    response = server.get("/v1/nope")
    assert response.status_code == 404
    if server.name != "jarvis":
        assert response.json() == {"detail": "Not Found"}


def test_llama_cpp_closes_a_connection_without_saying_so(llama_cpp: Asked) -> None:
    with llama_cpp.client() as client:
        headers = {"content-type": "application/json"}
        failed = client.post("/v1/chat/completions", content=b'{"a"', headers=headers)
        assert (failed.status_code, failed.text) == (500, "Internal Server Error")
        assert failed.headers["content-type"].startswith("text/plain")
        assert "connection" not in failed.headers
        with pytest.raises((httpx2.ReadError, httpx2.RemoteProtocolError)):
            client.post("/v1/chat/completions", json=QUESTION)


def test_text_becomes_ids_at_paths_of_vllm_and_ours_alone(server: Asked) -> None:
    response = server.post("/tokenize", {"model": MODEL_ID, "prompt": "Hello world"})
    if server.name == "llama_cpp":
        assert response.status_code == 404
        return
    told = response.json()
    assert (told["count"], told["max_model_len"]) == (3, WINDOW)
    back = server.post("/detokenize", {"model": MODEL_ID, "tokens": told["tokens"]})
    assert back.json()["prompt"] == "Hello world"


def test_vllm_tells_of_its_load(vllm: Asked) -> None:
    response = vllm.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    lines = response.text.splitlines()
    for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"):
        labels = f'{{engine="0",model_name="{MODEL_ID}"}}'
        assert f"vllm:{name}{labels} 0.0" in lines
