"""What vLLM's workers are asked for besides computing."""

import uuid

import pytest

from tests.engines import Engine

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]


async def test_workers_give_their_heap_back_after_many_steps(
    vllm: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It imports vllm, which takes seconds where no test needs it.
    from backends.vllm_engine import step_stats
    from backends.vllm_engine.backend import VllmBackend

    backend = vllm.backend
    assert isinstance(backend, VllmBackend)
    engine = backend._life.loaded.engine
    answers: list[object] = []
    call = engine._llm.collective_rpc

    async def noted(name: str) -> None:
        answers.append(await call(name))

    monkeypatch.setattr(engine._llm, "collective_rpc", noted)
    monkeypatch.setattr(step_stats, "MANY_STEPS", 4)
    before = backend.stats.num_steps
    await vllm.answer(vllm.request(vllm.prompt(f"Count {uuid.uuid4()}"), 24))
    assert engine._giving_back is not None
    await engine._giving_back
    # One a worker, which is one here.
    assert answers
    assert all(answer == [None] for answer in answers)
    assert len(answers) <= (backend.stats.num_steps - before) // 4 + 1
