"""Clients and servers that mean no good: nothing is sent elsewhere, shown as HTML, or held up."""

import asyncio
import json
from typing import Any

import pytest

from api.remote.fields import passed_body
from core.bounds import RequestBounds
from core.errors import InvalidValue
from tests.api.remote.harness import (
    HELLO,
    One,
    answering,
    posted,
    remote_app,
    sent,
    server_with,
    upstream,
)
from tests.api.reply_lines import reply_lines
from tests.upstream_answers import DONE, chat_answer, delta, event, stream, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")

ELSEWHERE = (
    "api_base",
    "api_key",
    "api_type",
    "api_version",
    "base_url",
    "custom_llm_provider",
    "extra_body",
    "extra_headers",
    "extra_query",
    "fallbacks",
    "organization",
    "proxy_server",
)
HTML = b"<html><script>alert(document.cookie)</script></html>"


@pytest.mark.parametrize("field", ELSEWHERE)
async def test_a_field_that_leads_elsewhere_is_refused(one: One, field: str) -> None:
    one.server.answer(chat_answer("x"))
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings"):
        body = {"model": "tiny", "messages": HELLO, "input": "a", field: "http://127.0.0.1:1"}
        response = await one.app.client.post(path, json=body)
        assert response.status_code == 400
        assert response.json()["error"]["param"] == field
    spelled = json.dumps(field).replace("a", "\\u0061").replace("e", "\\u0065").encode()
    body_bytes = b'{"model":"tiny",%b:"http://127.0.0.1:1"}' % spelled
    assert (await one.app.raw("/v1/chat/completions", body_bytes)).status_code == 400
    assert posted(one.server) == 0


