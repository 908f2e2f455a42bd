"""What is special to vLLM's life: it computes in other processes, which must not outlive it."""

import asyncio
import itertools
from pathlib import Path

import pytest

from backends.base import TokenRequest
from backends.vllm_engine.backend import VllmBackend
from core.errors import EngineFailed, EngineUnavailable, ModelLoadError
from core.lifecycle import LoadProgress
from core.sampling import SamplingPlan
from core.settings import load_settings
from tests.processes import descendants

MODEL = Path(__file__).resolve().parents[3] / "models" / "jarvis-tiny.gguf"
LONG = TokenRequest("long", (1, 2, 3), 4000, frozenset(), SamplingPlan(temperature=0.0))
MANY_BEATS = 100

# vllm and what it imports warn of each other's future, which is not ours to mend.
pytestmark = pytest.mark.filterwarnings("default")


def backend(model: Path = MODEL, **flags: str) -> VllmBackend:
    named = {f"JARVIS_{name}": value for name, value in flags.items()}
    values = {"JARVIS_INFERENCE_ENGINE": "vllm", "JARVIS_MODEL_NAME": str(model), **named}
    return VllmBackend(load_settings(values, environ={}, env_file=None), model)


async def beats_until(task: asyncio.Task[None]) -> int:
    """How often the loop came round while the task was not done."""
    for count in itertools.count(1):
        await asyncio.wait({task}, timeout=0.01)
        if task.done():
            return count
    raise AssertionError


@pytest.mark.engine
@pytest.mark.long
async def test_a_dead_engine_process_is_told_at_once_and_leaves_nothing() -> None:
    import psutil

    before = descendants()
    engine = backend()
    reports: list[LoadProgress] = []
    start = asyncio.create_task(engine.start(reports.append))
    num_beats = await beats_until(start)
    await start
    assert num_beats > MANY_BEATS, "the loop lived while the engine started"
    steps = [report.step for report in reports]
    assert steps[0] == "importing vLLM"
    assert steps[-2:] == ["starting the engine process", "ready"]

    live = engine.generate(LONG)
    await anext(live)
    failed = asyncio.create_task(engine.wait_failed())
    own = [psutil.Process(pid) for pid in descendants().keys() - before.keys()]
    (core,) = (process for process in own if process.name().startswith("VLLM::EngineCore"))
    core.kill()
    assert "engine process died" in await failed
    with pytest.raises(EngineFailed):
        async for _ in live:
            pass
    with pytest.raises(EngineUnavailable):
        await anext(engine.generate(LONG))
    await engine.close()
    await engine.close()
    assert descendants() == before


@pytest.mark.engine
async def test_closing_while_the_engine_process_starts_leaves_nothing() -> None:
    before = descendants()
    engine = backend()
    is_starting = asyncio.Event()
    loop = asyncio.get_running_loop()

    def report(progress: LoadProgress) -> None:
        if progress.step == "starting the engine process":
            loop.call_soon_threadsafe(is_starting.set)

    start = asyncio.create_task(engine.start(report))
    await is_starting.wait()
    await engine.close()
    with pytest.raises(EngineUnavailable):
        await start
    assert descendants() == before


@pytest.mark.engine
async def test_an_unknown_engine_argument_ends_the_load() -> None:
    engine = backend(VLLM_EXTRA_ARGS='{"blok_size": 32}')
    with pytest.raises(ModelLoadError, match="did you mean block_size"):
        await engine.start(lambda _: None)
    await engine.close()


async def test_an_engine_that_was_not_started_takes_nothing() -> None:
    engine = backend()
    with pytest.raises(EngineUnavailable):
        _ = engine.card
    with pytest.raises(EngineUnavailable):
        await anext(engine.generate(LONG))
    await engine.close()
    with pytest.raises(EngineUnavailable):
        await engine.start(lambda _: None)
