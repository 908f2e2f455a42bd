"""Requests that ended or stopped other servers, and that no engine may see: too many of something,
numbers that are none, ids that no model has. Each is named after what was reported.
"""

from typing import Any

import pytest

from tests.threats.conftest import Scripted
from tests.threats.oracle import Attack, chat_attack, completion_attack

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

NUM_IDS = 259
NUMBERS = ("temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty")
NOT_FINITE = ("NaN", "Infinity", "-Infinity", "1e999", "-1e999")
EMPTY: tuple[Any, ...] = ("", [], [[]], [""], ["a", ""])
TOO_MANY = (
    pytest.param(completion_attack(best_of=100_000), "best_of", id="CVE-2024-8939"),
    pytest.param(chat_attack(n=1_000_000), "n", id="CVE-2026-34756"),
    pytest.param(completion_attack(n=1_000_000), "n", id="CVE-2026-34756-completions"),
    pytest.param(completion_attack(prompt=["a"] * 100_000), "prompt", id="CVE-2026-73559"),
    pytest.param(
        Attack("/v1/embeddings", {"input": ["a"] * 100_000}),
        "input",
        id="CVE-2026-73559-embeddings",
    ),
    pytest.param(chat_attack(min_tokens=10**9), "min_tokens", id="GHSA-4xqp-c3mv-qff7"),
    pytest.param(
        chat_attack(min_tokens=10**9, max_tokens=10**9),
        "messages",
        id="GHSA-4xqp-c3mv-qff7-and-max_tokens",
    ),
    pytest.param(chat_attack(cache_salt="s" * 300), "cache_salt", id="CVE-2026-100647"),
    pytest.param(completion_attack(max_tokens=0), "max_tokens", id="CVE-2026-93436"),
    pytest.param(completion_attack(max_tokens=-1), "max_tokens", id="CVE-2026-94622"),
)
NO_SUCH_ID = (
    pytest.param(completion_attack(prompt=[-1]), "prompt", id="CVE-2026-93592"),
    pytest.param(
        Attack("/v1/embeddings", {"input": [[-1]]}), "input", id="CVE-2026-93592-embeddings"
    ),
    pytest.param(Attack("/detokenize", {"tokens": [-1]}), "tokens", id="CVE-2026-93592-detokenize"),
    pytest.param(
        completion_attack(stop_token_ids=[99_999_999], min_tokens=1),
        "stop_token_ids",
        id="GHSA-v5gm-qgmv-gc6c",
    ),
    pytest.param(
        chat_attack(stop_token_ids=[99_999_999], min_tokens=1),
        "stop_token_ids",
        id="GHSA-qff2-492f-9fm4",
    ),
    pytest.param(
        completion_attack(allowed_token_ids=[NUM_IDS]), "allowed_token_ids", id="CVE-2026-93840"
    ),
    pytest.param(completion_attack(prompt=[NUM_IDS]), "prompt", id="CVE-2026-93989"),
    pytest.param(completion_attack(bad_words=[""]), "bad_words", id="CVE-2026-93841"),
    pytest.param(
        completion_attack(logit_bias={str(NUM_IDS): 1}), "logit_bias", id="GHSA-6cxc-2vcg-w5qc"
    ),
)


async def refused(target: Scripted, attack: Attack, param: str) -> None:
    num_before = len(target.backend.requests)
    error = await target.refuses(attack)
    assert str(error["param"]).startswith(param), error
    assert error["type"] == "invalid_request_error"
    # Of the three requests, those of the canary alone came to the engine.
    assert len(target.backend.requests) == num_before + 2


@pytest.mark.parametrize("prompt", EMPTY, ids=str)
async def test_cve_2024_8768_an_empty_prompt_is_refused(
    scripted_target: Scripted, prompt: object
) -> None:
    await refused(scripted_target, completion_attack(prompt=prompt), "prompt")


@pytest.mark.parametrize(("attack", "param"), TOO_MANY)
async def test_more_than_is_allowed_is_refused(
    scripted_target: Scripted, attack: Attack, param: str
) -> None:
    await refused(scripted_target, attack, param)


@pytest.mark.parametrize(("attack", "param"), NO_SUCH_ID)
async def test_an_id_that_the_model_has_not_is_refused(
    scripted_target: Scripted, attack: Attack, param: str
) -> None:
    await refused(scripted_target, attack, param)


@pytest.mark.parametrize("number", NOT_FINITE)
@pytest.mark.parametrize("field", NUMBERS)
async def test_cve_2026_54235_a_number_that_is_not_finite_is_refused(
    scripted_target: Scripted, field: str, number: str
) -> None:
    for start, path in (
        ('"prompt": "hi"', "/v1/completions"),
        ('"messages": [{"role": "user", "content": "hi"}]', "/v1/chat/completions"),
    ):
        for given in (f'"{field}": {number}', f'"logit_bias": {{"1": {number}}}'):
            body = f"{{{start}, {given}}}".encode()
            error = await scripted_target.refuses(Attack(path, body))
            assert "JSON" in error["message"]
