"""The library over servers that fail, and several of them."""

from dataclasses import replace

import pytest

from core.errors import EngineUnavailable, ModelNotServed, UpstreamFailed
from core.upstreams import BreakerRules, Upstream, UpstreamKind, UpstreamPlan
from jarvis import AsyncEngine, EngineConfig
from tests.faulty_upstream import HANG, FaultyUpstream, faulty_upstream, refusing_url
from tests.upstream_answers import good_upstream, models, status, whole

QUICK = BreakerRules(num_failures=1, open_s=60)


def box(name: str, server: FaultyUpstream) -> Upstream:
    return Upstream(name, UpstreamKind.VLLM, (server.url,), max_retries=0, breaker=QUICK)


def engine_of(model: str | None, *upstreams: Upstream, **fallbacks: tuple[str, ...]) -> AsyncEngine:
    plan = UpstreamPlan(upstreams, fallbacks)
    return AsyncEngine(EngineConfig("remote", model, upstreams=plan))


async def test_a_server_whose_answers_fail_is_not_available_though_it_is_reached() -> None:
    async with faulty_upstream(status(500)) as server:
        server.answer_path("/v1/models", whole(models("tiny")))
        async with engine_of("tiny", box("gpu", server)) as engine:
            assert await engine.is_available()
            with pytest.raises(UpstreamFailed, match="500"):
                await engine.chat("Hello")
            assert not await engine.is_available()
            assert engine.reason == "upstream gpu answers, but its requests failed of late"


async def test_what_stands_in_for_a_model_answers_where_its_server_fails() -> None:
    async with faulty_upstream(status(500)) as bad, good_upstream("spare") as good:
        bad.answer_path("/v1/models", whole(models("tiny")))
        upstreams = box("gpu", bad), box("late", good)
        async with engine_of("tiny", *upstreams, tiny=("spare",)) as engine:
            assert (await engine.chat("Hello")).text == "t0 t1 t2 "
            assert await engine.is_available()


async def test_what_stands_in_answers_also_where_the_server_was_never_up() -> None:
    with refusing_url() as url:
        down = Upstream("down", UpstreamKind.VLLM, (url,), max_retries=0)
        async with (
            good_upstream("spare") as good,
            engine_of("large", down, box("late", good), large=("spare",)) as engine,
        ):
            assert (await engine.chat("Hello")).text == "t0 t1 t2 "


async def test_servers_of_several_kinds_share_what_they_can_all_answer() -> None:
    async with good_upstream("tiny") as one, good_upstream("tiny") as two:
        other = replace(box("other", two), kind=UpstreamKind.OPENAI)
        async with engine_of("tiny", box("gpu", one), other) as engine:
            for number in range(24):
                await engine.chat(f"{number} is a number", max_tokens=5)
        asked = [[r for r in each.requests if r.method == "POST"] for each in (one, two)]
    assert all(asked)
    assert all(b'"max_tokens":5' in request.body for request in asked[0])
    assert all(b'"max_completion_tokens":5' in request.body for request in asked[1])


async def test_a_server_that_hangs_holds_up_no_word_of_another() -> None:
    async with (
        faulty_upstream((HANG,)) as silent,
        good_upstream("tiny") as good,
        engine_of("tiny", box("silent", silent), box("gpu", good)) as engine,
    ):
        assert await engine.is_available()
        await silent.until(lambda: any(each.is_gone.is_set() for each in silent.requests))


async def test_a_model_that_no_server_has_is_refused_by_its_name() -> None:
    async with (
        good_upstream("tiny", "other") as server,
        engine_of("large", box("gpu", server)) as engine,
        engine_of(None, box("gpu", server)) as nameless,
    ):
        for asked, said in ((engine, "no server has the model 'large'"), (nameless, "is missing")):
            with pytest.raises(ModelNotServed, match=f"{said}.*tiny, other") as refused:
                await asked.chat("Hello")
            assert refused.value.param == "model"


async def test_what_was_never_started_or_is_closed_says_what_to_do() -> None:
    async with good_upstream("tiny") as server:
        engine = engine_of("tiny", box("gpu", server))
        with pytest.raises(EngineUnavailable, match="not started: use it in a `with`"):
            await engine.chat("Hello")
        await engine.start()
        await engine.close()
        with pytest.raises(EngineUnavailable, match="closed: make another one"):
            await engine.chat("Hello")
