"""All upstreams as one, over HTTP to servers on loopback."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from backends.remote.host import RemoteHost
from backends.upstream import (
    BreakerState,
    Place,
    StreamedReply,
    UpstreamCall,
    UpstreamHost,
    WholeReply,
)
from core.errors import ConfigurationError, UpstreamFailed
from core.upstreams import BreakerRules, Upstream, UpstreamKind, UpstreamPlan
from tests.backends.remote import virtual_time
from tests.backends.remote.documents import DocumentWire, failure, listing
from tests.backends.remote.test_watch import never
from tests.faulty_upstream import HANG, FaultyUpstream, faulty_upstream, refusing_url
from tests.upstream_answers import good_upstream, status

SECRET = "sk-very-secret-0123456789"
VLLM = UpstreamKind.VLLM


def plan(*upstreams: Upstream, **fields: Any) -> UpstreamPlan:
    return UpstreamPlan(tuple(upstreams), **fields)


def call(*, is_stream: bool = False) -> UpstreamCall:
    fields = {
        "messages": msgspec.Raw(b"[]"),
        "stream": msgspec.Raw(b"true" if is_stream else b"false"),
    }
    return UpstreamCall("r1", "chat/completions", fields, is_stream)


@asynccontextmanager
async def running(*upstreams: Upstream) -> AsyncIterator[RemoteHost]:
    host = RemoteHost(plan(*upstreams))
    host.start()
    try:
        yield host
    finally:
        await host.close()


def box(*servers: FaultyUpstream, name: str = "box", **fields: Any) -> Upstream:
    return Upstream(name, VLLM, tuple(server.url for server in servers), **fields)


def scripted(*wires: DocumentWire, **fields: Any) -> RemoteHost:
    """A host with upstreams a, b, ... behind the wires."""
    upstreams = [
        Upstream(name, UpstreamKind.OPENAI, (wire.url,), **fields)
        for name, wire in zip("abc", wires, strict=False)
    ]
    of = dict(zip("abc", wires, strict=False))
    return RemoteHost(plan(*upstreams), lambda upstream, _: of[upstream.name])


async def test_names_are_found_by_asking_the_servers() -> None:
    async with (
        good_upstream("org/a", "b") as one,
        good_upstream("b") as two,
        running(box(one), box(two, name="late", priority=1)) as host,
    ):
        assert await host.find("org/a") == (Place("box", "org/a"),)
        assert await host.find("late://b") == (Place("late", "b"),)
        await host.find("nobody")
        assert await host.find("b") == (Place("box", "b"), Place("late", "b"))
        assert await host.find("nobody") == ()
        assert [model.name for model in host.models()] == ["org/a", "b"]
        assert host.models()[0].facts["max_model_len"] == 4096
        assert host.kind_of("late") is VLLM
        paths = [request.path for request in one.requests]
        assert paths.count("/v1/models") == 1


async def test_requests_go_where_the_model_is_under_its_name_there() -> None:
    async with (
        good_upstream("org/a") as server,
        running(box(server, models={"a": "org/a"}, default_model="a")) as host,
    ):
        seam: UpstreamHost = host
        reply = await seam.send(call(), await seam.find(None))
        assert isinstance(reply, WholeReply)
        assert json.loads(reply.body)["model"] == "org/a"
        streamed = await seam.send(call(is_stream=True), await seam.find("box/a"))
        assert isinstance(streamed, StreamedReply)
        assert (b"".join([e async for e in streamed.events])).endswith(b"data: [DONE]\n\n")
        await streamed.events.aclose()


async def test_states_tell_of_each_server() -> None:
    async with (
        good_upstream("a") as good,
        faulty_upstream(status(503)) as bad,
        running(box(good, bad), box(bad, name="down")) as host,
    ):
        before = host.states()
        assert [each.is_reachable for each in before[0].endpoints] == [None, None]
        await host.find("nobody")
        first, second = host.states()
    assert (first.name, first.kind, first.is_usable) == ("box", VLLM, True)
    assert [model.name for model in first.models] == ["a"]
    well, ill = first.endpoints
    assert (well.url, well.is_reachable, well.breaker) == (good.url, True, BreakerState.CLOSED)
    assert (well.num_running, well.num_waiting, well.kv_cache_usage) == (2.0, 1.0, 0.25)
    assert (ill.is_reachable, ill.error) == (False, "it answers with status 503")
    assert not second.is_usable


async def test_a_server_that_is_down_or_hangs_delays_no_start_and_no_other() -> None:
    with refusing_url() as url:
        async with faulty_upstream((HANG,)) as hanging, good_upstream("a") as good:
            upstreams = (Upstream("down", VLLM, (url,)), box(hanging, name="hangs"), box(good))
            async with running(*upstreams) as host:
                assert await host.find("a") == (Place("box", "a"),)
                assert await host.find("down/x") == (Place("down", "x"),)


def test_a_new_model_is_found_by_one_look_for_all_who_ask() -> None:
    async def work() -> None:
        wire = DocumentWire(models=listing("old"))
        host = scripted(wire)
        host.start()
        assert await host.find("new") == ()
        wire.documents["models"] = listing("old", "new")
        assert await host.find("new") == ()
        await asyncio.sleep(5)
        found = await asyncio.gather(*(host.find("new") for _ in range(50)))
        assert set(found) == {(Place("a", "new"),)}
        assert wire.asked == ["models"] * 2
        await host.close()

    virtual_time.run(work())


def test_who_asks_for_what_nobody_has_waits_for_a_bounded_time() -> None:
    async def work() -> None:
        host = scripted(DocumentWire(models=never), DocumentWire(models=listing("x")))
        host.start()
        assert await host.find("x") == (Place("b", "x"),)
        assert virtual_time.now() == 0
        assert await host.find("nobody") == ()
        assert virtual_time.now() == 5
        waiting = asyncio.ensure_future(host.find("nobody"))
        await asyncio.sleep(1)
        await host.close()
        assert await waiting == ()
        assert virtual_time.now() == 6

    virtual_time.run(work())


def test_the_only_model_needs_no_name_when_all_were_looked_at() -> None:
    async def work() -> None:
        wires = DocumentWire(models=listing("x")), DocumentWire(models=failure())
        host = scripted(*wires)
        host.start()
        assert await host.find(None) == (Place("a", "x"),)
        await asyncio.sleep(7)
        assert await host.find("") == (Place("a", "x"),)
        assert wires[0].asked == ["models"]
        await host.close()

    virtual_time.run(work())


def test_whether_a_model_is_the_only_one_is_known_when_all_were_looked_at() -> None:
    async def work() -> None:
        is_told = asyncio.Event()

        async def late() -> bytes:
            await is_told.wait()
            return listing("y")

        host = scripted(DocumentWire(models=listing("x")), DocumentWire(models=late))
        host.start()
        assert await host.find("x") == (Place("a", "x"),)
        waiting = asyncio.ensure_future(host.find(None))
        await asyncio.sleep(1)
        assert not waiting.done()
        is_told.set()
        assert await waiting == ()
        await host.close()

    virtual_time.run(work())


def test_a_new_model_at_one_of_a_kind_is_found_by_a_look() -> None:
    async def work() -> None:
        wires = DocumentWire(models=listing("x")), DocumentWire(models=listing("y"))
        host = scripted(*wires)
        host.start()
        assert await host.find("openai/y") == (Place("b", "y"),)
        await asyncio.sleep(5)
        wires[1].documents["models"] = listing("y", "new")
        assert await host.find("openai/new") == (Place("b", "new"),)
        await host.close()

    virtual_time.run(work())


def test_closing_closes_all_wires_and_may_be_repeated() -> None:
    async def work() -> None:
        wires = DocumentWire(models=never), DocumentWire(models=listing("x"))
        host = scripted(*wires)
        assert await host.find("x") == (), "nobody is asked before the start"
        host.start()
        await wires[0].asked_for("models", 1)
        await host.close()
        await host.close()
        assert all(wire.num_closed for wire in wires)
        assert len(asyncio.all_tasks()) == 1

    virtual_time.run(work())


async def test_closing_ends_requests_that_are_under_way() -> None:
    async with faulty_upstream((HANG,)) as server, running(box(server, max_retries=0)) as host:
        sending = asyncio.ensure_future(host.send(call(), (Place("box", "x"),)))
        await server.until(lambda: any(r.path == "/v1/chat/completions" for r in server.requests))
        await host.close()
        with pytest.raises(UpstreamFailed):
            await sending


async def test_a_wire_that_can_not_be_made_is_a_mistake_of_the_settings(tmp_path: Any) -> None:
    (tmp_path / "ca.pem").write_text("none")
    upstream = Upstream("box", VLLM, ("https://box/v1",), ca_file=tmp_path / "ca.pem")
    with pytest.raises(ConfigurationError, match="ca_file"):
        RemoteHost(plan(upstream))


async def test_keys_are_told_to_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with good_upstream("a") as good, faulty_upstream(status(500)) as bad:
        key, header = SecretStr(SECRET), {"X-Token": SecretStr(f"{SECRET}-2")}
        rules = BreakerRules(1, 10)
        one = box(good, api_key=key, extra_headers=header)
        two = box(bad, name="bad", api_key=key, extra_headers=header, breaker=rules, max_retries=0)
        async with running(one, two) as host:
            await host.send(call(), await host.find("a"))
            with pytest.raises(UpstreamFailed) as caught:
                await host.send(call(), await host.find("bad/a"))
            shown = [str(caught.value), repr(caught.value.failure), repr(host.plan)]
            shown += [repr(host.states()), repr(host.models()), caplog.text]
        assert all(r.headers["authorization"] == f"Bearer {SECRET}" for r in good.requests)
    assert not [text for text in shown if SECRET in text]


async def test_closing_ends_requests_at_once_and_blames_no_server() -> None:
    rules = BreakerRules(num_failures=1)
    async with faulty_upstream((HANG,)) as server:
        host = RemoteHost(plan(box(server, breaker=rules), box(server, name="late", priority=1)))
        places = (Place("box", "m"), Place("late", "m"))
        asking = asyncio.create_task(host.send(call(), places))
        await server.seen()
        await host.close()
        with pytest.raises(UpstreamFailed, match="closes"):
            await asking
        assert {state.endpoints[0].breaker for state in host.states()} == {BreakerState.CLOSED}
        assert len(server.requests) == 1
