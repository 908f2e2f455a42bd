"""The real application on a real port, over real servers on loopback that answer by a script."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from backends.base import Backend, TokenRequest
from backends.delegate import Delegate
from backends.remote.host import RemoteHost
from backends.scripted import END_ID, ScriptedBackend
from core.errors import EngineFailed
from core.lifecycle import EngineState, LoadProgress
from core.upstreams import Upstream, UpstreamKind, UpstreamPlan, UpstreamTimeouts
from serving.service import GenerationService, ServingOptions
from tests.engines import StartedBackend, settings_for
from tests.faulty_upstream import LOOPBACK, Answer, FaultyUpstream, faulty_upstream
from tests.upstream_answers import models, whole

HELLO = [{"role": "user", "content": "hi"}]
LOCAL_MODEL = "jarvis-tiny"
Open = Callable[[Callable[[LoadProgress], None]], Any]


def upstream(name: str, *servers: FaultyUpstream | str, **fields: Any) -> Upstream:
    """One that is asked once, and whose breaker stays closed, unless the fields say otherwise."""
    urls = tuple(each if isinstance(each, str) else each.url for each in servers)
    defaults: dict[str, Any] = {
        "kind": UpstreamKind.OPENAI,
        "max_retries": 0,
        "timeouts": UpstreamTimeouts(connect_s=2.0, read_s=4.0, total_s=4.5),
    }
    return Upstream(name=name, base_urls=urls, **{**defaults, **fields})


@asynccontextmanager
async def server_with(name: str, *answers: Answer, **facts: Any) -> AsyncIterator[FaultyUpstream]:
    """A server that lists one model."""
    listed = {"/v1/models": whole(models(name, **facts))}
    async with faulty_upstream(*answers, paths=listed) as server:
        yield server


@asynccontextmanager
async def servers_with(
    names: Mapping[str, Answer],
) -> AsyncIterator[tuple[FaultyUpstream, ...]]:
    """One server for each model's name, with its answer."""
    async with AsyncExitStack() as stack:
        yield tuple(
            [await stack.enter_async_context(server_with(each, names[each])) for each in names]
        )


@dataclass
class RemoteApp:
    """A client of the application, and what stands below it."""

    client: httpx.AsyncClient
    host: RemoteHost
    app: FastAPI
    url: str
    backend: ScriptedBackend | None = None

    async def chat(self, model: str | None = None, **fields: Any) -> httpx.Response:
        headers = fields.pop("headers", None)
        body = {"messages": HELLO} | ({} if model is None else {"model": model}) | fields
        return await self.client.post("/v1/chat/completions", json=body, headers=headers)

    async def raw(self, path: str, body: bytes, **headers: str) -> httpx.Response:
        given = {"content-type": "application/json"} | headers
        return await self.client.post(path, content=body, headers=given)

    @property
    def num_outstanding(self) -> int:
        """Requests that count as under way, at all servers."""
        states = self.host.states()
        return sum(each.num_outstanding for state in states for each in state.endpoints)

    async def is_idle(self) -> None:
        """Waits until nothing is under way: a leak is a time-out."""
        while self.num_outstanding or self.app.state.running:
            await asyncio.sleep(0)


@dataclass(frozen=True)
class One:
    """An application with one upstream, `a`, which is one server that has the model `tiny`."""

    app: RemoteApp
    server: FaultyUpstream

    async def chat(self, *answers: Answer, **fields: Any) -> httpx.Response:
        """What a chat comes to where the server answers so."""
        self.server.answer(*answers)
        response = await self.app.chat("tiny", **fields)
        await self.app.is_idle()
        return response


@dataclass(frozen=True)
class Local:
    """The engine beside the upstreams. `open_backend` is instead of the backend's own start."""

    backend: ScriptedBackend | None = None
    open_backend: Open | None = None
    waits_for: EngineState = EngineState.READY

    async def open(self, report: Callable[[LoadProgress], None]) -> Backend:
        if self.open_backend is not None:
            opened: Backend = await self.open_backend(report)
            return opened
        assert self.backend is not None
        return StartedBackend(self.backend)


def answering(text: str = "local") -> Local:
    """An engine that says one thing."""
    return Local(ScriptedBackend(lambda _: [*text.encode(), END_ID]))


def dying() -> Local:
    """An engine that is ready, and fails before the first token of any answer."""

    def script(_: TokenRequest) -> Iterator[int]:
        raise EngineFailed("the engine died")
        yield 0

    return Local(ScriptedBackend(script))


def loading() -> Local:
    """An engine that is never ready."""

    async def never(_: Callable[[LoadProgress], None]) -> Backend:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    return Local(open_backend=never, waits_for=EngineState.LOADING)


def failed() -> Local:
    """An engine that could not be loaded."""

    async def broken(_: Callable[[LoadProgress], None]) -> Backend:
        raise EngineFailed("there is no such model")

    return Local(open_backend=broken, waits_for=EngineState.FAILED)


@dataclass(frozen=True)
class Setup:
    """What is served beside the upstreams, and how."""

    local: Local | None = None
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    default_fallbacks: tuple[str, ...] = ()
    flags: Mapping[str, str] = field(default_factory=dict)


@asynccontextmanager
async def remote_app(*upstreams: Upstream, **setup: Any) -> AsyncIterator[RemoteApp]:
    """`setup` as `Setup` has it."""
    chosen = Setup(**setup)
    host = RemoteHost(
        UpstreamPlan(upstreams, chosen.fallbacks, chosen.default_fallbacks, refresh_s=3600)
    )
    local = chosen.local
    if local is not None and local.backend is not None:
        await local.backend.start(lambda _: None)
    async with (
        _served(host, local, chosen.flags) as (app, url),
        httpx.AsyncClient(base_url=url, timeout=5, verify=False) as client,
    ):
        yield RemoteApp(client, host, app, url, None if local is None else local.backend)


@asynccontextmanager
async def _served(
    host: RemoteHost, local: Local | None, flags: Mapping[str, str]
) -> AsyncIterator[tuple[FastAPI, str]]:
    delegate = None if local is None else Delegate("llama_cpp", local.open)
    service = None if delegate is None else GenerationService(delegate, ServingOptions("chatml"))
    has_started = asyncio.Event()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        host.start()
        if delegate is not None and service is not None and local is not None:
            changed = asyncio.Event()
            delegate.start(service.adopt, on_change=changed.set)
            while delegate.status.state is not local.waits_for:
                await changed.wait()
                changed.clear()
        has_started.set()
        yield
        await host.close()
        if delegate is not None:
            await delegate.close()

    settings = settings_for("remote" if local is None else "llama_cpp", **flags)
    app = create_app(settings, service, lifespan, upstreams=host)
    # With its protocol named: else asyncio holds small answers back, for 40 ms each.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind((LOOPBACK, 0))
        server = _Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on"))
        serving = asyncio.create_task(server._serve(sockets=[listener]))
        await has_started.wait()
        try:
            yield app, f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        finally:
            server.is_stopped.set()
            await serving


class _Server(uvicorn.Server):
    """Stops when it is told to, instead of looking for that ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_stopped = asyncio.Event()

    async def main_loop(self) -> None:
        await self.is_stopped.wait()


def sent(server: FaultyUpstream) -> list[dict[str, Any]]:
    """The bodies of what was posted there."""
    return [json.loads(each.body) for each in server.requests if each.method == "POST"]


def posted(server: FaultyUpstream) -> int:
    return len(sent(server))
