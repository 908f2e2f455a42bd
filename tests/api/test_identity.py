"""What every reply carries, what is told of it, and how a server lets go of what is under way."""

import asyncio
import itertools
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from api.traffic import Traffic
from backends.base import TokenRequest
from backends.scripted import ScriptedBackend
from core.errors import ServerStopping
from tests.api.reply_lines import reply_lines
from tests.api.served import HELLO, Served, error_of, served
from tests.api.streams import Gate

ONE_KEY = {"JARVIS_API_KEYS": "ann=0123456789abcdef-ann,bob=0123456789abcdef-bob"}


def words(_: TokenRequest) -> Iterator[int]:
    return itertools.cycle(b"word ")


def traffic_of(app: Served) -> Traffic:
    traffic: Traffic = app.application.state.traffic
    return traffic


async def test_a_reply_names_its_request() -> None:
    async with served(ScriptedBackend(words)) as app:
        given = await app.client.get("/v1/models", headers={"x-request-id": "my-id/1"})
        assert given.headers["x-request-id"] == "my-id/1"
        for odd in ("a b", "x" * 129, "new\tline", ""):
            made = await app.client.get("/v1/models", headers={"x-request-id": odd})
            assert re.fullmatch("[0-9a-f]{32}", made.headers["x-request-id"])
        missing = await app.client.get("/nothing/here", headers={"x-request-id": "b"})
        assert (missing.status_code, missing.headers["x-request-id"]) == (404, "b")


async def test_two_requests_of_one_id_are_two() -> None:
    """CVE-2026-105755: nothing is looked up by what a client calls its request."""
    async with served(ScriptedBackend(words)) as app:
        asked = [
            app.client.post(
                "/v1/chat/completions",
                json={"messages": HELLO, "max_tokens": count},
                headers={"x-request-id": "same"},
            )
            for count in (3, 9)
        ]
        answers = await asyncio.gather(*asked)
    lengths = [each.json()["usage"]["completion_tokens"] for each in answers]
    assert lengths == [3, 9]
    assert len({each.json()["id"] for each in answers}) == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_tells_its_times(stream: bool) -> None:
    async with served(ScriptedBackend(words)) as app:
        answer = await app.chat(max_tokens=3, stream=stream)
    timing = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    assert list(timing) == ["queue", "first", "total"]
    assert 0 <= float(timing["queue"]) <= float(timing["first"]) <= float(timing["total"])


async def test_the_line_at_the_end_has_the_status_and_no_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="api")
    async with served(ScriptedBackend(words)) as app:
        await app.chat(max_tokens=0)
        await app.client.get("/nothing/secret")
        await app.client.get("/health")
    lines = reply_lines(caplog)
    assert [line.split(" key=")[0] for line in lines] == [
        "method=POST path=/v1/chat/completions status=400 error=invalid_value",
        "method=GET path=unknown status=404 error=not_found",
    ]


async def test_a_method_made_up_is_no_label(caplog: pytest.LogCaptureFixture) -> None:
    """CVE-2026-105759."""
    caplog.set_level(logging.INFO, logger="api")
    async with served(ScriptedBackend(words)) as app:
        await app.client.request("PROPFIND", "/v1/models")
        shown = (await app.client.get("/metrics")).text
    assert any("method=OTHER" in line for line in reply_lines(caplog))
    assert "PROPFIND" not in shown


async def test_what_stops_refuses_what_is_new_and_lets_the_rest_end() -> None:
    gate = Gate(num_open=2)
    async with served(ScriptedBackend(words, gate=gate.passed)) as app:
        running = asyncio.create_task(app.chat(max_tokens=6))
        await gate.is_waited_for.wait()
        traffic = traffic_of(app)
        traffic.stop("the server stops")
        for path in ("/v1/chat/completions", "/v1/models", "/v1/messages"):
            refused = await app.client.post(path, json={"messages": HELLO})
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
            assert refused.headers["connection"] == "close"
        ready = await app.client.get("/health/ready")
        assert (ready.status_code, ready.json()["state"]) == (503, "draining")
        assert (await app.client.get("/health")).status_code == 200
        assert (await app.client.get("/metrics")).status_code == 200
        assert traffic.num_active == 1
        emptied = asyncio.create_task(traffic.emptied())
        gate.open()
        assert (await running).status_code == 200
        await emptied


@pytest.mark.parametrize("stream", [False, True])
async def test_what_takes_too_long_ends_with_one_error(stream: bool) -> None:
    gate = Gate(num_open=2)
    backend = ScriptedBackend(words, gate=gate.passed)
    async with served(backend) as app:
        asking = asyncio.create_task(app.chat(stream=stream))
        await gate.is_waited_for.wait()
        traffic_of(app).stop("the server stops")
        traffic_of(app).end_all(ServerStopping("the server stopped"))
        response = await asking
        await traffic_of(app).emptied()
        assert response.text.count("the server stopped") == 1
        assert response.status_code == (200 if stream else 503)
        await gate.is_left.wait()


async def test_a_background_response_is_under_way_until_it_has_ended() -> None:
    gate = Gate(num_open=2)
    async with served(ScriptedBackend(words, gate=gate.passed)) as app:
        body = {"input": "hi", "background": True, "max_output_tokens": 16}
        made = await app.client.post("/v1/responses", json=body)
        assert made.status_code == 200, made.text
        assert traffic_of(app).num_active == 1
        gate.open()
        await traffic_of(app).emptied()
        done = (await app.client.get(f"/v1/responses/{made.json()['id']}")).json()
        assert done["status"] == "incomplete"


async def test_a_response_is_there_for_the_key_alone_that_made_it() -> None:
    async with served(ScriptedBackend(words), **ONE_KEY) as app:
        ann, bob = ({"x-api-key": f"0123456789abcdef-{name}"} for name in ("ann", "bob"))
        body = {"input": "hi", "max_output_tokens": 16}
        made = (await app.client.post("/v1/responses", json=body, headers=ann)).json()
        path = f"/v1/responses/{made['id']}"
        assert (await app.client.get(path, headers=ann)).status_code == 200
        calls: list[tuple[str, str, dict[str, Any]]] = [
            ("GET", path, {}),
            ("GET", f"{path}/input_items", {}),
            ("POST", f"{path}/cancel", {}),
            ("DELETE", path, {}),
        ]
        for method, url, extra in calls:
            hidden = await app.client.request(method, url, headers=bob, **extra)
            assert hidden.status_code == 404, (method, url)
        again = {**body, "previous_response_id": made["id"]}
        refused = await app.client.post("/v1/responses", json=again, headers=bob)
        assert error_of(refused)["code"] == "previous_response_not_found"
        assert (await app.client.delete(path, headers=ann)).status_code == 200


async def test_what_runs_here_is_told() -> None:
    async with served(ScriptedBackend(words, num_slots=7)) as app:
        told = (await app.client.get("/v1/server/info")).json()
    assert told["uptime_s"] >= 0
    assert re.fullmatch(r"\d+\.\d+\.\d+", told["version"])
    assert {name: told[name] for name in ("state", "engine", "model", "slots")} == {
        "state": "ready",
        "engine": "llama_cpp",
        "model": "jarvis-tiny",
        "slots": 7,
    }
    assert (told["max_model_len"], told["active_requests"], told["queued"]) == (4096, 1, 0)
