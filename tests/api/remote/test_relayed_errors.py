"""Errors of other servers keep their status and body, and say whose they are."""

import json
from typing import Any

import pytest

from core.upstreams import UpstreamTimeouts
from tests.api.remote.harness import HELLO, One, remote_app, server_with, upstream
from tests.faulty_upstream import HANG, RESET, Answer, Endlessly, refusing_url
from tests.upstream_answers import DONE, chunk, delta, head, stream, unended, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")

ERROR = b'{"error":{"message":"no","type":"t","param":"p" ,"code":4.0e2,"x":[1.50]},"y":1.0}'
MESSAGE = {"model": "tiny", "max_tokens": 5, "messages": HELLO}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 529])
async def test_status_and_body_are_kept_and_the_name_is_added(one: One, status: int) -> None:
    response = await one.chat(whole(ERROR, status))
    streamed = await one.chat(whole(ERROR, status), stream=True)
    expected = json.loads(ERROR)
    expected["error"]["upstream"] = "a"
    for each in (response, streamed):
        assert each.status_code == status
        assert each.json() == expected
        assert b"4.0e2" in each.content
        assert b"[1.50]" in each.content
        assert each.headers["x-jarvis-upstream"] == "a"
        assert each.headers["content-type"] == "application/json"


async def test_what_the_server_said_of_waiting_is_passed_on() -> None:
    answer = whole(ERROR, 429, headers={"retry-after": "7"})
    async with server_with("tiny", answer) as server, remote_app(upstream("a", server)) as app:
        response = await app.chat("tiny")
        assert (response.status_code, response.headers["retry-after"]) == (429, "7")
        assert response.headers["x-jarvis-attempts"] == "a=429"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"detail": [{"loc":["body"]}]}', {"detail": [{"loc": ["body"]}], "upstream": "a"}),
        (b'{"error": "plain"}', {"error": "plain", "upstream": "a"}),
        (b'{"object":"error","message":"m"}', {"object": "error", "message": "m", "upstream": "a"}),
    ],
)
async def test_other_shapes_of_error_are_kept(
    one: One, body: bytes, expected: dict[str, Any]
) -> None:
    assert (await one.chat(whole(body, 400))).json() == expected


@pytest.mark.parametrize("status", [400, 503])
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html><script>alert(1)</script></html>", "<script>"),
        (b"", "said nothing"),
        (b'["a", "list"]', "list"),
        (b'"text"', "text"),
        (b"\xff\xfe\x00", "\ufffd"),
        (b'{"error": {"message": "' + b"x" * (2 << 20) + b'"}}', "xxx"),
        (b"[" * 100_000, "[[["),
        (b'{"a":' * 50_000, '{"a":'),
    ],
    ids=["html", "empty", "list", "string", "binary", "huge", "deep", "deep objects"],
)
async def test_what_is_no_error_object_is_told_as_text(
    one: One, status: int, body: bytes, says: str
) -> None:
    response = await one.chat(whole(body, status, "text/html"))
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert len(response.content) < 50_000
    error = response.json()["error"]
    assert error["upstream"] == "a"
    if not (status == 503 and body == b""):
        assert says in error["message"]


CUT_SHORT = head(200, headers={"content-length": "9"}) + b"{"
ELSEWHERE = {"location": "http://127.0.0.1:1/"}
FAILURES: dict[str, tuple[Answer, int, str]] = {
    "reset": ((RESET,), 502, "upstream_connection"),
    "reset in the body": ((CUT_SHORT, RESET), 502, "upstream_connection"),
    "not HTTP": ((b"hello\r\n\r\n", HANG), 502, "upstream_broken"),
    "not JSON": (whole(b"<html>", media_type="text/html"), 502, "upstream_broken"),
    "redirection": (whole(b"", 302, headers=ELSEWHERE), 502, "upstream_status"),
    "an error that says success": (whole({"error": {"message": "no", "code": 402}}), 402, ""),
}


@pytest.mark.parametrize("case", FAILURES)
async def test_a_server_that_fails_has_a_status_of_ours(one: One, case: str) -> None:
    answer, status, code = FAILURES[case]
    response = await one.chat(answer)
    assert response.status_code == status
    error = response.json()["error"]
    assert error["upstream"] == "a"
    if code:
        assert error["code"] == code
        assert "upstream a" in error["message"]
        assert "127.0.0.1" not in response.text


