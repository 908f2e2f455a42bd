"""Ways round a key's limits that are closed: other servers, the background, priorities, vectors."""

import asyncio
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from backends.base import TokenRequest
from backends.scripted import ScriptedBackend
from core.upstreams import UpstreamKind
from tests.api.access.guarded import bearer, written
from tests.api.remote.harness import (
    HELLO,
    Local,
    RemoteApp,
    remote_app,
    sent,
    server_with,
    upstream,
)
from tests.api.served import served
from tests.api.streams import Gate
from tests.faulty_upstream import HANG
from tests.upstream_answers import DONE, chat_answer, delta, stream, unended

COUNTED, CAPPED, OTHER_MODEL, ONE_AT_ONCE = "counted-" * 3, "capped-" * 3, "model-" * 4, "once-" * 5
FILE = f"""
[keys.counted]
key = "{COUNTED}"
tokens_per_minute = 100_000
[keys.capped]
key = "{CAPPED}"
max_tokens = 5
[keys.elsewhere]
key = "{OTHER_MODEL}"
models = ["another-model"]
[keys.once]
key = "{ONE_AT_ONCE}"
concurrent_requests = 1
"""


def words(_: TokenRequest) -> Iterator[int]:
    return itertools.cycle(b"word ")


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    return {"JARVIS_API_KEYS": str(written(tmp_path, FILE))}


async def left(client: httpx.AsyncClient) -> int:
    response = await client.get("/v1/models", headers=bearer(COUNTED))
    return int(response.headers["x-ratelimit-remaining-tokens"])


async def test_no_name_is_no_way_to_the_model_here(keys: dict[str, str]) -> None:
    """Where other servers are there too, which have names of their own."""
    local = Local(ScriptedBackend(words))
    bodies: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {"messages": HELLO},
        "/v1/completions": {"prompt": "hi"},
        "/v1/responses": {"input": "hi"},
        "/v1/responses/input_tokens": {"input": "hi"},
        "/v1/messages/count_tokens": {"messages": HELLO, "model": ""},
    }
    async with (
        server_with("tiny", chat_answer("x")) as server,
        remote_app(upstream("a", server), local=local, flags=keys) as app,
    ):
        for path, body in bodies.items():
            refused = await app.client.post(path, json=body, headers=bearer(OTHER_MODEL))
            assert refused.status_code == 404, (path, refused.text)
    assert local.backend is not None
    assert local.backend.requests == []
    assert sent(server) == []


async def test_a_stream_whose_server_counts_nothing_is_charged(keys: dict[str, str]) -> None:
    async with (
        server_with("tiny", stream(*[delta("a")] * 10, DONE)) as server,
        remote_app(upstream("a", server), flags=keys) as app,
    ):
        before = await left(app.client)
        answer = await ask(app, COUNTED, stream=True)
        assert answer.status_code == 200
        assert before - await left(app.client) >= 10


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
async def test_a_prompt_that_another_server_did_not_count_is_charged(
    keys: dict[str, str], path: str
) -> None:
    """The client leaves before the stream's last chunk, which alone tells the usage."""
    prompt = "word " * 400
    asked = {"max_tokens": 9, "messages": [{"role": "user", "content": prompt}]}
    body = asked if path == "/v1/messages" else {"input": prompt, "store": False}
    async with (
        server_with("tiny", unended(delta("a"), HANG)) as server,
        remote_app(upstream("a", server), flags=keys) as app,
    ):
        before = await left(app.client)
        sent_body = {"model": "tiny", "stream": True, **body}
        async with app.client.stream("POST", path, json=sent_body, headers=bearer(COUNTED)) as got:
            assert got.status_code == 200
        await app.is_idle()
        assert before - await left(app.client) >= len(prompt) // 4


