"""One of three servers is killed under load, and comes back: no request is lost."""

import asyncio
import json
from collections import Counter
from time import monotonic

import msgspec
import pytest

from backends.remote.endpoint import Endpoint
from backends.remote.http_wire import HttpWire
from backends.remote.sending import Sender
from backends.remote.wire import EndpointCheck
from backends.upstream import (
    BreakerState,
    Place,
    StreamedReply,
    UpstreamCall,
    UpstreamReply,
    WholeReply,
)
from core.errors import UpstreamFailed
from core.upstreams import Upstream, UpstreamKind
from tests.upstream_process import NUM_PIECES, UpstreamProcess, upstream_processes

NUM_CLIENTS, NUM_ROUNDS = 48, 8
HERE = (Place("u", "tiny"),)


class Clock:
    """Real time, with jumps."""

    jumped_s = 0.0

    def __call__(self) -> float:
        return monotonic() + self.jumped_s


class Load:
    """Clients of both kinds, and what became of their requests: `ended` counts which server's
    answers came whole, `num_broken` streams that failed after their beginning.
    """

    def __init__(self, endpoints: list[Endpoint]) -> None:
        self._sender = Sender(endpoints)
        self.ended: Counter[str] = Counter()
        self.num_broken = 0
        self.is_half_done = asyncio.Event()

    async def run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(NUM_CLIENTS)))

    async def ask(self, prompt_start: bytes, *, is_stream: bool) -> None:
        fields = {"messages": msgspec.Raw(b"[]")}
        if is_stream:
            fields["stream"] = msgspec.Raw(b"true")
        call = UpstreamCall("r", "chat/completions", fields, is_stream, prompt_start)
        await self._read(await self._sender.send(call, HERE))
        if self.ended.total() > NUM_CLIENTS * NUM_ROUNDS // 3:
            self.is_half_done.set()

    async def _client(self, number: int) -> None:
        for turn in range(NUM_ROUNDS):
            prompt_start = b"%d" % (number % 6) if number % 3 else b""
            await self.ask(prompt_start, is_stream=(number + turn) % 2 == 0)

    async def _read(self, reply: UpstreamReply) -> None:
        if isinstance(reply, WholeReply):
            assert reply.status == 200
            self.ended[json.loads(reply.body)["choices"][0]["message"]["content"]] += 1
            return
        try:
            await self._read_events(reply)
        except UpstreamFailed:
            self.num_broken += 1
        finally:
            await reply.events.aclose()

    async def _read_events(self, reply: StreamedReply) -> None:
        text = b"".join([piece async for piece in reply.events])
        events = text.split(b"\n\n")
        assert events[NUM_PIECES:] == [b"data: [DONE]", b""]
        names = {json.loads(each[6:])["choices"][0]["delta"]["content"] for each in events[:-2]}
        (name,) = names
        self.ended[name] += 1


def endpoints_of(processes: list[UpstreamProcess], clock: Clock) -> list[Endpoint]:
    urls = tuple(process.url for process in processes)
    upstream = Upstream("u", UpstreamKind.OPENAI, urls)
    return [Endpoint(upstream, HttpWire(upstream, url), clock) for url in urls]


def breaker_of(endpoint: Endpoint) -> BreakerState:
    return endpoint.state.breaker


@pytest.mark.timeout(30)
async def test_no_request_is_lost_when_one_of_three_is_killed_under_load() -> None:
    clock = Clock()
    async with upstream_processes("a", "b", "c") as processes:
        endpoints = endpoints_of(processes, clock)
        load = Load(endpoints)
        running = asyncio.ensure_future(load.run())
        await load.is_half_done.wait()
        await processes[0].kill()
        assert set(load.ended) == {"a", "b", "c"}
        await running
        # Streams that had begun there may have broken, and nothing else.
        assert load.ended.total() + load.num_broken == NUM_CLIENTS * NUM_ROUNDS
        assert load.num_broken <= NUM_CLIENTS
        assert breaker_of(endpoints[0]) is BreakerState.OPEN
        assert [each.num_outstanding for each in endpoints] == [0, 0, 0]

        await processes[0].start()
        clock.jumped_s += endpoints[0].upstream.breaker.open_s
        endpoints[0].see(EndpointCheck(is_reachable=True))
        num_before = load.ended["a"]
        for index in range(20):
            await load.ask(b"%d" % index, is_stream=index % 2 == 0)
        assert breaker_of(endpoints[0]) is BreakerState.CLOSED
        assert load.ended["a"] > num_before + 1
        for each in endpoints:
            await each.wire.close()
