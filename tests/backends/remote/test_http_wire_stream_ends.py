"""How streams of a wire end: done, closed, cancelled; and what becomes of their connections."""

import asyncio
from contextlib import suppress

import pytest

from backends.upstream import StreamedReply
from core.errors import UpstreamFault
from tests.backends.remote.wires import (
    ask_stream,
    failure_of,
    open_wire,
    read_all,
    read_until_failure,
    soon,
)
from tests.faulty_upstream import (
    HANG,
    FaultyUpstream,
    Steps,
    faulty_upstream,
)
from tests.upstream_answers import (
    DONE,
    chat_stream,
    delta,
    stream,
    unended,
)

ROLE = delta(role="assistant", content="")
PING = b": ping\n\n"


async def streamed_and_done(server: FaultyUpstream, reply: StreamedReply) -> None:
    await read_all(reply)
    await reply.events.aclose()
    await soon(server.until(lambda: server.requests[-1].was_answered.is_set()))


async def test_a_connection_is_used_again_after_a_stream() -> None:
    async with faulty_upstream(chat_stream("a", "b")) as server, open_wire(server.url) as wire:
        for _ in range(4):
            await streamed_and_done(server, await ask_stream(wire))
            await asyncio.gather(*wire._endings)
        assert server.num_connections == 1


async def test_done_is_the_end_even_where_the_server_does_not_close() -> None:
    answer = unended(delta("a"), DONE, PING, HANG)
    async with faulty_upstream(answer) as server, open_wire(server.url, read_s=60) as wire:
        assert await soon(read_all(await ask_stream(wire))) == delta("a") + DONE
        await soon(server.requests[0].is_gone.wait())


async def test_what_comes_behind_done_is_not_given_out() -> None:
    answer = stream(delta("a") + DONE + delta("never"), delta("never"))
    async with faulty_upstream(answer) as server, open_wire(server.url) as wire:
        assert await read_all(await ask_stream(wire)) == delta("a") + DONE


async def test_closing_a_stream_ends_it_at_the_server_also_unread() -> None:
    async with faulty_upstream(unended(delta("a"), HANG)) as server, open_wire(server.url) as wire:
        for number in range(2):
            reply = await ask_stream(wire)
            if number:
                await anext(reply.events)
            await reply.events.aclose()
            await reply.events.aclose()
            await soon(server.requests[number].is_gone.wait())
            assert [item async for item in reply.events] == []
        await soon(server.until(lambda: server.num_open == 0))


async def test_a_closing_that_is_cancelled_closes_all_the_same() -> None:
    async with faulty_upstream(unended(delta("a"), HANG)) as server, open_wire(server.url) as wire:
        for number in range(3):
            reply = await ask_stream(wire)
            closing = asyncio.create_task(reply.events.aclose())
            for _ in range(number):
                await asyncio.sleep(0)
            closing.cancel()
            with suppress(asyncio.CancelledError):
                await closing
            await reply.events.aclose()  # that one may have been cancelled before it began
            await soon(server.requests[number].is_gone.wait())
        await soon(server.until(lambda: server.num_open == 0))


async def test_a_stream_can_be_closed_while_another_task_reads_it() -> None:
    async with faulty_upstream(unended(delta("a"), HANG)) as server, open_wire(server.url) as wire:
        reply = await ask_stream(wire)
        await anext(reply.events)
        reading = asyncio.create_task(read_until_failure(reply))
        await asyncio.sleep(0)
        await reply.events.aclose()
        _, failure = await soon(reading)
        assert failure.fault is UpstreamFault.CONNECTION
        await soon(server.requests[0].is_gone.wait())


@pytest.mark.parametrize(
    "steps", [unended(HANG), unended(ROLE, HANG), unended(ROLE[:9], HANG)], ids=range(3)
)
async def test_cancelling_before_the_first_part_ends_the_request(steps: Steps) -> None:
    async with faulty_upstream(steps) as server, open_wire(server.url) as wire:
        asking = asyncio.create_task(ask_stream(wire))
        seen = await soon(server.seen())
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await soon(seen.is_gone.wait())
        await soon(server.until(lambda: server.num_open == 0))


async def test_cancelling_a_reader_and_closing_ends_the_request() -> None:
    async with faulty_upstream(unended(delta("a"), HANG)) as server, open_wire(server.url) as wire:
        reply = await ask_stream(wire)
        reading = asyncio.create_task(read_all(reply))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await soon(server.requests[0].is_gone.wait())


async def test_closing_the_wire_breaks_its_streams() -> None:
    async with faulty_upstream(unended(delta("a"), HANG)) as server, open_wire(server.url) as wire:
        reply = await ask_stream(wire)
        waiting = asyncio.create_task(failure_of(wire, is_stream=True))
        server.answer(unended(ROLE, HANG))
        await soon(server.seen(2))
        reading = asyncio.create_task(read_until_failure(reply))
        await asyncio.sleep(0)
        await wire.close()
        came, failure = await soon(reading)
        assert (came, failure.fault) == (delta("a"), UpstreamFault.CONNECTION)
        assert (await soon(waiting)).fault is UpstreamFault.UNAVAILABLE
        await soon(server.until(lambda: server.num_open == 0))
