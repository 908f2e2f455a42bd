"""A stream whose client goes ends its work, also where the answer had no chance to begin."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI

from api.app import create_app
from backends.delegate import Delegate
from backends.scripted import ScriptedBackend
from serving.service import GenerationService, ServingOptions
from tests.engines import settings_for
from tests.script import counting

STREAM = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "http_version": "1.1",
    "method": "POST",
    "scheme": "http",
    "path": "/v1/chat/completions",
    "raw_path": b"/v1/chat/completions",
    "root_path": "",
    "query_string": b"",
    "headers": [(b"content-type", b"application/json")],
}
Message = MutableMapping[str, Any]
OnSend = Callable[[Message], Awaitable[None]]


class Client:
    """Calls the application as a server does: one body in, then `has_gone` is the disconnect."""

    def __init__(self, on_send: OnSend) -> None:
        self.has_gone = asyncio.Event()
        self._on_send = on_send
        self._is_body_sent = False

    async def receive(self) -> Message:
        if not self._is_body_sent:
            self._is_body_sent = True
            return {"type": "http.request", "body": json.dumps(STREAM).encode()}
        await self.has_gone.wait()
        return {"type": "http.disconnect"}

    async def call(self, app: FastAPI) -> None:
        await app(SCOPE, self.receive, self._on_send)


@asynccontextmanager
async def application(backend: ScriptedBackend) -> AsyncIterator[FastAPI]:
    async def opened(_: object) -> ScriptedBackend:
        return backend

    delegate = Delegate("scripted", opened)
    service, is_ready = GenerationService(delegate, ServingOptions("chatml")), asyncio.Event()
    delegate.start(service.adopt, on_change=is_ready.set)
    await is_ready.wait()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield

    yield create_app(settings_for("llama_cpp"), service, lifespan)
    await delegate.close()


async def turns_until_idle(backend: ScriptedBackend, at_most: int = 100) -> int:
    """How often the loop turned until no sequence was left."""
    for turn in range(at_most):
        if backend.num_live == 0:
            return turn
        await asyncio.sleep(0)
    raise AssertionError("the sequence is still live")


def held_after(count: int) -> Callable[[], asyncio.Future[None]]:
    """A gate that opens so many times."""
    passed = 0

    def gate() -> asyncio.Future[None]:
        nonlocal passed
        passed += 1
        opening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if passed <= count:
            opening.set_result(None)
        return opening

    return gate


async def test_a_client_gone_before_the_stream_begins_ends_the_work() -> None:
    backend = ScriptedBackend(counting, gate=held_after(1))
    async with application(backend) as app:

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                client.has_gone.set()
                await asyncio.sleep(0)
                await asyncio.sleep(0)

        client = Client(send)
        await client.call(app)
        await turns_until_idle(backend)


async def test_a_send_that_fails_at_once_ends_the_work() -> None:
    backend = ScriptedBackend(counting, gate=held_after(1))
    async with application(backend) as app:

        async def send(_: Message) -> None:
            raise OSError("the connection is lost")

        with pytest.raises(OSError, match="lost"):
            await Client(send).call(app)
        await turns_until_idle(backend)


async def test_a_client_gone_midway_ends_an_engine_that_never_pauses() -> None:
    backend = ScriptedBackend(counting)
    sent = 0
    async with application(backend) as app:

        async def send(_: Message) -> None:
            nonlocal sent
            sent += 1
            if sent == 20:
                client.has_gone.set()

        client = Client(send)
        await client.call(app)
        assert sent < 40
        await turns_until_idle(backend)


async def test_what_reads_is_held_until_it_has_ended() -> None:
    backend = ScriptedBackend(counting, gate=held_after(1))
    async with application(backend) as app:

        async def send(_: Message) -> None:
            raise OSError("the connection is lost")

        with pytest.raises(OSError, match="lost"):
            await Client(send).call(app)
        assert [task.done() for task in app.state.running] == [False]
        await asyncio.wait(app.state.running)
        await asyncio.sleep(0)
        assert app.state.running == set()
        assert backend.num_live == 0
