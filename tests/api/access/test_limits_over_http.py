"""A key's limits over the whole application: what each API is charged, refused and shown."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from backends.scripted import END_ID, ScriptedBackend
from tests.api.access.guarded import bearer, written
from tests.api.served import HELLO, Served, error_of, served

pytestmark = pytest.mark.asyncio(loop_scope="module")
COUNTED, CAPPED, OTHER_MODEL, ONE_AT_ONCE = "counted-" * 3, "capped-" * 3, "model-" * 4, "once-" * 5
FREE = "free-" * 5
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
[keys.free]
key = "{FREE}"
"""
RESPONSES = {"input": "hi", "store": False}
MESSAGES = {"model": "jarvis-tiny", "messages": HELLO, "max_tokens": 9}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": HELLO},
    "/v1/completions": {"prompt": "hi"},
    "/v1/responses": RESPONSES,
    "/v1/messages": MESSAGES,
}


def script(request: Any) -> Iterator[int]:
    """Twelve letters and an end; a hundred thousand for who asks for them."""
    count = 12 if request.max_tokens < 1000 else 100_000
    return iter([97] * count + [END_ID])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    path: Path = written(tmp_path_factory.mktemp("keys"), FILE)
    async with served(ScriptedBackend(script), JARVIS_API_KEYS=str(path)) as opened:
        yield opened


async def post(app: Served, path: str, key: str, **fields: Any) -> httpx.Response:
    return await app.client.post(path, json=BODIES[path] | fields, headers=bearer(key))


async def left(app: Served) -> int:
    response = await app.client.get("/v1/models", headers=bearer(COUNTED))
    return int(response.headers["x-ratelimit-remaining-tokens"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", BODIES)
async def test_every_api_charges_prompt_and_answer(app: Served, path: str, stream: bool) -> None:
    before = await left(app)
    fields = {"max_tokens": 9} if path != "/v1/responses" else {"max_output_tokens": 9}
    response = await post(app, path, COUNTED, stream=stream, **fields)
    assert response.status_code == 200, response.text
    num_prompt = len(app.backend.requests[-1].prompt_ids)
    assert before - await left(app) == num_prompt + 9


async def test_an_answer_that_was_given_up_is_charged(app: Served) -> None:
    before = await left(app)
    body = BODIES["/v1/completions"] | {"stream": True, "max_tokens": 3000}
    async with app.client.stream(
        "POST", "/v1/completions", json=body, headers=bearer(COUNTED)
    ) as response:
        await anext(response.aiter_lines())
    while before - await left(app) <= len("hi"):
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("path", BODIES)
async def test_an_answer_is_as_long_as_the_key_allows(app: Served, path: str) -> None:
    if path != "/v1/messages":
        assert (await post(app, path, CAPPED)).status_code == 200
        assert app.backend.requests[-1].max_tokens == 5
    name = "max_output_tokens" if path == "/v1/responses" else "max_tokens"
    response = await post(app, path, CAPPED, **{name: 6})
    # Anthropic's clients ask for as much as their models can write.
    if path == "/v1/messages":
        assert app.backend.requests[-1].max_tokens == 5
    else:
        assert response.status_code == 400, response.text
        assert "ceiling" in error_of(response)["message"]


@pytest.mark.parametrize("path", BODIES)
async def test_a_model_that_is_not_the_keys_own_does_not_exist(app: Served, path: str) -> None:
    told = set()
    for model in ("jarvis-tiny", "never-seen"):
        response = await post(app, path, OTHER_MODEL, model=model)
        assert response.status_code == 404, response.text
        told.add(response.json()["error"]["message"].replace(model, "NAME"))
    assert len(told) == 1
    assert "jarvis-tiny" not in told.pop()
    models = await app.client.get("/v1/models", headers=bearer(OTHER_MODEL))
    assert models.json()["data"] == []
    for model in ("jarvis-tiny", "never-seen"):
        got = await app.client.get(f"/v1/models/{model}", headers=bearer(OTHER_MODEL))
        assert got.status_code == 404
    assert (await post(app, path, FREE)).status_code == 200


async def test_a_client_that_goes_makes_room(app: Served) -> None:
    body = BODIES["/v1/completions"] | {"stream": True, "max_tokens": 3000}
    for _ in range(3):
        async with app.client.stream(
            "POST", "/v1/completions", json=body, headers=bearer(ONE_AT_ONCE)
        ) as response:
            assert response.status_code == 200
            await anext(response.aiter_lines())
            refused = await post(app, "/v1/completions", ONE_AT_ONCE)
            assert refused.status_code == 429
            assert error_of(refused)["type"] == "rate_limit_error"
        while (await post(app, "/v1/completions", ONE_AT_ONCE)).status_code == 429:
            await asyncio.sleep(0.01)
    for _ in range(20):
        assert (await post(app, "/v1/completions", ONE_AT_ONCE)).status_code == 200


async def test_prompts_of_two_keys_are_never_shared(app: Served) -> None:
    salts = []
    for key, given in ((FREE, {}), (COUNTED, {}), (FREE, {"cache_salt": "x"}), (FREE, {})):
        await post(app, "/v1/completions", key, **given)
        salts.append(app.backend.requests[-1].cache_salt)
    assert salts[0] == salts[3]
    assert len(set(salts)) == 3
    assert all(salt is not None and len(salt) == 64 for salt in salts)
