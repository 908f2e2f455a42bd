"""What llama.cpp may do to us: fail, hang, or compute what is no number."""

import asyncio
import ctypes
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backends.base import Backend, ModelCard, Tokenizer, TokenRequest
from backends.delegate import Delegate
from backends.llama.backend import LlamaBackend
from backends.llama.from_settings import llama_options
from backends.llama.probing import ChildProbe
from backends.restart_rules import RestartRules
from core.errors import EngineFailed, EngineUnavailable
from core.lifecycle import EngineState, LoadProgress
from tests.engines import MODEL, Answer, Engine, settings_for
from tests.faults.broken_weights import write_with_broken_id

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.engine,
    pytest.mark.long,
]
RULES = RestartRules(max_restarts=3, first_delay_s=0.01, longest_delay_s=1000)
BROKEN_ID = 4000


def backend(cache: Path, model: Path = MODEL, **flags: str) -> LlamaBackend:
    settings = settings_for("llama_cpp", JARVIS_CACHE_DIR=str(cache), **flags)
    options = llama_options(settings, model)
    return LlamaBackend(options, ChildProbe(options, settings.cache_dir))


async def outcome(engine: Engine, request: TokenRequest) -> Answer | str:
    try:
        return await engine.answer(request)
    except EngineFailed as error:
        return str(error)


class Life:
    """A delegate over the real engine, and one request that tells how things are."""

    def __init__(self, cache: Path, rules: RestartRules = RULES) -> None:
        self._cache = cache
        self._changed = asyncio.Event()
        self.backends: list[Backend] = []
        self.delegate = Delegate("llama_cpp", self._open, rules)
        self.delegate.start(self._adopt, self._changed.set)

    async def _open(self, _: Callable[[LoadProgress], None]) -> Backend:
        self.backends.append(backend(self._cache))
        return self.backends[-1]

    async def _adopt(self, _: ModelCard, __: Tokenizer) -> None:
        pass

    async def until(self, state: EngineState, num_restarts: int) -> None:
        while (self.delegate.status.state, self.delegate.status.num_restarts) != (
            state,
            num_restarts,
        ):
            self._changed.clear()
            await self._changed.wait()

    async def outcome(self, max_tokens: int = 5) -> Answer | str:
        engine = Engine("llama", self.backends[-1])
        request = engine.request((1, 2, 3), max_tokens)
        ids: list[int] = []
        try:
            async for step in self.delegate.generate(request):
                ids += step.token_ids
        except EngineFailed as error:
            return str(error)
        return Answer(tuple(ids), step.finish)


async def test_a_failing_llama_decode_ends_each_request_once_and_the_engine_is_replaced(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import llama_cpp

    life = Life(cache, replace(RULES, step_timeout_s=30))
    await life.until(EngineState.READY, 0)
    expected = await life.outcome()
    real = llama_cpp.llama_decode
    stop = llama_cpp.llama_cpp.ggml_abort_callback(lambda _: True)

    def aborted(context: object, batch: object) -> object:
        llama_cpp.llama_set_abort_callback(context, stop, ctypes.c_void_p())
        return real(context, batch)

    with monkeypatch.context() as patched:
        patched.setattr(llama_cpp, "llama_decode", aborted)
        live = [asyncio.create_task(life.outcome(3000)) for _ in range(4)]
        outcomes = [await each for each in live]
        assert len(set(outcomes)) == 1
        assert str(outcomes[0]).startswith("llama_decode returned ")
        await life.until(EngineState.LOADING, 0)
        with pytest.raises(EngineUnavailable, match="it is loaded again"):
            await life.outcome()
    await life.until(EngineState.READY, 1)
    assert await life.outcome() == expected
    await life.delegate.close()


async def test_a_hanging_llama_decode_is_given_up_and_keeps_nobody_waiting(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import llama_cpp

    life = Life(cache, replace(RULES, step_timeout_s=3))
    await life.until(EngineState.READY, 0)
    real, may_go_on = llama_cpp.llama_decode, threading.Event()

    def hanging(context: object, batch: object) -> object:
        may_go_on.wait()
        return real(context, batch)

    monkeypatch.setattr(llama_cpp, "llama_decode", hanging)
    outcomes = await asyncio.gather(*(life.outcome(3000) for _ in range(3)))
    assert set(outcomes) == {"the engine made no step for 3 s while it had work"}
    assert "made no step" in await life.delegate.given_up()
    assert life.delegate.status.state is EngineState.FAILED
    assert len(life.backends) == 1
    await life.delegate.close()
    (left,) = (each for each in threading.enumerate() if each.name == "llama-engine")
    may_go_on.set()
    await asyncio.to_thread(left.join)


@pytest.mark.parametrize("layout", ["separate", "shared"])
async def test_logits_that_are_no_numbers_end_their_request_and_spread_to_no_later_one(
    cache: Path, tmp_path: Path, layout: str
) -> None:
    model = write_with_broken_id(tmp_path / "broken.gguf", BROKEN_ID)
    engine = Engine("llama", backend(cache, model, JARVIS_LLAMA_KV_LAYOUT=layout))
    await engine.backend.start(lambda _: None)
    good = engine.request(engine.prompt("Hello there, who are you?"), 40)
    bad = engine.request((*good.prompt_ids, BROKEN_ID, 5, 6), 20)
    expected = await outcome(engine, good)
    assert isinstance(expected, Answer)
    for _ in range(3):
        assert await outcome(engine, bad) == ("the logits leave no id to draw: the best one is nan")
        assert await outcome(engine, good) == expected
    together = [asyncio.create_task(outcome(engine, each)) for each in (good, bad, good)]
    outcomes = [await each for each in together]
    assert isinstance(outcomes[1], str)
    if layout == "separate":
        assert outcomes[::2] == [expected] * 2
    assert await outcome(engine, good) == expected
    await engine.backend.close()
