"""Streams of a wire: what is held back, what is given out, and what breaks them."""

import asyncio
import json

import pytest

from backends.remote.event_cutting import MAX_EVENT
from backends.remote.event_relay import MAX_HELD
from core.errors import UpstreamFault
from tests.backends.remote.wires import (
    ask_stream,
    ask_whole,
    call,
    failure_of,
    open_wire,
    read_all,
    read_until_failure,
    soon,
)
from tests.faulty_upstream import (
    CLOSE,
    HANG,
    RESET,
    Endlessly,
    Slowly,
    Step,
    Steps,
    faulty_upstream,
)
from tests.upstream_answers import (
    DONE,
    LAST_CHUNK,
    chat,
    chat_stream,
    chunk,
    delta,
    event,
    last_delta,
    status,
    stream,
    unended,
    whole,
)

ROLE = delta(role="assistant", content="")
PING = b": ping\n\n"
ERROR = event({"error": {"message": "out of memory", "type": "server_error"}})


async def test_a_stream_comes_byte_for_byte() -> None:
    odd = b'event: x\r\nid: 7\r\ndata: {"choices":[{"delta":{"unknown": [1.50]}}]}\r\n\r\n'
    events = [ROLE, PING, delta("a"), odd, delta("é" * 9), last_delta(), DONE]
    async with faulty_upstream(stream(*events)) as server, open_wire(server.url) as wire:
        assert await read_all(await ask_stream(wire)) == b"".join(events)


async def test_every_item_is_whole_events_however_they_are_cut() -> None:
    events = [ROLE, delta("ä😀"), b'data: {"a":\r\ndata: 1}\r\n\r\n', b": x\r\r", delta("b"), DONE]
    everything = b"".join(events)
    for size in (1, 2, 3, 7):
        pieces = [everything[start : start + size] for start in range(0, len(everything), size)]
        async with faulty_upstream(stream(*pieces)) as server, open_wire(server.url) as wire:
            reply = await ask_stream(wire)
            items = [item async for item in reply.events]
            await reply.events.aclose()
        assert b"".join(items) == everything
        ends = (b"\n\n", b"\r\n\r\n", b"\r\r", b"\r\n\r")
        assert all(item.endswith(ends) and item.decode() for item in items)


async def test_half_a_character_at_a_border_comes_through_whole() -> None:
    text = delta("né😀")
    for cut in range(1, len(text)):
        answer = stream(ROLE, text[:cut], text[cut:], DONE)
        async with faulty_upstream(answer) as server, open_wire(server.url) as wire:
            assert await read_all(await ask_stream(wire)) == ROLE + text + DONE


@pytest.mark.parametrize(
    "first",
    [
        delta("a"),
        delta(reasoning_content="hm"),
        delta(reasoning="hm"),
        delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": ""}}]),
        delta(refusal="no"),
        delta(something_new={"x": 1}),
        last_delta(),
        event({"choices": [{"text": "a", "index": 0}]}),
        event({"choices": [], "usage": {"prompt_tokens": 1}}),
        event({"type": "response.output_text.delta", "delta": "a"}),
        DONE,
    ],
)
async def test_the_first_part_of_an_answer_ends_the_wait(first: bytes) -> None:
    gate = asyncio.Event()
    answer = stream(ROLE, PING, first, gate, DONE)
    async with faulty_upstream(answer) as server, open_wire(server.url) as wire:
        reply = await soon(ask_stream(wire))
        assert await anext(reply.events) == ROLE + PING + first
        gate.set()
        await reply.events.aclose()


@pytest.mark.parametrize(
    "opening",
    [
        ROLE,
        delta(),
        delta(content=None, role="assistant", reasoning_content=None),
        PING,
        event({"type": "ping"}),
        event({"choices": [], "prompt_filter_results": []}),
        event({"type": "response.created", "response": {"error": None}}),
        b"retry: 100\n\n",
        b"\r\n\r\n",
    ],
)
async def test_what_comes_before_an_answer_is_held_back(opening: bytes) -> None:
    """So a failure behind it can still go elsewhere."""
    async with (
        faulty_upstream(unended(opening, RESET)) as server,
        open_wire(server.url) as wire,
    ):
        assert (await failure_of(wire, is_stream=True)).fault is UpstreamFault.CONNECTION


