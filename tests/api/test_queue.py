"""Requests that wait: bounded, refused before any work, and over when their time is."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from backends.base import TokenRequest
from backends.scripted import ScriptedBackend
from tests.api.served import HELLO, Served, error_of, served
from tests.api.streams import Gate, frames


def endless(_: TokenRequest) -> Iterator[int]:
    return itertools.cycle(b"word ")


def one_slot(gate: Gate) -> ScriptedBackend:
    return ScriptedBackend(endless, gate=gate.passed, num_slots=1)


async def begun(app: Served, gate: Gate, **fields: Any) -> asyncio.Task[httpx.Response]:
    """A chat that has the only slot."""
    task = asyncio.create_task(app.chat(max_tokens=8, **fields))
    await gate.is_waited_for.wait()
    return task


async def test_beyond_the_queue_is_a_429_that_says_when_to_come_back() -> None:
    gate = Gate()
    backend = one_slot(gate)
    async with served(backend, JARVIS_MAX_QUEUE="1") as app:
        running = await begun(app, gate)
        waiting = asyncio.create_task(app.chat(max_tokens=8))
        while (await app.client.get("/v1/server/info")).json()["queued"] != 1:
            await asyncio.sleep(0)
        for stream in (False, True):
            refused = await app.chat(max_tokens=8, stream=stream)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
            assert error_of(refused)["code"] == "queue_full"
        message = await app.client.post(
            "/v1/messages", json={"model": "jarvis-tiny", "max_tokens": 8, "messages": HELLO}
        )
        assert message.status_code == 429
        assert message.json()["error"]["type"] == "rate_limit_error"
        gate.open()
        assert [(await each).status_code for each in (running, waiting)] == [200, 200]
    assert len(backend.requests) == 2


async def test_all_choices_and_prompts_count() -> None:
    gate = Gate()
    backend = one_slot(gate)
    async with served(backend, JARVIS_MAX_QUEUE="3") as app:
        for fields in ({"n": 5}, {"prompt": ["a"] * 5}, {"prompt": ["a", "b"], "n": 3}):
            refused = await app.complete(**fields)
            assert error_of(refused)["code"] == "queue_full"
        assert backend.requests == []
        gate.open()
        assert (await app.complete(n=4, max_tokens=2)).status_code == 200


async def test_a_request_whose_time_is_over_in_the_queue_is_a_408_and_no_work() -> None:
    gate = Gate()
    backend = one_slot(gate)
    async with served(backend) as app:
        running = await begun(app, gate)
        for stream in (False, True):
            late = await app.chat(timeout=0.05, stream=stream)
            assert late.status_code == 408
            assert error_of(late)["code"] == "deadline_exceeded"
        assert len(backend.requests) == 1
        gate.open()
        assert (await running).status_code == 200


@pytest.mark.parametrize("flags", [{}, {"JARVIS_REQUEST_TIMEOUT_S": "0.2"}])
async def test_an_answer_whose_time_is_over_ends_with_an_error(flags: dict[str, str]) -> None:
    fields: dict[str, Any] = {} if flags else {"timeout": 0.2}
    gate = Gate(num_open=3)
    backend = ScriptedBackend(endless, gate=gate.passed)
    async with served(backend, **flags) as app:
        async with app.client.stream(
            "POST", "/v1/chat/completions", json={"messages": HELLO, "stream": True, **fields}
        ) as response:
            assert response.status_code == 200
            came = await frames(response)
        assert came[-1].startswith("event: error\ndata: ")
        assert '"code":"deadline_exceeded"' in came[-1]
        assert sum(frame.startswith("event: error") for frame in came) == 1
        await gate.is_left.wait()
        late = await app.chat(**fields)
        assert late.status_code == 408
    assert backend.num_live == 0


async def test_the_shorter_of_two_times_counts() -> None:
    backend = ScriptedBackend(endless, gate=Gate().passed)
    async with served(backend, JARVIS_REQUEST_TIMEOUT_S="0.05") as app:
        late = await app.chat(timeout=3600)
        assert late.status_code == 408
        assert "0.05 s" in error_of(late)["message"]


@pytest.mark.parametrize("timeout", [0, -1, "5", True, [], 1e300])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages"])
async def test_a_time_that_is_none_is_refused(path: str, timeout: object) -> None:
    body: dict[str, Any] = {"messages": HELLO, "max_tokens": 4, "model": "jarvis-tiny"}
    if path == "/v1/responses":
        body = {"input": "hi"}
    async with served(ScriptedBackend(endless)) as app:
        refused = await app.client.post(path, json={**body, "timeout": timeout})
    assert refused.status_code == 400
    assert "timeout" in refused.text


async def test_a_client_that_goes_from_the_queue_is_never_begun() -> None:
    gate = Gate()
    backend = one_slot(gate)
    async with served(backend) as app:
        running = await begun(app, gate)
        waiting = asyncio.create_task(app.chat())
        info = "/v1/server/info"
        while (await app.client.get(info)).json()["queued"] != 1:
            await asyncio.sleep(0)
        waiting.cancel()
        while (await app.client.get(info)).json()["queued"]:
            await asyncio.sleep(0)
        gate.open()
        assert (await running).status_code == 200
        assert (await app.client.get(info)).json()["active_requests"] == 1
    assert len(backend.requests) == 1
