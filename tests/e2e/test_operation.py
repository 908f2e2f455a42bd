"""What a running server tells of itself, and what it reads again without a restart; over https."""

import json
import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from core.addresses import is_loopback
from tests.e2e.server import ServerProcess, Start
from tests.hosting.certificate import Files

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


def over_https(files: Files) -> dict[str, str]:
    return {"JARVIS_TLS_CERT_FILE": str(files.cert), "JARVIS_TLS_KEY_FILE": str(files.key)}


def trusting_client(server: ServerProcess, files: Files) -> httpx.Client:
    url = server.wait_for("serving on https://").split("serving on ")[1]
    return httpx.Client(base_url=url, verify=files.trust(), timeout=120)


def gets_no_http(client: httpx.Client) -> bool:
    """Who does not encrypt."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-request-id: plain\r\n\r\n")
        try:
            return b"HTTP" not in plain.recv(4096)
        except ConnectionResetError:
            return True


def test_every_line_is_json_and_none_tells_a_secret(
    start: Start, env_file: Path, tmp_path: Path
) -> None:
    files = Files(tmp_path)
    server = start_with(start, env_file, DEBUG="true", LLAMA_LOG_LEVEL="DEBUG", **over_https(files))
    with trusting_client(server, files) as client:
        server.wait_for("state=ready")
        answer = asked(client, ALICE)
        assert (answer.status_code, answer.headers["x-request-id"]) == (200, "by-alice")
        assert gets_no_http(client)
        assert asked(client, ALICE, stream=True).status_code == 200
        assert asked(client, WRONG_KEY).status_code == 401
        assert asked(client, ALICE, max_tokens="x").status_code == 400
        assert asked(client, ALICE, model="other").status_code in (404, 502, 503)
        assert asked(client, BOB, f"/nowhere?key={BOB}").status_code == 404
        client.get("/v1/upstreams", headers={"x-api-key": ALICE})
    assert server.stop() == 0
    said = "".join(server.output)
    key_line = files.key.read_text().splitlines()[1]
    for secret in (ALICE, BOB, WRONG_KEY, key_line, *SECRETS.values()):
        assert secret not in said
    assert CONTENT not in said, "nor what was asked"
    lines = lines_of(server)
    assert all({"time", "level", "logger", "request_id", "message"} <= set(line) for line in lines)
    assert "plain" not in {line["request_id"] for line in lines}
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


# What vLLM runs in each of its processes before anything else.
PLUGIN = """
import os, pathlib, socket

def attempt():
    try:
        socket.create_connection(("192.0.2.1", 80), 2).close()
        outcome = "it went out"
    except OSError as error:
        outcome = str(error)
    pathlib.Path(os.environ["ATTEMPTS"], str(os.getpid())).write_text(outcome)
"""


def with_plugin(folder: Path) -> dict[str, str]:
    """The environment in which vLLM finds it. Its outcomes are files, by the process's id."""
    attempts, about = folder / "attempts", folder / "wayout-1.dist-info"
    attempts.mkdir()
    about.mkdir()
    (folder / "wayout.py").write_text(PLUGIN)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: wayout\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[vllm.general_plugins]\nwayout = wayout:attempt\n")
    return {"PYTHONPATH": str(folder), "ATTEMPTS": str(attempts)}


def connected_elsewhere(processes: list[psutil.Process]) -> list[object]:
    """Also what native code would have opened."""
    opened = [each for process in processes for each in process.net_connections("inet")]
    return [each for each in opened if each.raddr and not is_loopback(each.raddr.ip)]


@pytest.mark.long
def test_offline_vllm_answers_and_its_engine_process_gets_nowhere(
    start: Start, tmp_path: Path
) -> None:
    variables = with_plugin(tmp_path)
    server = start("--engine", "vllm", JARVIS_OFFLINE="true", **variables)
    with server.client() as client:
        server.wait_for("state=ready")
        answer = client.post(CHAT, json=QUESTION)
        assert answer.status_code == 200, answer.text
        assert answer.json()["usage"]["completion_tokens"] == 4
        children = server.children()
        engines = [each.pid for each in children if "EngineCore" in each.name()]
        assert not connected_elsewhere([psutil.Process(server.pid), *children])
    assert server.stop() == 0
    outcomes = {int(each.name): each.read_text() for each in (tmp_path / "attempts").iterdir()}
    assert engines
    assert {server.pid, *engines} <= outcomes.keys()
    for outcome in outcomes.values():
        assert "JARVIS_OFFLINE=true: nothing leaves this machine" in outcome
