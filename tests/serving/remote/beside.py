"""The same backend asked here and through a real server, for tests that compare the two."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from backends.base import Backend
from backends.delegate import Delegate
from backends.remote.host import RemoteHost
from backends.upstream import Place
from core.events import (
    GenerationEnd,
    GenerationEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from core.requests import GenerationRequest
from core.upstreams import Upstream, UpstreamKind, UpstreamPlan
from serving.remote.answers import RemoteAnswers
from serving.remote.targets import RemoteTarget
from serving.service import GenerationService, ServingOptions
from tests.engines import StartedBackend, serve


@dataclass(frozen=True)
class Beside:
    """A service, and a server over the same backend."""

    service: GenerationService
    answers: RemoteAnswers
    target: RemoteTarget

    async def here(self, request: GenerationRequest) -> list[GenerationEvent]:
        (generation,) = await self.service.prepare(request)
        return folded([event async for event in generation.events()])

    async def there(self, request: GenerationRequest) -> list[GenerationEvent]:
        answer = self.answers.prepare(request, self.target, lambda _: None)
        return folded([event async for event in answer.events()])

    async def both(
        self, request: GenerationRequest
    ) -> tuple[list[GenerationEvent], list[GenerationEvent]]:
        """Neither finds what was computed for the other."""
        here = await self.here(replace(request, cache_salt=uuid.uuid4().hex))
        return here, await self.there(replace(request, cache_salt=uuid.uuid4().hex))


def folded(events: list[GenerationEvent]) -> list[GenerationEvent]:
    """Neighbouring deltas joined; the ids of calls, which are drawn, made one."""
    found: list[GenerationEvent] = []
    for event in events:
        last = found[-1] if found else None
        match last, event:
            case TextDelta(before), TextDelta(text):
                found[-1] = TextDelta(before + text)
            case ReasoningDelta(before), ReasoningDelta(text):
                found[-1] = ReasoningDelta(before + text)
            case ToolCallDelta(index, before), ToolCallDelta(same, text) if same == index:
                found[-1] = ToolCallDelta(index, before + text)
            case _, ToolCallStarted(index, _, name):
                found.append(ToolCallStarted(index, "call", name))
            case _:
                found.append(event)
    return found


def end_of(events: list[GenerationEvent]) -> GenerationEnd:
    assert isinstance(events[-1], GenerationEnd)
    return events[-1]


@asynccontextmanager
async def beside(backend: Backend, chat_format: str) -> AsyncIterator[Beside]:
    async with (
        _service(backend, chat_format) as service,
        serve(backend, "llama_cpp", chat_format) as url,
    ):
        upstream = Upstream("far", UpstreamKind.JARVIS, (f"{url}/v1",))
        host = RemoteHost(UpstreamPlan((upstream,)))
        try:
            name = service.card.name
            place = Place("far", "jarvis-tiny")
            yield Beside(service, RemoteAnswers(host), RemoteTarget(name, (place,)))
        finally:
            await host.close()


@asynccontextmanager
async def _service(backend: Backend, chat_format: str) -> AsyncIterator[GenerationService]:
    async def opened(_: object) -> Backend:
        return StartedBackend(backend)

    delegate, is_ready = Delegate("near", opened), asyncio.Event()
    service = GenerationService(delegate, ServingOptions(chat_format))
    delegate.start(service.adopt, on_change=is_ready.set)
    await is_ready.wait()
    yield service
    await delegate.close()
