"""Requests and whole answers of a wire, over real connections to a server that can fail."""

import asyncio
import json
import socket

import pytest

from backends.remote.http_wire import WireLimits
from backends.remote.response_bodies import MAX_ERROR
from backends.upstream import WholeReply
from core.errors import UpstreamFailed, UpstreamFault
from tests.backends.remote.wires import (
    ask_whole,
    call,
    failure_of,
    open_wire,
    soon,
)
from tests.faulty_upstream import (
    CLOSE,
    HANG,
    RESET,
    Endlessly,
    Slowly,
    Steps,
    faulty_upstream,
    refusing_url,
)
from tests.upstream_answers import (
    chat,
    delta,
    event,
    good_upstream,
    gzip_bomb,
    head,
    models,
    status,
    stream,
    whole,
)

CHAT = json.dumps(chat()).encode()


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 413, 422])
async def test_the_servers_refusals_are_answers(code: int) -> None:
    async with faulty_upstream(status(code)) as server, open_wire(server.url) as wire:
        for is_stream in (False, True):
            reply = await ask_whole(wire, call(is_stream=is_stream))
            assert (reply.status, json.loads(reply.body)["error"]["code"]) == (code, code)


async def test_a_refusal_that_is_no_json_is_an_answer_too() -> None:
    refusal = whole(b"<h1>no</h1>", 404, "text/html")
    async with faulty_upstream(refusal) as server, open_wire(server.url) as wire:
        reply = await ask_whole(wire)
        assert (reply.body, reply.media_type) == (b"<h1>no</h1>", "text/html")


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("code", [300, 304, 408, 429, 500, 502, 503, 504, 599])
async def test_statuses_that_others_may_not_have_are_failures(code: int, is_stream: bool) -> None:
    answer = status(code, {"retry-after": "7"}) if code != 304 else whole(b"", 304)
    async with faulty_upstream(answer) as server, open_wire(server.url) as wire:
        failure = await failure_of(wire, is_stream=is_stream)
        assert (failure.fault, failure.status) == (UpstreamFault.STATUS, code)
        if code != 304:
            assert json.loads(failure.body)["error"]["code"] == code
            assert (failure.retry_after_s, failure.media_type) == (7.0, "application/json")


BROKEN_ANSWERS: dict[str, Steps] = {
    "not JSON": whole(b"<html>ready</html>", media_type="text/html"),
    "half of a JSON": whole(CHAT[:-1]),
    "not UTF-8": whole(b'{"choices":"\xff"}'),
    "empty": whole(b""),
    "an error": whole({"error": {"message": "no"}}),
    "cut short": (head(headers={"content-length": "1000"}) + CHAT, CLOSE),
    "cut chunks": (head(headers={"transfer-encoding": "chunked"}) + b"5\r\n{}", CLOSE),
    "compressed": whole(CHAT, headers={"content-encoding": "gzip"}),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n",),
    "endless headers": (b"HTTP/1.1 200 OK\r\n", Endlessly(b"x-more: and more\r\n")),
}


@pytest.mark.parametrize("name", BROKEN_ANSWERS)
async def test_answers_that_are_none_are_broken(name: str) -> None:
    async with faulty_upstream(BROKEN_ANSWERS[name]) as server, open_wire(server.url) as wire:
        failure = await failure_of(wire)
        assert failure.fault is UpstreamFault.BROKEN


async def test_an_error_with_a_status_on_success_has_that_status() -> None:
    error = {"error": {"message": "busy", "code": 429}, "user_id": "u"}
    async with faulty_upstream(whole(error)) as server, open_wire(server.url) as wire:
        failure = await failure_of(wire)
        assert (failure.fault, failure.status) == (UpstreamFault.STATUS, 429)
        assert json.loads(failure.body) == error


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("code", [400, 401, 404, 422])
async def test_a_refusal_on_success_is_an_answer_as_one_by_status_is(
    code: int, is_stream: bool
) -> None:
    error = {"error": {"message": "too long", "code": code}}
    steps = stream(delta(role="assistant"), event(error)) if is_stream else whole(error)
    async with faulty_upstream(steps) as server, open_wire(server.url) as wire:
        reply = await wire.ask(call(is_stream=is_stream), "tiny")
        assert isinstance(reply, WholeReply)
        assert (reply.status, json.loads(reply.body)) == (code, error)