@pytest.mark.parametrize(
    "steps",
    [
        stream(ROLE, ERROR, DONE),
        stream(ERROR),
        stream(b'event: error\ndata: {"message": "no"}\n\n'),
        stream(b'error: {"message": "no"}\n\n'),
        stream(event({"error": {"code": 1234}})),
        stream(event({"error": {"code": True}, "status": "busy"})),
        stream(event({"object": "error", "message": "no"})),
        stream(event({"type": "error", "message": "no"})),
        stream(b"data: <html>\n\n"),
        stream(b"data: [1]\n\n"),
        stream(b"data: {\n\n"),
        stream(ROLE),
        stream(),
        stream(b"data: \xff\n\n"),
        stream(b'data: {"choices":'),
    ],
)
async def test_errors_before_an_answer_are_failures(steps: Steps) -> None:
    async with faulty_upstream(steps) as server, open_wire(server.url) as wire:
        assert (await failure_of(wire, is_stream=True)).fault is UpstreamFault.BROKEN


@pytest.mark.parametrize(
    "error", [{"error": {"code": 503}}, {"error": {"code": "503"}}, {"error": "x", "status": 503}]
)
async def test_an_error_before_an_answer_has_the_status_that_stands_in_it(
    error: dict[str, object],
) -> None:
    async with faulty_upstream(stream(ROLE, event(error))) as server, open_wire(server.url) as wire:
        failure = await failure_of(wire, is_stream=True)
        assert (failure.fault, failure.status) == (UpstreamFault.STATUS, 503)
        assert json.loads(failure.body) == error


@pytest.mark.parametrize("is_in_one_piece", [True, False])
async def test_an_error_behind_the_first_part_is_passed_on_and_ends_the_stream(
    is_in_one_piece: bool,
) -> None:
    events = [ROLE, delta("a"), ERROR, delta("never"), DONE]
    pieces = [b"".join(events)] if is_in_one_piece else events
    async with faulty_upstream(stream(*pieces)) as server, open_wire(server.url) as wire:
        assert await read_all(await ask_stream(wire)) == ROLE + delta("a") + ERROR


async def test_words_of_errors_in_a_text_end_nothing() -> None:
    texts = [delta('"error": 1'), delta("event: error"), delta("data: [DONE]\n\n[DONE]")]
    named = event({"error": None, "choices": [{"delta": {"content": "error"}}]})
    async with (
        faulty_upstream(stream(delta("a"), *texts, named, DONE)) as server,
        open_wire(server.url) as wire,
    ):
        everything = await read_all(await ask_stream(wire))
        assert everything == delta("a") + b"".join(texts) + named + DONE


@pytest.mark.parametrize(
    ("steps", "fault"),
    [
        ((LAST_CHUNK,), UpstreamFault.BROKEN),
        ((CLOSE,), UpstreamFault.BROKEN),
        ((RESET,), UpstreamFault.CONNECTION),
        ((HANG,), UpstreamFault.TIMEOUT),
        ((chunk(delta("never")[:-1]), LAST_CHUNK), UpstreamFault.BROKEN),
        ((chunk(b"data: [DONE]\n"), LAST_CHUNK), UpstreamFault.BROKEN),
        ((chunk(b"data: [DONE]"), RESET), UpstreamFault.CONNECTION),
        ((chunk(b'data: "\xc3"\n\n'), chunk(DONE), LAST_CHUNK), UpstreamFault.BROKEN),
        ((chunk(b'data: "\xc3'), LAST_CHUNK), UpstreamFault.BROKEN),
        ((chunk(b'data: "\xc3'), CLOSE), UpstreamFault.BROKEN),
        ((b"zz\r\nno chunk\r\n",), UpstreamFault.BROKEN),
    ],
)
async def test_a_stream_that_breaks_is_a_failure_without_half_an_event(
    steps: tuple[Step, ...], fault: UpstreamFault
) -> None:
    good = ROLE + delta("a") + delta("b")
    answer = (*unended(good), *steps)
    async with faulty_upstream(answer) as server, open_wire(server.url, read_s=0.2) as wire:
        came, failure = await read_until_failure(await ask_stream(wire))
        assert (came, failure.fault) == (good, fault)
        # Where the body ended as HTTP wants it, the connection is kept.
        num_kept = int(steps[-1] is LAST_CHUNK)
        await soon(server.until(lambda: server.num_open == num_kept))


