"""How tests make a wire and a call for it, and what they ask of a failure."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from backends.remote.http_wire import HttpWire, WireLimits
from backends.upstream import StreamedReply, UpstreamCall, WholeReply
from core.errors import UpstreamFailed, UpstreamFailure
from core.upstreams import Upstream, UpstreamKind, UpstreamTimeouts

KEY = "sk-of-the-upstream"
FIELDS = {"messages": b'[{"role":"user","content":"hi"}]'}


def upstream(url: str, *, connect_s: float = 2.0, read_s: float = 3.0, **settings: Any) -> Upstream:
    timeouts = UpstreamTimeouts(connect_s, read_s)
    return Upstream("gpu-box", UpstreamKind.VLLM, (url,), timeouts=timeouts, **settings)


def call(
    *,
    is_stream: bool = False,
    path: str = "chat/completions",
    client_key: str | None = None,
    fields: Mapping[str, bytes] = FIELDS,
) -> UpstreamCall:
    raw = {name: msgspec.Raw(value) for name, value in fields.items()}
    key = None if client_key is None else SecretStr(client_key)
    return UpstreamCall("r1", path, raw, is_stream, client_key=key)


@asynccontextmanager
async def open_wire(
    url: str, *, limits: WireLimits | None = None, **settings: Any
) -> AsyncIterator[HttpWire]:
    wire = HttpWire(upstream(url, **settings), url, limits)
    try:
        yield wire
    finally:
        await wire.close()


async def ask_whole(wire: HttpWire, asked: UpstreamCall | None = None) -> WholeReply:
    reply = await wire.ask(asked or call(), "tiny")
    assert isinstance(reply, WholeReply)
    return reply


async def ask_stream(wire: HttpWire) -> StreamedReply:
    reply = await wire.ask(call(is_stream=True), "tiny")
    assert isinstance(reply, StreamedReply)
    return reply


async def failure_of(wire: HttpWire, *, is_stream: bool = False) -> UpstreamFailure:
    """How asking fails, which it has to."""
    with pytest.raises(UpstreamFailed) as raised:
        await wire.ask(call(is_stream=is_stream), "tiny")
    assert "gpu-box" in str(raised.value)
    assert KEY not in str(raised.value)
    return raised.value.failure


async def read_until_failure(reply: StreamedReply) -> tuple[bytes, UpstreamFailure]:
    """What came before a stream broke, which it has to."""
    pieces: list[bytes] = []

    async def read() -> None:
        async for piece in reply.events:
            pieces.append(piece)

    with pytest.raises(UpstreamFailed) as raised:
        await read()
    await reply.events.aclose()
    assert all(pieces)
    return b"".join(pieces), raised.value.failure


async def read_all(reply: StreamedReply) -> bytes:
    try:
        return b"".join([piece async for piece in reply.events])
    finally:
        await reply.events.aclose()


async def soon(awaitable: Any) -> Any:
    """With a bound, so that what never comes is a failed test and not one that hangs."""
    return await asyncio.wait_for(awaitable, 4)