HOSTILE_NAMES = (
    "x" * 10_000,
    "a/" + "x" * 10_000,
    "a/../../admin",
    "a://../../../etc/passwd",
    "a/%0d%0aset-cookie:%20a=b",
    "a/\r\nset-cookie: a=b\r\n\r\n<html>",
    "a/\x00\x1b[31m\u202e",
    "a/\U0001f600",
    "http://127.0.0.1:1/v1",
    "a//evil.example/v1",
    "a/?key=1#x",
    "{a}",
    "'; DROP TABLE models; --",
)


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=range(len(HOSTILE_NAMES)))
async def test_a_name_is_a_name_and_nothing_else(
    one: One, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It reaches no path, no header and no line of the log as anything but text."""
    one.server.answer(chat_answer("x"))
    for path in ("/v1/chat/completions", "/v1/messages", "/v1/responses"):
        body: dict[str, Any] = {"model": name, "messages": HELLO, "max_tokens": 3}
        if path == "/v1/responses":
            body = {"model": name, "input": "a"}
        response = await one.app.client.post(path, json=body)
        assert response.status_code in (200, 400, 404)
        assert response.headers["content-type"] == "application/json"
        assert "set-cookie" not in response.headers
        if response.status_code != 200:
            assert len(response.content) < 1000
    for seen, given in zip(
        [each for each in one.server.requests if each.method == "POST"],
        sent(one.server),
        strict=True,
    ):
        assert seen.path == "/v1/chat/completions"
        assert given["model"] == name.removeprefix("a://").removeprefix("a/")
    assert all(len(line) < 2000 and "\x1b" not in line for line in caplog.messages)
    assert all("\n" not in line for line in caplog.messages)


async def test_a_failed_request_with_a_long_name_makes_a_short_line(
    one: One, caplog: pytest.LogCaptureFixture
) -> None:
    one.server.answer(whole(b"", 500))
    await one.app.chat("a/" + "x\n" * 50_000)
    assert all(len(line) < 2000 and "\n" not in line for line in caplog.messages)


async def test_an_upstreams_name_is_a_header_whatever_it_holds() -> None:
    for name in ("\u00fcber", "\u65e5\u672c", "a\r\nset-cookie: b=c"):
        async with (
            server_with("tiny", chat_answer("x")) as server,
            remote_app(upstream(name, server)) as app,
        ):
            good = await app.chat("tiny", stream=True)
            server.answer(whole(b"", 500))
            bad = await app.chat("tiny")
        for each in (good, bad):
            assert "set-cookie" not in each.headers
            assert each.headers["x-jarvis-upstream"].isascii()
        assert bad.headers["x-jarvis-attempts"].endswith("=500")


@pytest.mark.parametrize("media_type", ["text/html", "text/html; charset=utf-8", "image/svg+xml"])
async def test_html_is_never_shown_as_html(one: One, media_type: str) -> None:
    page = json.dumps({"id": HTML.decode()}).encode()
    for answer in (
        whole(HTML, 200, media_type),
        whole(HTML, 400, media_type),
        whole(HTML, 500, media_type),
        whole(page, 200, media_type),
        whole(b'{"error":"%b"}' % HTML, 404, media_type),
    ):
        for wants_stream in (False, True):
            response = await one.chat(answer, stream=wants_stream)
            assert response.headers["content-type"] == "application/json"


async def test_headers_of_a_server_are_not_passed_on(one: One) -> None:
    odd = {"set-cookie": "a=b", "location": "/x", "x-jarvis-upstream": "evil", "server": "evil"}
    odd |= {"access-control-allow-origin": "*", "content-security-policy": "x", "refresh": "0"}
    for code in (200, 404, 500):
        response = await one.chat(whole({"id": "x"}, code, headers=odd))
        assert response.headers["x-jarvis-upstream"] == "a"
        assert not set(odd) - {"x-jarvis-upstream", "server"} & set(response.headers)
        assert "evil" not in str(response.headers)


async def test_a_server_that_pretends_to_count_is_not_believed_or_logged(
    one: One, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    odd = (
        b'{"choices":[],"usage":{"prompt_tokens":"\\u001b[31m"}}',
        b'{"choices":[],"usage":{"prompt_tokens":%d}}' % 10**80,
        b'{"choices":[],"usage":{"prompt_tokens":-1}}',
        b'{"choices":[],"usage":[1]}',
        b'{"choices":[],"usage":' + b'{"a":' * 900 + b"1" + b"}" * 901,
        b'{"choices":["\\"usage\\""]}',
        b'{"usage":null,"choices":["usage"]}',
    )
    for body in odd:
        caplog.clear()
        assert (await one.chat(whole(body))).content == body
        (line,) = reply_lines(caplog)
        assert "prompt_tokens=0 completion_tokens=0" in line


async def test_a_request_makes_one_line(one: One, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    usage = event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}})
    cases = {
        "done": (stream(delta("a"), usage, DONE), "3"),
        "failed": (stream(delta("a"), usage), "3"),
    }
    for outcome, (answer, count) in cases.items():
        caplog.clear()
        await one.chat(answer, stream=True)
        (line,) = reply_lines(caplog)
        assert f"upstream=a outcome={outcome} choices=1 prompt_tokens={count} " in line
    caplog.clear()
    await one.chat(whole({"error": {}}, 404))
    (line,) = reply_lines(caplog)
    assert "status=404" in line
    assert "outcome" not in line
    caplog.clear()
    await one.chat(whole(b"", 500))
    (line,) = reply_lines(caplog)
    assert "upstream=a outcome=failed choices=1 prompt_tokens=0 " in line


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'"text"',
        b'{"model":1}',
        b'{"model":"tiny","stream":"yes"}',
        b'{"model":"tiny","stream":1}',
        b'{"model":"tiny"',
        b'{"model":"tiny","a":NaN}',
        b'{"model":"tiny","a":"\xff"}',
        b'{"model":"tiny","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"model":"tiny","a":[' + b"[]," * 1_100_000 + b"1]}",
        b'\xef\xbb\xbf{"model":"tiny"}',
    ],
    ids=range(13),
)
async def test_what_is_no_request_goes_nowhere(one: One, body: bytes) -> None:
    one.server.answer(chat_answer("x"))
    response = await one.app.raw("/v1/chat/completions", body)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_value"
    assert len(response.content) < 1000
    assert posted(one.server) == 0


async def test_a_body_that_is_too_large_goes_nowhere(one: One) -> None:
    body = b'{"model":"tiny","a":"%b"}' % (b"x" * (16 << 20))
    response = await one.app.raw("/v1/chat/completions", body)
    assert response.status_code == 413
    other = await one.app.raw("/v1/chat/completions", b"{}", **{"content-type": "text/plain"})
    assert other.status_code == 415
    assert posted(one.server) == 0


async def test_the_last_of_two_fields_of_one_name_is_the_one_that_counts(one: One) -> None:
    """For us as for the server: else one could be checked and another one used."""
    one.server.answer(chat_answer("x"))
    body = b'{"model":"nobodys","model":"tiny","stream":true,"stream":false,"messages":[]}'
    response = await one.app.raw("/v1/chat/completions", body)
    assert response.headers["content-type"] == "application/json"
    assert one.server.requests[-1].body == b'{"model":"tiny","stream":false,"messages":[]}'


async def test_a_large_body_is_read_beside_the_loop() -> None:
    """Other work goes on between: the loop makes steps while the body is read."""
    text = b'{"model":"tiny","a":[%b]}' % b",".join([b'{"b":1.0}'] * 120_000)
    steps = 0

    async def count() -> None:
        nonlocal steps
        while True:
            steps += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    body = await passed_body(text, RequestBounds())
    counting.cancel()
    assert bytes(body.fields["model"]) == b'"tiny"'
    assert steps > 2


async def test_a_broken_large_body_is_refused_in_few_words() -> None:
    with pytest.raises(InvalidValue) as error:
        await passed_body(b'{"a":"' + b"x" * 200_000, RequestBounds())
    assert len(str(error.value)) < 300


async def test_the_engine_here_refuses_what_it_always_did() -> None:
    async with (
        server_with("tiny") as server,
        remote_app(upstream("a", server), local=answering()) as app,
    ):
        response = await app.chat(api_base="http://127.0.0.1:1")
    assert response.status_code == 400
    assert "api_base" in response.json()["error"]["message"]
