"""Ways in without a key, or with half of one, and ways to learn a key or what others have asked."""

import itertools
import logging
from typing import Any

import pytest

from tests.api.example_bodies import EXAMPLES
from tests.threats.conftest import ALICE, BOB, Scripted, scripted_server
from tests.threats.oracle import refusal, tells_nothing

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

ASKED = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
WRONG = {
    "none": {},
    "CVE-2026-35030": {"authorization": f"Bearer {ALICE[:20]}"},
    "CVE-2026-35030-longer": {"authorization": f"Bearer {ALICE}x"},
    "CVE-2026-35030-same-start": {"authorization": f"Bearer {ALICE[:20]}{BOB[20:-1]}"},
    "CVE-2026-42208": {"authorization": "Bearer ' OR '1'='1' --"},
    "CVE-2026-42208-bytes": {"authorization": "Bearer \xff\xfe\x80"},
    "CVE-2026-59820": {"authorization": "Bearer"},
    "CVE-2026-59820-null": {"authorization": "Bearer null"},
    "CVE-2026-59822": {"x-api-key": ""},
    "CVE-2026-47102": {"authorization": "Basic YWxpY2U6", "x-user": "admin", "x-role": "admin"},
    "CVE-2025-59425": {"authorization": f"Bearer {ALICE[:-1]}"},
    "CVE-2024-7010": {"x-api-key": ALICE.upper()},
    "name-for-key": {"authorization": "Bearer alice"},
    "both-at-once": {"authorization": f"Bearer {ALICE}", "x-api-key": "x" * 30},
    "in-a-list": {"authorization": f"Bearer {ALICE}, Bearer x"},
    "cookie": {"cookie": f"token={ALICE}; Authorization={ALICE}"},
}
# What servers of this kind leave open beside what they guard, and what they manage by.
PATHS = (
    *("/invocations", "/tokenize", "/detokenize", "/pause", "/score", "/rerank", "/metrics"),
    *("/docs", "/openapi.json", "/v1/server/info", "/server_info", "/get_server_info", "/version"),
    *("/v1/models", "/v1/responses/x", "/api/delete", "/api/pull", "/load", "/ping", "/sleep"),
    *("/update_weights_from_tensor", "/v1/load_lora_adapter", "/slots", "/props", "/", "/x"),
)

RUNNING = ("queued", "in_progress")
OWN_SALT = {"cache_salt": "the same"}
# What is asked of a model, and the salts that it may be asked with.
GENERATING: dict[str, tuple[dict[str, str], ...]] = {
    "/v1/chat/completions": ({}, OWN_SALT),
    "/v1/completions": ({}, OWN_SALT),
    "/v1/responses": ({}, OWN_SALT),
    "/v1/messages": ({},),
}


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG.keys())
async def test_cve_2025_59425_a_key_is_known_whole_or_not_at_all(
    keyed_target: Scripted, headers: dict[str, str]
) -> None:
    num_before = len(keyed_target.backend.requests)
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    request = keyed_target.client.build_request(
        "POST", "/v1/chat/completions", json=ASKED, headers=sent
    )
    if "authorization" not in headers:
        del request.headers["authorization"]
    response = await keyed_target.client.send(request)
    assert refusal(response, 401)["code"]
    assert ALICE[:8] not in response.text
    assert len(keyed_target.backend.requests) == num_before


@pytest.mark.parametrize("path", PATHS)
async def test_cve_2025_63389_nothing_but_health_is_open(keyed_target: Scripted, path: str) -> None:
    bodies = set()
    for method in ("GET", "POST", "DELETE"):
        response = await keyed_target.client.request(
            method, path, headers={"authorization": "Bearer x"}
        )
        refusal(response, 401)
        bodies.add(response.text)
    # What is there can't be told from what is not.
    assert len(bodies) == 1


async def test_cve_2025_46570_what_one_key_asked_is_not_reused_for_another(
    keyed_target: Scripted,
) -> None:
    """How soon an answer begins would tell one what another has asked."""
    for salt in ({}, {"cache_salt": "the same"}):
        asked = await used(keyed_target, ALICE, "a secret", salt)
        assert asked == 0
        assert await used(keyed_target, ALICE, "a secret", salt) > 0
        assert await used(keyed_target, BOB, "a secret", salt) == 0


