"""Fields by which other servers were made to run code, open files or URLs, give their keys away, or
mix requests up. Here they reach nothing: they are refused by name, or left out and named.
"""

from typing import Any

import pytest

from tests.api.served import HELLO, served
from tests.script import scripted_backend
from tests.threats.conftest import Scripted
from tests.threats.oracle import Attack, chat_attack, completion_attack, refusal

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

LOOP = "{% for i in range(10**9) %}{{ i }}{% endfor %}"
OUTSIDE = "http://169.254.169.254/latest"
TENSOR = "gAJjdG9yY2guX3V0aWxzCl9yZWJ1aWxkX3NwYXJzZV90ZW5zb3IKcQAu"
# By the field that does harm elsewhere.
IGNORED: dict[str, tuple[str, Any]] = {
    "CVE-2025-61620": ("chat_template", LOOP),
    "CVE-2025-62164": ("prompt_embeds", TENSOR),
    "CVE-2026-55514": ("prompt_embeds", [TENSOR] * 100),
    "GHSA-x9pq-jx6q-p3qv": ("prompt_embeds", ""),
    "GHSA-h3rc-6mm3-gc2m": ("mm_processor_kwargs", {"code_revision": "main"}),
    "GHSA-jcq2-4gch-5qhf": ("media_io_kwargs", {"video": {"num_frames": 10**9}}),
    "CVE-2026-94622": ("kv_transfer_params", {"remote_block_ids": [0], "remote_host": "::1"}),
    "CVE-2026-21869": ("n_discard", -1),
    "CVE-2024-6587": ("api_base", "https://evil.example"),
    "CVE-2024-6587-base_url": ("base_url", "https://evil.example"),
    "CVE-2024-6587-api_key": ("api_key", "sk-x"),
    "CVE-2024-6587-provider": ("custom_llm_provider", "openai"),
    "CVE-2024-6587-headers": ("extra_headers", {"host": "evil.example"}),
    "CVE-2024-6587-organization": ("organization", "x"),
    "CVE-2025-10164": ("custom_logit_processor", TENSOR),
    "SGLang-lora": ("lora_path", "/etc"),
    "CVE-2026-22807": ("trust_remote_code", True),
}
# What a chat template may not be given by a client.
TEMPLATE_WORDS = {
    "CVE-2025-61620": {"chat_template": LOOP},
    "CVE-2025-62426": {"tokenize": True},
    "CVE-2026-5760": {"messages": [{"role": "user", "content": "{{ cycler.__init__ }}"}]},
}


@pytest.mark.parametrize("attack", [chat_attack(), completion_attack()], ids=["chat", "completion"])
@pytest.mark.parametrize(("field", "value"), IGNORED.values(), ids=IGNORED.keys())
async def test_the_field_is_refused_by_its_name(
    scripted_target: Scripted, field: str, value: Any, attack: Attack
) -> None:
    num_before = len(scripted_target.backend.requests)
    assert isinstance(attack.body, dict)
    error = await scripted_target.refuses(Attack(attack.path, attack.body | {field: value}))
    assert error["param"] == field
    assert len(scripted_target.backend.requests) == num_before + 2


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_where_unknown_fields_are_allowed_it_changes_nothing_and_is_named(path: str) -> None:
    body = {"prompt": "hi"} if path == "/v1/completions" else {"messages": HELLO}
    async with served(scripted_backend(), JARVIS_STRICT_FIELDS="false") as app:
        plain = await app.client.post(path, json=body | {"max_tokens": 6})
        for field, value in IGNORED.values():
            more = body | {"max_tokens": 6, field: value}
            answer = await app.client.post(path, json=more)
            assert answer.status_code == 200, answer.text
            assert answer.headers["x-jarvis-ignored"] == field
            assert answer.json()["choices"] == plain.json()["choices"]


async def test_cve_2025_62164_prompt_embeds_are_no_prompt_where_unknown_fields_are_allowed() -> (
    None
):
    async with served(scripted_backend(), JARVIS_STRICT_FIELDS="false") as app:
        refused = await app.client.post("/v1/completions", json={"prompt_embeds": TENSOR})
        assert refusal(refused)["param"] == "prompt"


@pytest.mark.parametrize("words", TEMPLATE_WORDS.values(), ids=TEMPLATE_WORDS.keys())
async def test_what_a_template_is_not_given_by_clients(
    scripted_target: Scripted, words: dict[str, Any]
) -> None:
    error = await scripted_target.refuses(chat_attack(chat_template_kwargs=words))
    assert error["param"].startswith("chat_template_kwargs")
