"""Owns a server behind the wire that follows a script, and remembers what it was asked when."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from backends.remote.endpoint import Endpoint
from backends.upstream import StreamedReply, UpstreamCall, UpstreamReply, WholeReply
from core.errors import UpstreamFailed, UpstreamFailure, UpstreamFault
from core.upstreams import Upstream, UpstreamKind
from tests.backends.remote.virtual_time import now


class ScriptedEvents:
    """Gives out `pieces`, waits for numbers among them, and raises an error."""

    def __init__(self, *pieces: bytes | float | Exception) -> None:
        self._pieces = list(pieces)
        self.num_closes = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while self._pieces:
            piece = self._pieces.pop(0)
            if isinstance(piece, bytes):
                return piece
            if isinstance(piece, Exception):
                raise piece
            await asyncio.sleep(piece)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.num_closes += 1
        self._pieces.clear()


@dataclass(frozen=True)
class Answer:
    """What comes `after_s` seconds after a request; an exception is raised."""

    reply: UpstreamReply | Exception
    after_s: float = 0.0


@dataclass
class ScriptedWire:
    """Gives one answer after another, the last one again and again. `times` are those at which it
    was asked, by the event loop's clock; `num_cancelled` counts requests that were ended early.
    """

    url: str
    answers: list[Answer]
    times: list[float] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    num_cancelled: int = 0

    async def ask(self, call: UpstreamCall, model: str) -> UpstreamReply:
        self.times.append(now())
        self.models.append(model)
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        try:
            await asyncio.sleep(answer.after_s)
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        if isinstance(answer.reply, Exception):
            raise answer.reply
        return answer.reply

    async def get(self, path: str) -> WholeReply:
        raise NotImplementedError(path)

    async def close(self) -> None:
        pass


def whole(body: bytes = b"{}", status: int = 200) -> WholeReply:
    return WholeReply("u", status, "application/json", body)


def streamed(*pieces: bytes | float | Exception) -> StreamedReply:
    return StreamedReply("u", ScriptedEvents(*pieces))


def failed(
    fault: UpstreamFault = UpstreamFault.CONNECTION,
    status: int | None = None,
    retry_after_s: float | None = None,
) -> UpstreamFailed:
    failure = UpstreamFailure("u", fault, status=status, retry_after_s=retry_after_s)
    return UpstreamFailed("it failed", failure)


def status(code: int, retry_after_s: float | None = None) -> UpstreamFailed:
    return failed(UpstreamFault.STATUS, code, retry_after_s)


def call(
    prompt_start: bytes = b"", *, is_stream: bool = False, client_key: str | None = None
) -> UpstreamCall:
    key = None if client_key is None else SecretStr(client_key)
    return UpstreamCall("r", "chat/completions", {}, is_stream, prompt_start, key)


def upstream(name: str = "u", num_urls: int = 1, **fields: Any) -> Upstream:
    urls = tuple(f"http://{name}-{index}/v1" for index in range(num_urls))
    return Upstream(name, UpstreamKind.VLLM, urls, **fields)


def endpoints(
    owner: Upstream, *scripts: Sequence[Answer | UpstreamReply | Exception]
) -> tuple[list[Endpoint], list[ScriptedWire]]:
    """One endpoint and its wire for each script, with the event loop's clock."""
    wires = [
        ScriptedWire(url, [a if isinstance(a, Answer) else Answer(a) for a in script])
        for url, script in zip(owner.base_urls, scripts, strict=True)
    ]
    return [Endpoint(owner, wire, loop_clock()) for wire in wires], wires


def loop_clock() -> Callable[[], float]:
    return asyncio.get_running_loop().time