async def test_a_server_that_is_not_there_is_a_bad_gateway() -> None:
    with refusing_url() as url:
        async with remote_app(upstream("a", url, models={"tiny": "tiny"})) as app:
            response = await app.chat("tiny")
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "upstream_connection"
    assert url.split("//")[1].split("/")[0] not in response.text


async def test_a_silent_server_is_a_time_out() -> None:
    quick = UpstreamTimeouts(read_s=0.1, total_s=None)
    async with (
        server_with("tiny", (HANG,)) as server,
        remote_app(upstream("a", server, timeouts=quick)) as app,
    ):
        response = await app.chat("tiny")
        assert response.status_code == 504
        assert response.json()["error"]["code"] == "upstream_timeout"
        await server.requests[-1].is_gone.wait()
        await app.is_idle()


async def test_a_stream_that_breaks_ends_with_an_error_event_and_no_done(one: One) -> None:
    response = await one.chat(unended(delta("a"), RESET), stream=True)
    assert response.status_code == 200
    first, last = response.content.removesuffix(b"\n\n").split(b"\n\n")
    assert first + b"\n\n" == delta("a")
    assert last.startswith(b"event: error\ndata: ")
    error = json.loads(last.split(b"data: ")[1])["error"]
    assert (error["upstream"], error["code"]) == ("a", "upstream_connection")
    assert b"[DONE]" not in response.content


@pytest.mark.parametrize(
    "own",
    [
        b'event: error\ndata: {"error":{"message":"m","code":500}}\n\n',
        b'data: {"error":{"message":"m"}}\n\n',
    ],
)
async def test_an_error_event_of_the_servers_own_arrives_and_ends_the_stream(
    one: One, own: bytes
) -> None:
    answer = stream(delta("a"), own, delta("never"), DONE)
    response = await one.chat(answer, stream=True)
    assert response.content == delta("a") + own


async def test_half_a_character_is_an_error_event(one: One) -> None:
    half = b'data: {"choices":[{"delta":{"content":"\xf0\x9f"}}]}\n\n'
    response = await one.chat(unended(delta("a"), half, HANG), stream=True)
    assert response.content.startswith(delta("a") + b"event: error\n")
    assert half not in response.content
    response.content.decode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (429, "rate_limit_error"),
        (503, "overloaded_error"),
        (500, "api_error"),
    ],
)
async def test_messages_tell_them_in_anthropics_shape(one: One, status: int, kind: str) -> None:
    one.server.answer(whole(ERROR, status))
    for each in (
        await one.app.client.post("/v1/messages", json=MESSAGE),
        await one.app.client.post("/v1/messages", json=MESSAGE | {"stream": True}),
    ):
        assert each.status_code == status
        body = each.json()
        assert (body["type"], set(body)) == ("error", {"type", "error", "request_id"})
        assert body["error"]["type"] == kind
        assert "upstream a" in body["error"]["message"]
        assert "no" in body["error"]["message"].split()
        assert each.headers["x-jarvis-upstream"] == "a"


@pytest.mark.parametrize("status", [400, 404, 429, 500])
async def test_responses_tell_them_as_chats_do(one: One, status: int) -> None:
    one.server.answer(whole(ERROR, status))
    response = await one.app.client.post("/v1/responses", json={"model": "tiny", "input": "a"})
    assert response.status_code == status
    assert response.json()["error"]["upstream"] == "a"
    assert response.json()["y"] == 1.0


async def test_an_enormous_answer_is_not_collected(one: One) -> None:
    """A gibibyte that never ends is given up at the limit, and the connection with it."""
    steps = (
        head(200, headers={"transfer-encoding": "chunked"}),
        Endlessly(chunk(b" " * (4 << 20))),
    )
    async with server_with("tiny", steps) as server, remote_app(upstream("a", server)) as app:
        response = await app.chat("tiny")
        assert response.status_code == 502
        assert response.json()["error"]["code"] == "upstream_broken"
        await server.requests[-1].is_gone.wait()
        await app.is_idle()
