"""The real application over the scripted backend, on a real port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI

from backends.scripted import ScriptedBackend
from tests.engines import application, listening

HELLO = [{"role": "user", "content": "hi"}]


@dataclass(frozen=True)
class Served:
    """A client of the application, and the backend below it."""

    client: httpx.AsyncClient
    backend: ScriptedBackend
    application: FastAPI

    async def chat(self, **fields: Any) -> httpx.Response:
        return await self.client.post("/v1/chat/completions", json={"messages": HELLO} | fields)

    async def complete(self, **fields: Any) -> httpx.Response:
        return await self.client.post("/v1/completions", json={"prompt": "hi"} | fields)


@asynccontextmanager
async def served(backend: ScriptedBackend, **flags: str) -> AsyncIterator[Served]:
    await backend.start(lambda _: None)
    app = application(backend, "llama_cpp", "chatml", **flags)
    async with (
        listening(app) as url,
        httpx.AsyncClient(base_url=url, timeout=5) as client,
    ):
        yield Served(client, backend, app)


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error object, with the shape that every error has."""
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    error: dict[str, Any] = body["error"]
    assert "Traceback" not in error["message"]
    return error