@pytest.mark.parametrize("path", GENERATING)
async def test_cve_2026_105752_every_way_to_the_engine_has_the_keys_own_salt(
    keyed_target: Scripted, path: str
) -> None:
    """Answered at once, streamed, in several choices, in the background, going on from another
    answer; also where the request gives a salt itself.
    """
    salts: dict[str, set[str | None]] = {}
    for key in (ALICE, BOB):
        num_before = len(keyed_target.backend.requests)
        for body, own in itertools.product(EXAMPLES[path], GENERATING[path]):
            await ask(keyed_target, path, body | own, key)
        salts[key] = {each.cache_salt for each in keyed_target.backend.requests[num_before:]}
        assert len(salts[key]) == len(GENERATING[path])
        assert all(salt is not None and len(salt) == 64 for salt in salts[key])
    assert not salts[ALICE] & salts[BOB]


async def ask(target: Scripted, path: str, body: dict[str, Any], key: str) -> None:
    """What is made in the background is waited for, and gone on from."""
    head = {"authorization": f"Bearer {key}"}
    answer = await target.client.post(path, json=body, headers=head)
    assert answer.status_code == 200, answer.text
    if body.get("background"):
        made = answer.json()["id"]
        while (await target.client.get(f"{path}/{made}", headers=head)).json()["status"] in RUNNING:
            pass
        more = {**body, "background": False, "previous_response_id": made}
        await ask(target, path, more, key)


async def used(target: Scripted, key: str, text: str, salt: dict[str, str]) -> int:
    """How many tokens of the prompt were reused."""
    body = {**ASKED, "messages": [{"role": "user", "content": text}], **salt}
    head = {"authorization": f"Bearer {key}"}
    response = await target.client.post("/v1/chat/completions", json=body, headers=head)
    count: int = response.json()["usage"]["prompt_tokens_details"]["cached_tokens"]
    return count


async def test_cve_2026_105755_what_one_key_keeps_is_not_there_for_another(
    keyed_target: Scripted,
) -> None:
    alice, bob = ({"authorization": f"Bearer {key}"} for key in (ALICE, BOB))
    body = {"input": "hi", "max_output_tokens": 1, "store": True}
    made = await keyed_target.client.post("/v1/responses", json=body, headers=alice)
    path = f"/v1/responses/{made.json()['id']}"
    assert (await keyed_target.client.get(path, headers=alice)).status_code == 200
    refusal(await keyed_target.client.get(path, headers=bob), 404)
    refusal(await keyed_target.client.get(f"{path}/input_items", headers=bob), 404)
    refusal(await keyed_target.client.post(f"{path}/cancel", headers=bob), 404)
    refusal(await keyed_target.client.delete(path, headers=bob), 404)
    going_on = {**body, "previous_response_id": made.json()["id"]}
    refusal(await keyed_target.client.post("/v1/responses", json=going_on, headers=bob), 404)
    assert (await keyed_target.client.get(path, headers=alice)).status_code == 200


async def test_cve_2024_9606_no_key_is_in_a_log_a_metric_or_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with scripted_server(JARVIS_API_KEYS=f"alice={ALICE},bob={BOB}") as target:
            await target.chat(api_key=ALICE)
            await target.client.post(f"/v1/{ALICE}?key={BOB}", headers={"x-api-key": BOB})
            told = [(await target.client.get(path)).text for path in ("/metrics", "/v1/models")]
            info = await target.client.get("/v1/server/info")
    assert info.status_code == 200
    ours = "\n".join(each.getMessage() for each in caplog.records if "http" not in each.name)
    for text in (ours, *told, info.text):
        assert ALICE not in text
        assert BOB not in text


async def test_sglang_server_info_tells_no_settings(keyed_target: Scripted) -> None:
    info: dict[str, Any] = (await keyed_target.client.get("/v1/server/info")).json()
    assert not [name for name in info if "key" in name or "setting" in name or "env" in name]
    tells_nothing(await keyed_target.client.get("/v1/server/info"))
