"""What other servers answer arrives as they sent it, and they get what the client wrote."""

import asyncio
import json
from typing import Any

import pytest

from tests.api.remote.harness import One, remote_app, sent, server_with, upstream
from tests.faulty_upstream import FaultyUpstream
from tests.upstream_answers import (
    DONE,
    chat,
    chat_answer,
    delta,
    embeddings,
    event,
    last_delta,
    stream,
    whole,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Numbers, escapes, order and fields that a decoder would change or drop.
ODD_FIELDS = (
    b'"messages": [{"role":"user","content":"h\\u0069 \\ud83d\\ude00 \\/ \xc3\xa9"},'
    b' {"role":"user","content":[{"type":"image_url","image_url":'
    b'{"url":"data:image/png;base64,iVBORw0KGgo="}}, {"type":"text","text":"what?"}]}],'
    b' "temperature":1.0,"top_p" :1e-1, "seed": 12345678901234567890123,'
    b' "x_unknown": {"a":[1.50,null,{"b":{}}],"z":-0.0}, "logit_bias":{"5":1E2},'
    b'"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],'
    b' "response_format":{"type":"json_schema","json_schema":{"name":"n","schema":true}}'
)
ODD_ANSWER = (
    b' {"id" : "x",\n\t"choices":[ ] , "usage":{"prompt_tokens":1.0e0,"cost":0.000012},'
    b'"h\\u0069":"\\u00e9", "big": 12345678901234567890123, "provider":{"name":null}}\r\n '
)
PATHS = {
    "/v1/chat/completions": b'{"messages":[{"role":"user","content":"hi"}],%s}',
    "/v1/completions": b'{"prompt":[1,2 ,3],%s}',
    "/v1/embeddings": b'{"input":["a",[1,2]],%s}',
    "/v1/rerank": b'{"query":"a","documents":[{"text":"b"}],%s}',
    "/v1/score": b'{"text_1":"a","text_2":["b"],%s}',
}


def body_at(server: FaultyUpstream) -> bytes:
    return server.requests[-1].body


async def test_every_field_reaches_the_server_byte_for_byte_but_the_model() -> None:
    async with server_with("tiny", chat_answer("x")) as server:
        there = upstream("a", server, models={"mine": "owner/theirs"})
        async with remote_app(there) as app:
            body = b'{"model":"m\\u0069ne",' + ODD_FIELDS + b"}"
            assert (await app.raw("/v1/chat/completions", body)).status_code == 200
    expected = body.replace(b'"m\\u0069ne"', b'"owner/theirs"')
    received = body_at(server)
    assert json.loads(received) == json.loads(expected)
    for piece in (
        b'"h\\u0069 \\ud83d\\ude00 \\/ \xc3\xa9"',
        b":1.0,",
        b":1e-1",
        b"12345678901234567890123",
        b'{"a":[1.50,null,{"b":{}}],"z":-0.0}',
        b'{"5":1E2}',
        b'"data:image/png;base64,iVBORw0KGgo="}}, {"type"',
    ):
        assert piece in received, piece
    assert list(json.loads(received)) == list(json.loads(expected))


@pytest.mark.parametrize("path", PATHS)
async def test_a_whole_answer_arrives_byte_for_byte(one: One, path: str) -> None:
    one.server.answer(whole(ODD_ANSWER))
    response = await one.app.raw(path, PATHS[path] % b'"model":"tiny","odd":1.0')
    assert response.status_code == 200
    assert response.content == ODD_ANSWER
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-jarvis-upstream"] == "a"
    assert "x-jarvis-attempts" not in response.headers
    assert one.server.requests[-1].path == path
    assert b'"odd":1.0' in body_at(one.server)


async def test_vectors_arrive_as_they_were_sent(one: One) -> None:
    answer = embeddings(2)
    one.server.answer(whole(answer))
    response = await one.app.raw("/v1/embeddings", b'{"model":"tiny","input":["a","b"]}')
    assert response.json() == answer


def odd_events() -> list[bytes]:
    """Calls in pieces, thoughts, comments, odd line ends and spaces, unknown fields."""
    call: dict[str, Any] = {"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}
    return [
        b": a comment\n\n",
        delta(role="assistant", content=""),
        delta(reasoning_content="hm \U0001f600", x_extra={"a": 1.0}),
        delta(tool_calls=[call]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"a'}}]),
        b'data:{"choices" : [{"index":0, "delta":{"content":"\\u00e9"}, "x": 1.50}] }\r\n\r\n',
        b'id: 7\nevent: message\ndata: {"choices":\ndata: [{"delta":{"content":"b"}}]}\n\n',
        last_delta(reason="tool_calls"),
        event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4, "cost": 0.1}}),
        DONE,
    ]


async def test_a_stream_arrives_byte_for_byte(one: One) -> None:
    events = odd_events()
    response = await one.chat(stream(*events), stream=True)
    assert response.content == b"".join(events)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-jarvis-upstream"] == "a"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
async def test_a_stream_cut_at_any_byte_arrives_the_same(one: One, size: int) -> None:
    data = b"".join(odd_events())
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    assert (await one.chat(stream(*pieces), stream=True)).content == data


async def test_chunks_are_passed_on_as_they_come(one: One) -> None:
    """The server holds each chunk back until the client has the one before."""
    gates = [asyncio.Event() for _ in range(3)]
    one.server.answer(
        stream(delta("a"), gates[0], delta("b"), gates[1], delta("c"), gates[2], DONE)
    )
    body = {"model": "tiny", "messages": [], "stream": True}
    async with one.app.client.stream("POST", "/v1/chat/completions", json=body) as response:
        pieces = response.aiter_bytes()
        for gate, expected in zip(gates, "abc", strict=True):
            assert await anext(pieces) == delta(expected)
            gate.set()
        assert [piece async for piece in pieces] == [DONE]


async def test_a_server_that_does_not_stream_answers_whole(one: One) -> None:
    response = await one.chat(whole(chat("x")), stream=True)
    assert response.json() == chat("x")
    assert response.headers["content-type"] == "application/json"


async def test_a_request_without_a_model_is_the_default_ones() -> None:
    async with (
        server_with("tiny", chat_answer("x")) as server,
        remote_app(upstream("a", server, default_model="tiny")) as app,
    ):
        assert (await app.chat()).status_code == 200
        assert (await app.chat("")).status_code == 200
    assert [body["model"] for body in sent(server)] == ["tiny", "tiny"]


async def test_large_bodies_arrive_whole(one: One) -> None:
    one.server.answer(chat_answer("x"))
    body = b'{"messages":[{"role":"user","content":"%b"}],"model":"tiny"}' % (b"x" * (12 << 20))
    assert (await one.app.raw("/v1/chat/completions", body)).status_code == 200
    assert body_at(one.server) == body
