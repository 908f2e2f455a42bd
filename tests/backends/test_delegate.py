"""The life of the one engine: each state, and what serving sees in it."""

import asyncio
from collections.abc import Callable

import pytest

from backends.base import Backend, ModelCard, Tokenizer, TokenRequest
from backends.delegate import Delegate, OpenBackend
from backends.scripted import ScriptedBackend
from core.errors import ConfigurationError, EngineFailed, EngineUnavailable, ModelLoadError
from core.lifecycle import EngineState, LoadProgress
from core.sampling import SamplingPlan
from tests.script import scripted_backend

REQUEST = TokenRequest("one", (1, 2), 50, frozenset(), SamplingPlan())


class Watch:
    """Waits for states through the delegate's own notice of a change."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def notice(self) -> None:
        self._changed.set()

    async def until(self, delegate: Delegate, state: EngineState) -> None:
        while delegate.status.state is not state:
            self._changed.clear()
            await self._changed.wait()


def opening(backend: Backend) -> OpenBackend:
    async def open_backend(report: Callable[[LoadProgress], None]) -> Backend:
        report(LoadProgress("finding the model"))
        return backend

    return open_backend


async def accept(card: ModelCard, tokenizer: Tokenizer) -> None:
    assert len(card.vocabulary)
    assert tokenizer.encode("a", with_control=False)


async def ready_delegate(backend: ScriptedBackend) -> tuple[Delegate, Watch]:
    delegate, watch = Delegate("scripted", opening(backend)), Watch()
    delegate.start(accept, watch.notice)
    await watch.until(delegate, EngineState.READY)
    return delegate, watch


async def test_it_is_loading_until_the_model_was_adopted() -> None:
    may_go_on = asyncio.Event()
    has_come = asyncio.Event()

    async def wait(_: ModelCard, __: Tokenizer) -> None:
        has_come.set()
        await may_go_on.wait()

    delegate, watch = Delegate("scripted", opening(scripted_backend())), Watch()
    delegate.start(wait, watch.notice)
    await has_come.wait()
    assert delegate.status.state is EngineState.LOADING
    assert delegate.status.progress is not None
    with pytest.raises(EngineUnavailable, match="the engine is loading"):
        await anext(delegate.generate(REQUEST))
    may_go_on.set()
    await watch.until(delegate, EngineState.READY)
    assert delegate.status.progress is None
    await delegate.close()


async def test_a_ready_engine_answers_and_a_closed_one_refuses() -> None:
    delegate, _ = await ready_delegate(scripted_backend())
    assert [step async for step in delegate.generate(REQUEST)][-1].finish
    await delegate.close()
    await delegate.close()
    assert delegate.status.state is EngineState.CLOSED
    with pytest.raises(EngineUnavailable, match="the engine is closed"):
        await anext(delegate.generate(REQUEST))


@pytest.mark.parametrize("error", [ModelLoadError("the file is broken"), OSError("/secret/path")])
async def test_a_failed_load_is_told_in_words_that_are_ours(error: Exception) -> None:
    async def open_backend(_: Callable[[LoadProgress], None]) -> Backend:
        raise error

    delegate, watch = Delegate("scripted", open_backend), Watch()
    delegate.start(accept, watch.notice)
    await watch.until(delegate, EngineState.FAILED)
    reason = delegate.status.reason or ""
    assert "/secret/path" not in reason
    assert "broken" in reason or "OSError" in reason
    await delegate.close()


async def test_a_format_that_does_not_fit_fails_the_start() -> None:
    async def refuse(_: ModelCard, __: Tokenizer) -> None:
        raise ConfigurationError("the template can't be compiled")

    delegate, watch = Delegate("scripted", opening(scripted_backend())), Watch()
    delegate.start(refuse, watch.notice)
    await watch.until(delegate, EngineState.FAILED)
    assert delegate.status.reason == "the template can't be compiled"
    await delegate.close()


async def test_a_dead_engine_fails_live_requests_and_refuses_new_ones() -> None:
    backend = scripted_backend()
    delegate, watch = await ready_delegate(backend)
    stream = delegate.generate(REQUEST)
    await anext(stream)
    backend.fail("the engine died")
    with pytest.raises(EngineFailed, match="the engine died"):
        [step async for step in stream]
    await watch.until(delegate, EngineState.FAILED)
    assert delegate.status.reason == "the engine died"
    with pytest.raises(EngineUnavailable, match="the engine is failed: the engine died"):
        await anext(delegate.generate(REQUEST))
    await delegate.close()


async def test_closing_during_load_ends_the_load() -> None:
    has_begun = asyncio.Event()

    async def open_backend(_: Callable[[LoadProgress], None]) -> Backend:
        has_begun.set()
        await asyncio.get_running_loop().create_future()
        raise AssertionError("never resolved")

    delegate = Delegate("scripted", open_backend)
    delegate.start(accept)
    await has_begun.wait()
    await delegate.close()
    assert delegate.status.state is EngineState.CLOSED
