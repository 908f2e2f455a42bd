"""What users of other servers met after days: work for clients who have left, queues without end,
a health that waits for the model. Named after where it was reported.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from backends.scripted import ScriptedBackend
from tests.api.served import served
from tests.fuzz.raw_client import exchange
from tests.script import counting
from tests.threats.conftest import EngineTarget, Scripted
from tests.threats.oracle import refusal

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

MAX_QUEUE = 3


class Gate:
    """Lets no step through until it is opened."""

    def __init__(self) -> None:
        self.is_open = asyncio.Event()

    def __call__(self) -> asyncio.Future[None]:
        async def passed() -> None:
            await self.is_open.wait()

        return asyncio.ensure_future(passed())


def body(text: str, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"messages": messages, "max_tokens": 2, **fields}


@asynccontextmanager
async def a_full_server() -> AsyncIterator[tuple[httpx.AsyncClient, ScriptedBackend, Gate]]:
    """As many run as can, and as many wait as may: all stand still until the gate opens."""
    gate = Gate()
    backend = ScriptedBackend(counting, gate=gate)
    async with served(backend, JARVIS_MAX_QUEUE=str(MAX_QUEUE)) as app:
        url, limits = app.client.base_url, httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as client:
            count = backend.card.num_slots + backend.card.num_slots // 16
            running = [asyncio.create_task(ask(client, "run")) for _ in range(count)]
            while backend.num_live < count:
                await asyncio.sleep(0)
            yield client, backend, gate
            gate.is_open.set()
            assert {each.status_code for each in await asyncio.gather(*running)} == {200}


async def ask(client: httpx.AsyncClient, text: str, **fields: Any) -> httpx.Response:
    return await client.post("/v1/chat/completions", json=body(text, **fields))


async def num_waiting(client: httpx.AsyncClient) -> int:
    lines = (await client.get("/metrics")).text.splitlines()
    found = [line for line in lines if line.startswith("vllm:num_requests_waiting{")]
    return round(float(found[0].rpartition(" ")[2]))


async def test_vllm_2901_more_than_may_wait_are_refused_at_once_with_a_time() -> None:
    async with a_full_server() as (client, _, gate):
        waiting = [asyncio.create_task(ask(client, "wait")) for _ in range(MAX_QUEUE)]
        while await num_waiting(client) < MAX_QUEUE:
            pass
        for fields in ({}, {"stream": True}, {"n": 2}):
            refused = await ask(client, "too many", **fields)
            assert refusal(refused, 429)["code"]
            assert int(refused.headers["retry-after"]) >= 1
        gate.is_open.set()
        assert {each.status_code for each in await asyncio.gather(*waiting)} == {200}


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/chat/completions", body("many", n=MAX_QUEUE + 1)),
        ("/v1/completions", {"prompt": ["a"] * (MAX_QUEUE + 1), "max_tokens": 1}),
    ],
    ids=["vllm-49445", "CVE-2026-73559"],
)
async def test_every_choice_and_every_prompt_counts_in_the_queue(
    path: str, fields: dict[str, Any]
) -> None:
    async with a_full_server() as (client, backend, _):
        num_before = len(backend.requests)
        refusal(await client.post(path, json=fields), 429)
        assert len(backend.requests) == num_before


async def test_llama_cpp_13262_a_client_that_leaves_the_queue_is_never_served() -> None:
    async with a_full_server() as (client, backend, gate):
        leaving = [asyncio.create_task(ask(client, "leaves", stream=bool(n))) for n in range(2)]
        while await num_waiting(client) < len(leaving):
            pass
        num_before = len(backend.requests)
        for each in leaving:
            each.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        while await num_waiting(client):
            pass
        gate.is_open.set()
        assert (await ask(client, "stays")).status_code == 200
        assert len(backend.requests) == num_before + 1


async def test_cve_2026_100647_a_body_of_200_megabytes_is_refused_before_it_comes(
    scripted_target: Scripted,
) -> None:
    port = scripted_target.client.base_url.port
    assert port is not None
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
    head += b"content-type: application/json\r\ncontent-length: 200000000\r\n\r\n"
    found = await exchange(port, head + b'{"cache_salt": "')
    assert [each.status for each in found.responses] == [413]
    assert json.loads(found.responses[0].body)["error"]["code"] == "request_too_large"


async def test_streaming_no_proxy_is_told_to_keep_or_change_a_stream(
    scripted_target: Scripted,
) -> None:
    head = {"accept-encoding": "gzip, br"}
    async with scripted_target.client.stream(
        "POST", "/v1/chat/completions", json=body("hi", stream=True), headers=head
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert "no-cache" in response.headers["cache-control"]
        assert response.headers["x-accel-buffering"] == "no"
        assert "content-encoding" not in response.headers
        await response.aread()


@pytest.mark.engine
async def test_ik_llama_cpp_1210_health_is_told_before_a_long_prompt_is_computed(
    engine_target: EngineTarget,
) -> None:
    window = engine_target.engine.backend.card.context_window
    prompt = {"prompt": [7] * (window - 2), "max_tokens": 1}
    computing = asyncio.create_task(engine_target.post("/v1/completions", prompt))
    while not engine_target.engine.backend.stats.num_running:
        await asyncio.sleep(0)
    assert (await engine_target.client.get("/health")).status_code == 200
    assert not computing.done()
    assert (await computing).status_code == 200


@pytest.mark.engine
async def test_cve_2025_62426_health_is_told_before_a_long_text_is_tokenized(
    engine_target: EngineTarget,
) -> None:
    text = {"prompt": "".join(f"word{number}, " for number in range(300_000))}
    counting_tokens = asyncio.create_task(engine_target.post("/tokenize", text))
    await asyncio.sleep(0)
    for _ in range(5):
        assert (await engine_target.client.get("/health")).status_code == 200
    assert not counting_tokens.done()
    answer = await counting_tokens
    assert answer.status_code == 200, answer.text


@pytest.mark.engine
async def test_cve_2026_9540_clients_that_left_leave_nothing_in_the_engine(
    engine_target: EngineTarget,
) -> None:
    asked = body("Go on.", ignore_eos=True, max_tokens=2000)
    asking = [
        asyncio.create_task(engine_target.post("/v1/chat/completions", asked)) for _ in range(20)
    ]
    while not engine_target.engine.backend.stats.num_running:
        await asyncio.sleep(0)
    for each in asking:
        each.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    while (stats := engine_target.engine.backend.stats).num_running or stats.num_waiting:
        await engine_target.client.get("/health")
    await engine_target.is_unharmed()