async def test_a_bomb_of_gzip_is_not_unpacked() -> None:
    async with faulty_upstream(gzip_bomb()) as server, open_wire(server.url) as wire:
        assert (await failure_of(wire)).fault is UpstreamFault.BROKEN


async def test_an_answer_is_bounded() -> None:
    limits = WireLimits(max_answer=100_000)
    endless = (head(headers={"connection": "close"}), Endlessly(b" " * 4096))
    async with faulty_upstream(endless) as server, open_wire(server.url, limits=limits) as wire:
        assert (await failure_of(wire)).fault is UpstreamFault.BROKEN
        await soon(server.requests[0].is_gone.wait())


async def test_an_errors_body_is_cut_and_its_status_is_known_without_it() -> None:
    endless = (head(500, headers={"connection": "close"}), Endlessly(b"x" * 4096))
    reset = (head(503, headers={"content-length": "1000"}) + b"half", RESET)
    async with faulty_upstream(endless, reset) as server, open_wire(server.url) as wire:
        failure = await failure_of(wire)
        assert (failure.status, len(failure.body)) == (500, MAX_ERROR)
        assert (await failure_of(wire)).status == 503


async def test_an_errors_body_is_not_waited_for_long() -> None:
    hanging = (head(502, headers={"content-length": "1000"}) + b"half", HANG)
    limits = WireLimits(error_body_s=0.2)
    async with (
        faulty_upstream(hanging) as server,
        open_wire(server.url, read_s=60, limits=limits) as wire,
    ):
        failure = await soon(failure_of(wire))
        assert (failure.fault, failure.status) == (UpstreamFault.STATUS, 502)
        await soon(server.requests[0].is_gone.wait())


async def test_a_closed_port_is_a_connection_failure() -> None:
    with refusing_url() as url:
        async with open_wire(url) as wire:
            assert (await failure_of(wire)).fault is UpstreamFault.CONNECTION


@pytest.mark.parametrize(
    "steps", [(RESET,), (CLOSE,), (b"HTTP/1.1 200 OK\r\n", RESET)], ids=["reset", "close", "half"]
)
async def test_a_connection_that_breaks_before_an_answer_is_a_connection_failure(
    steps: Steps,
) -> None:
    async with faulty_upstream(steps) as server, open_wire(server.url) as wire:
        assert (await failure_of(wire)).fault is UpstreamFault.CONNECTION
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "steps",
    [
        (HANG,),
        (b"HTTP/1.1 200 OK\r\n", HANG),
        (Slowly(b"HTTP/1.1 200 OK\r\n" + b"x-a: b\r\n" * 99, 0.02),),
        (head(headers={"content-length": "1000"}) + CHAT, HANG),
    ],
    ids=["nothing", "half of the head", "a head in drops", "half of the body"],
)
async def test_a_server_that_takes_too_long_is_a_time_out(
    steps: Steps,
) -> None:
    async with (
        faulty_upstream(steps) as server,
        open_wire(server.url, connect_s=0.3, read_s=0.1) as wire,
    ):
        assert (await failure_of(wire)).fault is UpstreamFault.TIMEOUT
        await soon(server.requests[0].is_gone.wait())


async def test_a_port_that_accepts_nobody_is_a_time_out() -> None:
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for each in (first, second):  # these fill what the system accepts for it
            each.setblocking(False)
            each.connect_ex(listening.getsockname())
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        async with open_wire(url, connect_s=0.2) as wire:
            assert (await failure_of(wire)).fault is UpstreamFault.TIMEOUT


