"""A client that goes ends its request at the server, and nothing of it is left here."""

import asyncio
import contextlib
import socket
from typing import Any

import pytest
from starlette.requests import Request

from api.disconnect import ClientGone
from api.event_stream import EventStreamResponse
from api.remote.relay import reply_for
from backends.upstream import StreamedReply
from tests.api.remote.harness import (
    HELLO,
    One,
    RemoteApp,
    remote_app,
    server_with,
    servers_with,
    upstream,
)
from tests.api.visits import visiting
from tests.faulty_upstream import HANG, Endlessly, FaultyUpstream
from tests.serving.remote.made_host import MadeEvents
from tests.upstream_answers import (
    STREAM_HEAD,
    chat_answer,
    chunk,
    delta,
    head,
    status,
    unended,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def post_until(app: RemoteApp, reached: Any, **fields: Any) -> None:
    """Sends a chat, waits for what `reached` waits for, and goes."""
    request = asyncio.create_task(app.chat("tiny", **fields))
    await reached
    request.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await request


async def server_posts(server: FaultyUpstream, count: int) -> None:
    """Waits until so many requests were posted."""
    await server.until(lambda: sum(each.method == "POST" for each in server.requests) >= count)


async def gone(one: One) -> None:
    """Waits until the server has seen it, and nothing is left here."""
    seen = next(each for each in one.server.requests if each.method == "POST")
    await seen.is_gone.wait()
    await one.app.is_idle()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_while_the_server_is_silent(one: One, stream: bool) -> None:
    one.server.answer((HANG,))
    await post_until(one.app, server_posts(one.server, 1), stream=stream)
    await gone(one)


async def test_in_the_middle_of_a_whole_answer(one: One) -> None:
    one.server.answer((head(200, headers={"content-length": "99"}) + b"{", HANG))
    await post_until(one.app, server_posts(one.server, 1))
    await gone(one)


async def test_behind_the_headers_and_before_the_first_token(one: One) -> None:
    one.server.answer(unended(delta(role="assistant"), HANG))
    await post_until(one.app, server_posts(one.server, 1), stream=True)
    await gone(one)


async def test_in_the_middle_of_a_stream(one: One) -> None:
    one.server.answer(unended(delta("a"), HANG))
    body = {"model": "tiny", "messages": HELLO, "stream": True}
    async with one.app.client.stream("POST", "/v1/chat/completions", json=body) as response:
        await anext(response.aiter_bytes())
    await gone(one)


async def test_in_the_middle_of_a_stream_that_always_has_more(one: One) -> None:
    one.server.answer((STREAM_HEAD, Endlessly(chunk(delta("a") * 100))))
    body = {"model": "tiny", "messages": HELLO, "stream": True}
    async with one.app.client.stream("POST", "/v1/chat/completions", json=body) as response:
        pieces = response.aiter_bytes()
        for _ in range(3):
            await anext(pieces)
    await gone(one)


async def test_a_client_that_reads_nothing_holds_up_the_server_and_not_us(one: One) -> None:
    """What it does not read is not collected here."""
    one.server.answer((STREAM_HEAD, Endlessly(chunk(delta("a" * 50_000)))))
    body = b'{"model":"tiny","messages":[],"stream":true}'
    host, port = one.app.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        request = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        await loop.sock_sendall(client, request)
        await loop.sock_recv(client, 1)
        # Others are served meanwhile.
        assert (await one.app.client.get("/health")).status_code == 200
    await gone(one)


async def test_while_retries_are_under_way() -> None:
    async with (
        server_with("tiny", status(503, {"retry-after": "3"})) as server,
        remote_app(upstream("a", server, max_retries=5)) as app,
    ):
        await post_until(app, server_posts(server, 1))
        await app.is_idle()
        assert len([each for each in server.requests if each.method == "POST"]) == 1


async def test_while_a_stand_in_is_asked() -> None:
    async with servers_with({"tiny": status(500), "other": (HANG,)}) as (bad, silent):
        a, b = upstream("a", bad), upstream("b", silent)
        async with remote_app(a, b, default_fallbacks=("other",)) as app:
            await post_until(app, server_posts(silent, 1))
            seen = next(each for each in silent.requests if each.method == "POST")
            await seen.is_gone.wait()
            await app.is_idle()


async def test_many_that_come_and_go_leave_nothing(one: One) -> None:
    one.server.answer(unended(delta("a"), HANG))
    before = len(asyncio.all_tasks())
    requests = [asyncio.create_task(one.app.chat("tiny", stream=True)) for _ in range(20)]
    await server_posts(one.server, 20)
    for request in requests:
        request.cancel()
    await asyncio.gather(*requests, return_exceptions=True)
    await one.app.is_idle()
    for seen in one.server.requests:
        await seen.is_gone.wait()
    while len(asyncio.all_tasks()) > before:
        await asyncio.sleep(0)
    assert (await one.chat(chat_answer("fine"))).status_code == 200


class _Running:
    """What an application holds for a request, as far as a relay needs it."""

    def __init__(self) -> None:
        self.state = self
        self.running: set[asyncio.Task[None]] = set()


def request_of(app: _Running, has_gone: asyncio.Event) -> Request:
    async def receive() -> dict[str, Any]:
        await has_gone.wait()
        return {"type": "http.disconnect"}

    return visiting(receive, app=app)


async def test_a_reply_that_comes_as_its_handler_is_cancelled_is_closed() -> None:
    app, events, comes = _Running(), MadeEvents([delta("a")]), asyncio.Event()

    async def sending() -> StreamedReply:
        await comes.wait()
        return StreamedReply("a", events)

    handler = asyncio.create_task(reply_for(request_of(app, asyncio.Event()), sending()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    comes.set()
    # The reply is there after two steps of the loop, its handler goes on after a third.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    handler.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handler
    await asyncio.gather(*app.running)
    assert events.is_closed


async def test_a_request_that_is_given_up_before_its_reply_is_cancelled() -> None:
    app, has_gone, was_cancelled = _Running(), asyncio.Event(), asyncio.Event()

    async def sending() -> StreamedReply:
        has_gone.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            was_cancelled.set()
        raise AssertionError

    with pytest.raises(ClientGone):
        await reply_for(request_of(app, has_gone), sending())
    await was_cancelled.wait()


async def test_a_stream_that_is_never_begun_is_ended() -> None:
    outcomes: list[str] = []

    async def frames() -> Any:
        yield b"never"

    async def send(_: Any) -> None:
        raise OSError("gone")

    async def receive() -> dict[str, Any]:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    response = EventStreamResponse(frames(), outcomes.append, {})
    with contextlib.suppress(BaseExceptionGroup, OSError):
        await response({"type": "http", "method": "POST", "headers": []}, receive, send)
    assert outcomes[:1] == ["gone"]
