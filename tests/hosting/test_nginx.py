"""A real nginx in front, with its own default buffering: nothing waits in it, nothing is lost."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn

from api.app import create_app
from backends.base import Backend
from backends.delegate import Delegate
from backends.scripted import ScriptedBackend
from hosting.connection import connection_class
from hosting.connection_limits import ConnectionStats, connection_limits
from serving.service import GenerationService, ServingOptions
from tests.api.streams import Gate
from tests.engines import listener_on_loopback, settings_for
from tests.hosting.nginx import ADVISED, MINIMAL, nginx_before
from tests.script import counting

pytestmark = pytest.mark.timeout(120)

CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}
CHATS = "/v1/chat/completions"
_LETTER = re.compile('"content":"[a-z]"')


@dataclass(frozen=True)
class Proxied:
    """A client of nginx, and the server behind it."""

    client: httpx.AsyncClient
    backend: ScriptedBackend
    gate: Gate
    server: uvicorn.Server


@asynccontextmanager
async def proxied(folder: Path, config: str, num_open: int = 0) -> AsyncIterator[Proxied]:
    gate = Gate(num_open)
    backend = ScriptedBackend(counting, gate=gate.passed)
    settings = settings_for("llama_cpp")

    async def open_backend(report: object) -> Backend:
        await backend.start(lambda _: None)
        return backend

    delegate = Delegate("llama_cpp", open_backend)
    service = GenerationService(delegate, ServingOptions("chatml"))
    is_ready = asyncio.Event()

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        delegate.start(service.adopt, on_change=is_ready.set)
        await is_ready.wait()
        yield
        await delegate.close()

    app = create_app(settings, service, lifespan)
    http = connection_class(connection_limits(settings), ConnectionStats())
    config_of = uvicorn.Config(app, http=http, ws="none", log_config=None, lifespan="on")
    with listener_on_loopback() as listener:
        server = uvicorn.Server(config_of)
        # Its `serve` would take over the process's signals, which are pytest's.
        task = asyncio.create_task(server._serve(sockets=[listener]))
        try:
            with nginx_before(listener.getsockname()[1], config, folder) as url:
                client = httpx.AsyncClient(base_url=url, timeout=30)
                yield Proxied(client, backend, gate, server)
                await client.aclose()
        finally:
            server.should_exit = True
            await task


@pytest.mark.parametrize("config", [MINIMAL, ADVISED], ids=["minimal", "advised"])
async def test_a_stream_comes_token_by_token(tmp_path: Path, config: str) -> None:
    got = ""
    async with (
        proxied(tmp_path, config, 1) as proxy,
        proxy.client.stream("POST", CHATS, json=CHAT | {"stream": True}) as response,
    ):
        async for piece in response.aiter_text():
            got += piece
            # A step is let go only when all before it has arrived.
            num_missing = proxy.backend.stats.num_steps - len(_LETTER.findall(got))
            proxy.gate.open(int(num_missing == 0))
    assert got.endswith("data: [DONE]\n\n")
    assert len(_LETTER.findall(got)) == 3


async def test_connections_behind_it_are_kept(tmp_path: Path) -> None:
    async with proxied(tmp_path, ADVISED, 1000) as proxy:
        used: list[object] = []
        for _ in range(3):
            assert (await proxy.client.post(CHATS, json=CHAT)).status_code == 200
            used += proxy.server.server_state.connections
        assert len(set(map(id, used))) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_stops_the_engine(tmp_path: Path, stream: bool) -> None:
    async with proxied(tmp_path, ADVISED) as proxy:
        asking = asyncio.create_task(proxy.client.post(CHATS, json=CHAT | {"stream": stream}))
        await asyncio.wait_for(proxy.gate.is_waited_for.wait(), 30)
        asking.cancel()
        await asyncio.wait_for(proxy.gate.is_left.wait(), 30)
        assert proxy.backend.num_live == 0


async def test_large_bodies_arrive_whole_though_they_come_in_pieces(tmp_path: Path) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'{"padding": "'
        for _ in range(60):
            yield b"x" * 65536
        yield b'"}'

    headers = {"content-type": "application/json"}
    async with proxied(tmp_path, ADVISED, 1000) as proxy:
        response = await proxy.client.post(CHATS, content=body(), headers=headers)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "padding"


async def test_a_request_id_goes_in_and_comes_out(tmp_path: Path) -> None:
    async with proxied(tmp_path, ADVISED, 1000) as proxy:
        sent = {"x-request-id": "from-the-client-1"}
        response = await proxy.client.post(CHATS, json=CHAT, headers=sent)
        assert response.headers["x-request-id"] == "from-the-client-1"
        assert (await proxy.client.post(CHATS, json=CHAT)).headers["x-request-id"]


async def test_what_a_connection_refuses_is_told_through_it(tmp_path: Path) -> None:
    async with proxied(tmp_path, ADVISED.replace("$host", '"a b"'), 1000) as proxy:
        response = await proxy.client.post(CHATS, json=CHAT)
    assert response.status_code == 421
