"""One look at a server, whatever it does."""

import asyncio

import pytest

from backends.remote.checking import Look, look_at
from backends.remote.http_wire import HttpWire
from backends.remote.wire import EndpointCheck
from core.upstreams import Upstream, UpstreamKind
from tests.backends.remote import virtual_time
from tests.backends.remote.documents import Document, DocumentWire, failure, listing
from tests.faulty_upstream import HANG, RESET, faulty_upstream, refusing_url
from tests.upstream_answers import METRICS, good_upstream, redirect, status, whole

LOAD = (2.0, 1.0, 0.25)


def look(models: Document, metrics: Document = 404, kind: UpstreamKind = UpstreamKind.VLLM) -> Look:
    wire = DocumentWire(models=models, metrics=metrics)
    return virtual_time.run(look_at(wire, kind))


def load_of(check: EndpointCheck) -> tuple[float | None, float | None, float | None]:
    return (check.num_running, check.num_waiting, check.kv_cache_usage)


def test_a_good_server_is_reachable_with_its_models_and_its_load() -> None:
    seen = look(listing("a", "b"), METRICS)
    assert seen.check == EndpointCheck(True, None, *LOAD)
    assert seen.models is not None
    assert [model.name for model in seen.models.models] == ["a", "b"]
    assert seen.can_serve
    assert seen.latency_s is not None


def test_providers_are_not_asked_for_metrics() -> None:
    wire = DocumentWire(models=listing("a"), metrics=METRICS)
    seen = virtual_time.run(look_at(wire, UpstreamKind.OPENROUTER))
    assert wire.asked == ["models"]
    assert load_of(seen.check) == (None, None, None)


@pytest.mark.parametrize("metrics", [404, 500, b"\xff\x00{", b"", failure()], ids=range(5))
def test_metrics_that_are_none_take_nothing_away(metrics: Document) -> None:
    seen = look(listing("a"), metrics)
    assert seen.check == EndpointCheck(True)
    assert seen.can_serve


def test_metrics_that_never_come_are_not_waited_for() -> None:
    async def work() -> Look:
        async def never() -> bytes:
            return await asyncio.Event().wait() and b""

        return await look_at(DocumentWire(models=listing("a"), metrics=never), UpstreamKind.VLLM)

    assert virtual_time.run(work()).check == EndpointCheck(True)


def test_a_failure_says_why() -> None:
    seen = look(failure(message="nobody listens there"), METRICS)
    assert seen == Look(EndpointCheck(False, "nobody listens there"))


@pytest.mark.parametrize(
    ("code", "is_reachable", "can_serve"),
    [
        (302, False, False),
        (401, True, False),
        (403, True, False),
        (404, True, True),
        (429, True, True),
        (500, False, False),
    ],
)
def test_a_status_tells_whether_it_can_serve(
    code: int, is_reachable: bool, can_serve: bool
) -> None:
    seen = look(code)
    assert (seen.check.is_reachable, seen.can_serve) == (is_reachable, can_serve)
    assert seen.check.error is not None
    assert str(code) in seen.check.error
    assert seen.models is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"data": 1}'])
def test_a_list_that_is_none_is_said(body: bytes) -> None:
    seen = look(body)
    assert seen.check.is_reachable
    assert seen.check.error == "what it gives as its list of models is none"
    assert seen.models is None


async def test_a_long_list_is_read_too() -> None:
    wire = DocumentWire(models=listing(*(f"model-{number:0200}" for number in range(5000))))
    seen = await look_at(wire, UpstreamKind.OPENAI)
    assert seen.models is not None
    assert len(seen.models.models) == 5000


async def over_http(url: str) -> Look:
    wire = HttpWire(Upstream("box", UpstreamKind.VLLM, (url,)), url)
    try:
        return await look_at(wire, UpstreamKind.VLLM)
    finally:
        await wire.close()


async def test_real_servers_are_looked_at_over_http() -> None:
    async with good_upstream("a", "b") as server:
        seen = await over_http(server.url)
        assert {request.path for request in server.requests} == {"/v1/models", "/metrics"}
    assert seen.check == EndpointCheck(True, None, *LOAD)
    assert seen.models is not None
    assert [(m.name, m.facts["max_model_len"]) for m in seen.models.models] == [
        ("a", 4096),
        ("b", 4096),
    ]


async def test_nobody_there_is_a_failure() -> None:
    with refusing_url() as url:
        seen = await over_http(url)
    assert not seen.check.is_reachable
    assert seen.latency_s is None
    assert seen.check.error


async def test_a_redirect_is_not_followed() -> None:
    async with good_upstream() as other, faulty_upstream(redirect(other.url)) as server:
        seen = await over_http(server.url)
        assert not other.requests
    assert not seen.check.is_reachable


async def test_faults_are_failures_or_statuses() -> None:
    async with faulty_upstream((RESET,)) as server:
        assert not (await over_http(server.url)).check.is_reachable
    async with faulty_upstream(status(503)) as server:
        assert (await over_http(server.url)).check.error == "it answers with status 503"


async def test_a_list_beyond_all_bounds_is_a_failure() -> None:
    async with faulty_upstream(whole(b" " * (9 << 20))) as server:
        assert not (await over_http(server.url)).check.is_reachable


async def test_cancelling_a_look_ends_its_requests() -> None:
    async with faulty_upstream((HANG,)) as server:
        looking = asyncio.ensure_future(over_http(server.url))
        await server.seen(2)
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
        for request in server.requests:
            await request.is_gone.wait()