async def test_the_ceiling_holds_at_other_servers(keys: dict[str, str]) -> None:
    async with (
        server_with("tiny", chat_answer("x")) as server,
        remote_app(upstream("a", server), flags=keys) as app,
    ):
        assert (await ask(app, CAPPED)).status_code == 200
        assert (await ask(app, CAPPED, n_predict=1)).status_code == 200
        assert (await ask(app, CAPPED, max_tokens=4)).status_code == 200
        for fields in ({"max_tokens": 6}, {"max_completion_tokens": 1e9}, {"n_predict": -1}):
            refused = await ask(app, CAPPED, **fields)
            assert refused.status_code == 400, fields
    assert [body["max_tokens"] for body in sent(server)] == [5, 5, 4]


async def test_prompts_are_kept_apart_at_other_servers_too(keys: dict[str, str]) -> None:
    async with (
        server_with("tiny", chat_answer("x")) as server,
        remote_app(upstream("a", server, kind=UpstreamKind.VLLM), flags=keys) as app,
    ):
        for key in (COUNTED, CAPPED):
            for fields in ({}, {"cache_salt": "mine"}):
                assert (await ask(app, key, **fields)).status_code == 200
    salts = [body["cache_salt"] for body in sent(server)]
    assert len(set(salts)) == 4
    assert "mine" not in salts


async def test_a_long_value_of_a_short_field_is_refused_unread(keys: dict[str, str]) -> None:
    async with (
        server_with("tiny", chat_answer("x")) as server,
        remote_app(upstream("a", server), flags=keys) as app,
    ):
        for name in ("timeout", "model", "stream", "max_tokens"):
            refused = await ask(app, CAPPED, **{name: [[]] * 5000})
            assert refused.status_code == 400, name
    assert sent(server) == []


async def test_a_background_response_takes_its_keys_place(keys: dict[str, str]) -> None:
    gate = Gate(num_open=1)
    body = {"input": "hi", "background": True, "max_output_tokens": 16}
    async with served(ScriptedBackend(words, gate=gate.passed), **keys) as app:

        async def post() -> httpx.Response:
            return await app.client.post("/v1/responses", json=body, headers=bearer(ONE_AT_ONCE))

        assert (await post()).status_code == 200
        assert (await post()).status_code == 429
        gate.open()
        await app.application.state.traffic.emptied()
        assert (await post()).status_code == 200


async def test_a_background_response_has_the_time_of_its_request() -> None:
    gate = Gate(num_open=1)
    body = {"input": "hi", "background": True, "timeout": 0.2}
    async with served(ScriptedBackend(words, gate=gate.passed)) as app:
        made = (await app.client.post("/v1/responses", json=body)).json()
        await app.application.state.traffic.emptied()
        ended = (await app.client.get(f"/v1/responses/{made['id']}")).json()
    assert ended["status"] == "failed"
    assert "0.2 s" in ended["error"]["message"]


async def test_no_priority_is_told_to_the_engine_between_keys(keys: dict[str, str]) -> None:
    backend = ScriptedBackend(words)
    async with served(backend, **keys) as app:
        body = {"messages": HELLO, "max_tokens": 2, "priority": -(2**31)}
        answer = await app.client.post("/v1/chat/completions", json=body, headers=bearer(COUNTED))
        assert answer.status_code == 200
    assert [each.priority for each in backend.requests] == [0]


async def test_what_had_no_turn_is_charged_nothing(keys: dict[str, str]) -> None:
    gate = Gate()
    backend = ScriptedBackend(words, gate=gate.passed, num_slots=1)
    async with served(backend, **keys) as app:

        async def post(key: str, **fields: Any) -> httpx.Response:
            body = {"messages": HELLO, "max_tokens": 2, **fields}
            return await app.client.post("/v1/chat/completions", json=body, headers=bearer(key))

        running = asyncio.create_task(post(CAPPED))
        await gate.is_waited_for.wait()
        before = await left(app.client)
        assert (await post(COUNTED, timeout=0.05)).status_code == 408
        assert await left(app.client) == before
        gate.open()
        assert (await running).status_code == 200


async def ask(app: RemoteApp, key: str, **fields: Any) -> httpx.Response:
    body = json.dumps({"model": "tiny", "messages": HELLO} | fields)
    headers = {"content-type": "application/json", **bearer(key)}
    return await app.client.post("/v1/chat/completions", content=body, headers=headers)
