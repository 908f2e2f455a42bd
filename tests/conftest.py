"""Engines that several suites share, each started once a run."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from tests.engines import Engine


ENGINE_TIMEOUT_S = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a real engine get more time: one may wait for its engine to start."""
    for item in items:
        if item.get_closest_marker("engine"):
            item.add_marker(pytest.mark.timeout(ENGINE_TIMEOUT_S))


async def _started(kind: str) -> AsyncIterator["Engine"]:
    # Here and not at the top, so that suites without an engine don't load what engines need.
    from tests.engines import MAKERS, Engine

    engine = Engine(kind, MAKERS[kind]())
    await engine.backend.start(engine.reports.append)
    yield engine
    await asyncio.wait_for(engine.backend.close(), 60)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def scripted() -> AsyncIterator["Engine"]:
    async for engine in _started("scripted"):
        yield engine


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def llama() -> AsyncIterator["Engine"]:
    async for engine in _started("llama"):
        yield engine


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def vllm() -> AsyncIterator["Engine"]:
    async for engine in _started("vllm"):
        yield engine