async def test_events_before_a_broken_one_in_the_same_piece_are_given_out() -> None:
    good = delta("é") + delta("b")
    answer = stream(delta("a"), good + b'data: "\xff"\n\n' + delta("never"), DONE)
    async with faulty_upstream(answer) as server, open_wire(server.url) as wire:
        came, failure = await read_until_failure(await ask_stream(wire))
        assert (came, failure.fault) == (delta("a") + good, UpstreamFault.BROKEN)


@pytest.mark.parametrize("num_bytes", range(0, 700, 23))
async def test_a_reset_after_any_number_of_bytes_loses_and_invents_nothing(num_bytes: int) -> None:
    sent = b"".join(each for each in chat_stream("a", "ü") if isinstance(each, bytes))
    opening, first = delta("", role="assistant"), delta("a")
    body = opening + first + delta("ü") + last_delta() + DONE
    async with (
        faulty_upstream((sent[:num_bytes], RESET)) as server,
        open_wire(server.url) as wire,
    ):
        came = b""
        if first in sent[:num_bytes]:
            came, failure = await read_until_failure(await ask_stream(wire))
        else:
            failure = await failure_of(wire, is_stream=True)
        assert failure.fault is UpstreamFault.CONNECTION
        assert body.startswith(came)
        assert came == b"" or came.endswith(b"\n\n")


async def test_an_event_without_end_is_bounded() -> None:
    piece = chunk(b"x" * 65536)
    async with (
        faulty_upstream((*unended(delta("a"), b"data: "), Endlessly(piece))) as server,
        open_wire(server.url) as wire,
    ):
        came, failure = await read_until_failure(await ask_stream(wire))
        assert (came, failure.fault) == (delta("a"), UpstreamFault.BROKEN)
        await soon(server.requests[0].is_gone.wait())


async def test_a_long_event_comes_whole() -> None:
    long = delta("x" * (MAX_EVENT // 2))
    pieces = [long[start : start + 65536] for start in range(0, len(long), 65536)]
    async with faulty_upstream(stream(*pieces, DONE)) as server, open_wire(server.url) as wire:
        assert await read_all(await ask_stream(wire)) == long + DONE


async def test_pings_without_end_are_held_back_up_to_a_bound() -> None:
    ping = b": " + b"p" * 4000 + b"\n\n"
    async with (
        faulty_upstream((*unended(), Endlessly(chunk(ping)))) as server,
        open_wire(server.url) as wire,
    ):
        reply = await ask_stream(wire)
        held = await anext(reply.events)
        assert MAX_HELD < len(held) < MAX_HELD + 2 * len(ping) + 65536
        await reply.events.aclose()
        await soon(server.requests[0].is_gone.wait())


async def test_a_last_event_may_hold_other_fields_and_other_ends_of_lines() -> None:
    done = b"event: done\r\ndata: [DONE]\r\nid: 5\r\n\r\n"
    async with (
        faulty_upstream(stream(delta("a") + done, delta("never"))) as server,
        open_wire(server.url) as wire,
    ):
        assert await read_all(await ask_stream(wire)) == delta("a") + done


async def test_a_slow_stream_is_no_time_out_while_something_comes() -> None:
    (head, *_) = unended()
    assert isinstance(head, bytes)
    drops = Slowly(chunk(delta("a") + DONE) + LAST_CHUNK, 0.02, 4)
    async with (
        faulty_upstream((head, drops)) as server,
        open_wire(server.url, connect_s=0.1, read_s=0.3) as wire,
    ):
        assert await read_all(await ask_stream(wire)) == delta("a") + DONE


async def test_json_instead_of_a_stream_is_a_whole_answer() -> None:
    async with faulty_upstream(whole(chat())) as server, open_wire(server.url) as wire:
        reply = await ask_whole(wire, call(is_stream=True))
        assert json.loads(reply.body) == chat()
        server.answer(whole(b"<html>", media_type="text/html"))
        assert (await failure_of(wire, is_stream=True)).fault is UpstreamFault.BROKEN
        server.answer(whole({"error": {"message": "no"}}))
        assert (await failure_of(wire, is_stream=True)).fault is UpstreamFault.BROKEN


async def test_a_status_of_an_error_is_not_read_as_a_stream() -> None:
    async with faulty_upstream(status(503)) as server, open_wire(server.url) as wire:
        failure = await failure_of(wire, is_stream=True)
        assert (failure.status, json.loads(failure.body)["error"]["code"]) == (503, 503)
