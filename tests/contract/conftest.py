"""Each backend for the contract suite: the shipped model in two engines, and the script."""

from pathlib import Path

import pytest

from tests.engines import MAKERS, Engine

KINDS = (
    "scripted",
    pytest.param("llama", marks=pytest.mark.engine),
    pytest.param("vllm", marks=pytest.mark.engine),
)
# For what starts an engine and ends it soon: the slow one is left to an option.
KINDS_IN_SHORT = (*KINDS[:2], pytest.param("vllm", marks=[pytest.mark.engine, pytest.mark.long]))


@pytest.fixture(params=KINDS)
def engine(request: pytest.FixtureRequest) -> Engine:
    """A started backend of each kind, shared by all suites."""
    started = request.getfixturevalue(request.param)
    assert isinstance(started, Engine)
    return started


@pytest.fixture(params=KINDS)
def fresh(request: pytest.FixtureRequest, cache: Path) -> Engine:
    """A backend of each kind that was not started yet."""
    return Engine(request.param, MAKERS[request.param](cache))