async def test_connections_are_used_again() -> None:
    async with faulty_upstream(whole(CHAT)) as server, open_wire(server.url) as wire:
        for _ in range(5):
            await ask_whole(wire)
        assert server.num_connections == 1


async def test_a_request_on_a_connection_that_just_closed_is_sent_once_more() -> None:
    answers = (whole(CHAT), (CLOSE,), whole(CHAT), (RESET,), whole(CHAT))
    async with faulty_upstream(*answers) as server, open_wire(server.url) as wire:
        for _ in range(3):
            assert (await ask_whole(wire)).body == CHAT
        assert [request.connection for request in server.requests] == [0, 0, 1, 1, 2]


async def test_a_request_is_not_sent_again_on_a_new_connection() -> None:
    async with faulty_upstream(whole(CHAT), (CLOSE,)) as server, open_wire(server.url) as wire:
        await ask_whole(wire)
        assert (await failure_of(wire)).fault is UpstreamFault.CONNECTION
        assert [request.connection for request in server.requests] == [0, 0, 1]


async def test_many_requests_at_once_wait_for_no_connection() -> None:
    gate = asyncio.Event()
    async with faulty_upstream((gate, *whole(CHAT))) as server, open_wire(server.url) as wire:
        asked = [asyncio.create_task(ask_whole(wire)) for _ in range(150)]
        await soon(server.seen(150))
        gate.set()
        assert [reply.status for reply in await asyncio.gather(*asked)] == [200] * 150


@pytest.mark.parametrize(
    "steps",
    [(HANG,), (b"HTTP/1.1 200", HANG), (head(headers={"content-length": "9"}) + b"{", HANG)],
    ids=["before the head", "in the head", "in the body"],
)
async def test_cancelling_ends_the_request_at_the_server(steps: Steps) -> None:
    async with faulty_upstream(steps) as server, open_wire(server.url) as wire:
        asking = asyncio.create_task(wire.ask(call(), "tiny"))
        seen = await soon(server.seen())
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await soon(seen.is_gone.wait())
        await soon(server.until(lambda: server.num_open == 0))


async def test_closing_ends_what_is_under_way_and_refuses_what_comes() -> None:
    async with faulty_upstream((HANG,)) as server, open_wire(server.url) as wire:
        asking = asyncio.create_task(failure_of(wire))
        seen = await soon(server.seen())
        await wire.close()
        await wire.close()
        assert (await soon(asking)).fault is UpstreamFault.UNAVAILABLE
        await soon(seen.is_gone.wait())
        assert (await failure_of(wire)).fault is UpstreamFault.UNAVAILABLE
        with pytest.raises(UpstreamFailed):
            await wire.get("models")


async def test_documents_come_with_any_status() -> None:
    async with good_upstream("a", "b") as server, open_wire(server.url) as wire:
        assert json.loads((await wire.get("models")).body) == models("a", "b", max_model_len=4096)
        assert b"vllm:num_requests_running" in (await wire.get("/metrics")).body
        assert (await wire.get("/health")).body == b""
        assert (await wire.get("nothing")).status == 404
        server.answer_path("/v1/models", status(503))
        assert (await wire.get("models")).status == 503


async def test_documents_are_bounded_in_size_and_time() -> None:
    limits = WireLimits(max_document=100_000, document_s=0.3)
    endless = (head(headers={"connection": "close"}), Endlessly(b" " * 65536))
    drops = (head(headers={"content-length": "10000"}), Slowly(b" " * 10000, 0.02))
    async with (
        faulty_upstream(endless, drops) as server,
        open_wire(server.url, limits=limits) as wire,
    ):
        for fault in (UpstreamFault.BROKEN, UpstreamFault.TIMEOUT):
            with pytest.raises(UpstreamFailed) as raised:
                await wire.get("models")
            assert raised.value.failure.fault is fault
