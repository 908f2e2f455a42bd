"""What a running server tells of itself, and what it reads again without a restart."""

import json
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.server import ServerProcess, Start

pytestmark = pytest.mark.engine

CHAT = "/v1/chat/completions"
ALICE, BOB, CAROL = "alice-key-0123456789", "bob-key-0123456789abc", "carol-key-0123456789"
SECRETS = {
    "HF_TOKEN": "hf_secretsecretsecret",
    "VLLM_API_KEY": "sk-upstream-secretsecret",
}
# Nobody listens there.
UPSTREAM = "http://127.0.0.1:9/v1"
WRONG_KEY = "wrong-key-0123456789"
CONTENT = "the quick brown fox"
QUESTION = {"messages": [{"role": "user", "content": CONTENT}], "max_tokens": 4}


def asked(client: httpx.Client, key: str, path: str = CHAT, **fields: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}", "x-request-id": f"by-{key[:5]}"}
    return client.post(path, json={**QUESTION, **fields}, headers=headers)


def env_with(keys: str, more: str = "") -> str:
    secrets = "".join(f"{name}={value}\n" for name, value in SECRETS.items())
    return f"JARVIS_API_KEYS={keys}\nVLLM_BASE_URL={UPSTREAM}\n{secrets}{more}"


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    path = tmp_path / "own.env"
    path.write_text(env_with(f"alice={ALICE},bob={BOB}"))
    return path


def start_with(start: Start, env_file: Path, **environment: str) -> ServerProcess:
    return start("--env-file", str(env_file), JARVIS_LOG_FORMAT="json", **environment)


def lines_of(server: ServerProcess) -> list[dict[str, Any]]:
    """All but the first, which is for people."""
    return [json.loads(line) for line in server.output if not line.startswith("serving on ")]


def test_every_line_is_json_and_none_tells_a_secret(start: Start, env_file: Path) -> None:
    server = start_with(start, env_file, DEBUG="true", LLAMA_LOG_LEVEL="DEBUG")
    with server.client() as client:
        server.wait_for("state=ready")
        assert asked(client, ALICE).status_code == 200
        assert asked(client, ALICE, stream=True).status_code == 200
        assert asked(client, WRONG_KEY).status_code == 401
        assert asked(client, ALICE, max_tokens="x").status_code == 400
        assert asked(client, ALICE, model="other").status_code in (404, 502, 503)
        assert asked(client, BOB, f"/nowhere?key={BOB}").status_code == 404
        client.get("/v1/upstreams", headers={"x-api-key": ALICE})
    assert server.stop() == 0
    said = "".join(server.output)
    for secret in (ALICE, BOB, WRONG_KEY, *SECRETS.values()):
        assert secret not in said
    assert CONTENT not in said, "nor what was asked"
    lines = lines_of(server)
    assert all({"time", "level", "logger", "request_id", "message"} <= set(line) for line in lines)
    replied = [line for line in lines if line["request_id"] == "by-alice" and "status" in line]
    assert [line["status"] for line in replied] == [200, 200, 400, 404]


def test_hangup_changes_keys_and_a_wrong_setting_changes_nothing(
    start: Start, env_file: Path
) -> None:
    server = start_with(start, env_file)
    with server.client() as client:
        server.wait_for("state=ready")
        assert asked(client, CAROL).status_code == 401
        env_file.write_text(env_with(f"alice={ALICE},carol={CAROL}"))
        server.send(signal.SIGHUP)
        server.wait_for("names=alice,carol")
        assert asked(client, CAROL).status_code == 200
        assert asked(client, BOB).status_code == 401
        env_file.write_text(env_with(f"bob={BOB}", "JARVIS_MAX_QUEUE=many\n"))
        server.send(signal.SIGHUP)
        assert "JARVIS_MAX_QUEUE" in server.wait_for("keys and limits stay as they are")
        env_file.write_text(env_with("tiny-key"))
        server.send(signal.SIGHUP)
        assert "tiny-key" not in server.wait_for("keys=kept")
        assert [asked(client, key).status_code for key in (CAROL, BOB)] == [200, 401]
    assert server.stop() == 0
