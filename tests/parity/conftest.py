"""The whole application over both engines at float32, for each chat format, over real HTTP."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio

from tests.engines import ROOT, Engine, serve

FORMATS = ("chatml", "llama3", "mistral")
TEMPLATES = ROOT / "tests" / "chat_formats" / "templates"
# The model has learned none of these: a template that opens thoughts, other ways of writing calls,
# and a format that has no tools.
OTHER_FORMATS = {
    **{name: str(TEMPLATES / f"{name}.jinja") for name in ("thinking", "pythonic", "mistral_v11")},
    "fallback": "mistral-v1",
}


@dataclass(frozen=True)
class Pair:
    """The same chat format served by both engines."""

    chat_format: str
    llama: httpx.AsyncClient
    vllm: httpx.AsyncClient


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def pairs(llama: Engine, vllm: Engine) -> AsyncIterator[dict[str, Pair]]:
    async with AsyncExitStack() as stack:
        choices = {name: name for name in FORMATS} | OTHER_FORMATS
        yield {n: await _open_pair(stack, c, llama, vllm) for n, c in choices.items()}


async def _open_pair(stack: AsyncExitStack, name: str, llama: Engine, vllm: Engine) -> Pair:
    urls = [
        await stack.enter_async_context(serve(engine.backend, label, name))
        for engine, label in ((llama, "llama_cpp"), (vllm, "vllm"))
    ]
    limits = httpx.Limits(max_connections=32)
    clients = [
        await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=120, limits=limits))
        for url in urls
    ]
    return Pair(name, *clients)


@pytest.fixture(params=FORMATS)
def pair(request: pytest.FixtureRequest, pairs: dict[str, Pair]) -> Pair:
    return pairs[request.param]
