"""The library's engines over each kind of engine: asynchronous ones, and those with a thread."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio

from jarvis import AsyncEngine, Engine, EngineConfig
from tests.engines import MODEL, serve
from tests.engines import Engine as Started
from tests.jarvis.callers import AsyncCaller, Caller, ThreadCaller
from tests.jarvis.shared_backends import BridgedBackend, CountedBackend, opening

KINDS = ("llama", "vllm", "remote")
WAYS = ("async", "threads")
# The shipped model learned the first; the other has no words for tools.
NATIVE, FALLBACK = "chatml", "mistral-v1"
_ENGINES = {"llama": "llama_cpp", "vllm": "vllm", "remote": "llama_cpp"}


@dataclass(frozen=True)
class Library:
    """One of the library's engines, and the backend that does its work."""

    kind: str
    caller: Caller
    backend: CountedBackend


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def libraries(llama: Started, vllm: Started) -> AsyncIterator[dict[tuple[str, ...], Library]]:
    """By kind, way and chat format; the fallback's by one way alone."""
    started = {"llama": llama, "vllm": vllm, "remote": llama}
    async with AsyncExitStack() as stack:
        made: dict[tuple[str, ...], Library] = {}
        for kind in KINDS:
            for way, chat_format in [*((way, NATIVE) for way in WAYS), (WAYS[0], FALLBACK)]:
                counted = CountedBackend(started[kind].backend)
                caller = await _opened(stack, kind, (way, chat_format), counted)
                made[kind, way, chat_format] = Library(kind, caller, counted)
        yield made


async def _opened(
    stack: AsyncExitStack, kind: str, how: tuple[str, str], counted: CountedBackend
) -> Caller:
    way, chat_format = how
    if kind == "remote":
        url = await stack.enter_async_context(serve(counted, _ENGINES[kind], chat_format))
        config = EngineConfig("remote", MODEL.stem, base_url=url, kind="jarvis")
    else:
        config = EngineConfig(_ENGINES[kind], MODEL, chat_format=chat_format)
    if way == "async":
        engine = AsyncEngine(config, open_backend=opening(counted))
        return AsyncCaller(await stack.enter_async_context(engine))
    threaded = Engine(config, open_backend=opening(BridgedBackend(counted)))
    await asyncio.to_thread(threaded.start)
    stack.push_async_callback(asyncio.to_thread, threaded.close)
    return ThreadCaller(threaded)


@pytest.fixture(params=[(kind, way) for kind in KINDS for way in WAYS], ids="-".join)
def library(request: pytest.FixtureRequest, libraries: dict[tuple[str, ...], Library]) -> Library:
    return libraries[*request.param, NATIVE]


@pytest.fixture(params=KINDS)
def without_tool_words(
    request: pytest.FixtureRequest, libraries: dict[tuple[str, ...], Library]
) -> Library:
    """Over a chat format that knows no tools."""
    return libraries[request.param, WAYS[0], FALLBACK]


@pytest.fixture(params=WAYS)
def by_ways(
    request: pytest.FixtureRequest, libraries: dict[tuple[str, ...], Library]
) -> dict[str, Library]:
    """By kind, all in one way."""
    return {kind: libraries[kind, request.param, NATIVE] for kind in KINDS}
