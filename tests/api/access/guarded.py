"""The real application behind the guard, over the scripted backend, on a real port."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from api.access.access import Access
from api.app import create_app
from backends.base import Backend
from backends.delegate import Delegate
from backends.scripted import END_ID, ScriptedBackend
from core.lifecycle import LoadProgress
from serving.service import GenerationService, ServingOptions
from tests.engines import listening, settings_for

USE, METRICS, ADMIN = "use-" * 8, "metrics-" * 4, "admin-" * 6
EVERYTHING, LIMITED = "everything-" * 3, "limited-" * 4
ALL_KEYS = (USE, METRICS, ADMIN, EVERYTHING, LIMITED)
FILE = f"""
[keys.user]
key = "{USE}"
[keys.dashboard]
key = "{METRICS}"
roles = ["metrics"]
[keys.operator]
key = "{ADMIN}"
roles = ["admin"]
[keys.all]
key = "{EVERYTHING}"
roles = ["use", "metrics", "admin"]
[keys.limited]
key = "{LIMITED}"
requests_per_minute = 2
tokens_per_minute = 100
"""


@dataclass(frozen=True)
class Guarded:
    """A client of the application, and what guards it."""

    client: httpx.AsyncClient
    access: Access
    app: FastAPI

    @property
    def address(self) -> tuple[str, int]:
        url = self.client.base_url
        return url.host, url.port or 80


def written(folder: Path, text: str) -> Path:
    path = folder / "keys.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def access_of(keys: str | Path) -> Access:
    return Access(SecretStr(str(keys)))


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def hello(_: object) -> Iterator[int]:
    return iter((97, END_ID))


@asynccontextmanager
async def guarded(keys: str | Path) -> AsyncIterator[Guarded]:
    backend = ScriptedBackend(hello)

    async def open_backend(_: Callable[[LoadProgress], None]) -> Backend:
        await backend.start(lambda _: None)
        return backend

    delegate = Delegate("llama_cpp", open_backend)
    service = GenerationService(delegate, ServingOptions("chatml"))
    is_ready = asyncio.Event()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        delegate.start(service.adopt, on_change=is_ready.set)
        await is_ready.wait()
        yield
        await delegate.close()

    settings = settings_for("llama_cpp", JARVIS_API_KEYS=str(keys))
    app = create_app(settings, service, lifespan)
    async with listening(app) as url, httpx.AsyncClient(base_url=url, timeout=5) as client:
        yield Guarded(client, app.state.access, app)
