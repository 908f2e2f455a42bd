"""Engines that several suites share, each started once a run."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from tests.embedding_engines import EmbeddingEngine
    from tests.engines import Engine
    from tests.upstream_servers import UpstreamServer


ENGINE_TIMEOUT_S = 300


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--draws", type=int, default=200, help="draws of each kind that are compared with theory"
    )
    parser.addoption(
        "--long", action="store_true", help="also run the tests that start several engines more"
    )
    parser.addoption(
        "--requests",
        type=int,
        default=300,
        help="generated requests that both engines answer; sequences, tools, other APIs, forced"
        " calls and spoiled requests have their share on top",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of a real engine get more time: one may wait for its engine to start. Those that start
    more engines than their promise is worth in each run are left to an option.
    """
    for item in items:
        if item.get_closest_marker("engine"):
            item.add_marker(pytest.mark.timeout(ENGINE_TIMEOUT_S))
    if not config.getoption("--long"):
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="session")
def num_requests(pytestconfig: pytest.Config) -> int:
    """How many requests both engines answer, as the option says."""
    return int(pytestconfig.getoption("--requests"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this run keeps converted models and probes."""
    return tmp_path_factory.mktemp("cache")


async def _started(kind: str, cache: Path) -> AsyncIterator["Engine"]:
    # Here and not at the top, so that suites without an engine don't load what engines need.
    from tests.engines import MAKERS, Engine

    engine = Engine(kind, MAKERS[kind](cache))
    await asyncio.wait_for(engine.backend.start(engine.reports.append), ENGINE_TIMEOUT_S)
    yield engine
    await asyncio.wait_for(engine.backend.close(), 60)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def scripted(cache: Path) -> AsyncIterator["Engine"]:
    async for engine in _started("scripted", cache):
        yield engine


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def llama(cache: Path) -> AsyncIterator["Engine"]:
    async for engine in _started("llama", cache):
        yield engine


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def vllm(cache: Path) -> AsyncIterator["Engine"]:
    async for engine in _started("vllm", cache):
        yield engine


async def _embedding(kind: str, cache: Path) -> AsyncIterator["EmbeddingEngine"]:
    from tests.embedding_engines import EMBEDDERS, EmbeddingEngine

    engine = EmbeddingEngine(kind, EMBEDDERS[kind](cache))
    await asyncio.wait_for(engine.backend.start(lambda _: None), ENGINE_TIMEOUT_S)
    yield engine
    await asyncio.wait_for(engine.backend.close(), 60)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def llama_embedder(cache: Path) -> AsyncIterator["EmbeddingEngine"]:
    async for engine in _embedding("llama", cache):
        yield engine


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def vllm_embedder(cache: Path) -> AsyncIterator["EmbeddingEngine"]:
    async for engine in _embedding("vllm", cache):
        yield engine


@pytest.fixture(scope="session")
def upstream_servers(cache: Path) -> "Iterator[dict[str, UpstreamServer]]":
    """Real servers of several kinds, by name. None is waited for before its URL is asked for."""
    from tests.upstream_servers import jarvis, llama_cpp, running, vllm

    launches = {
        "vllm": vllm(cache),
        "llama_cpp": llama_cpp(),
        "jarvis": jarvis(cache),
        "jarvis_two": jarvis(cache),
    }
    with running(*launches.values()) as servers:
        yield dict(zip(launches, servers, strict=True))
