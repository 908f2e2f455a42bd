"""A server that is told to stop loses nothing: what runs is answered, what is new is refused."""

import json
import signal
import socket
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pytest

from api.responses.records import Record
from tests.e2e.server import ServerProcess, Start

pytestmark = pytest.mark.engine

STOPPED, ENGINE_LOST = 0, 3
CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Tell me a long story."}]
# As long as the window allows.
LONG = {"messages": MESSAGES, "max_tokens": 3500, "ignore_eos": True, "temperature": 0}
SHORT = {**LONG, "max_tokens": 400}


def ready(server: ServerProcess) -> httpx.Client:
    client = server.client()
    server.wait_for("state=ready")
    return client


def ends_clean(server: ServerProcess, children: list[psutil.Process]) -> int:
    code = server.wait()
    assert not psutil.wait_procs(children, timeout=10)[1], "no process is left behind"
    return code


class Stream:
    """A chat that has begun."""

    def __init__(self, client: httpx.Client, stack: ExitStack, body: dict[str, Any]) -> None:
        asked = client.stream("POST", CHAT, json={**body, "stream": True})
        response = stack.enter_context(asked)
        assert response.status_code == 200, response.read()
        lines = response.iter_lines()
        self._data = (line[6:] for line in lines if line.startswith("data: "))
        next(self._data)

    def rest(self) -> list[Any]:
        """The frames to the end."""
        return [each if each == "[DONE]" else json.loads(each) for each in self._data]


class Upload:
    """A request of which the client has sent a part."""

    def __init__(self, client: httpx.Client, stack: ExitStack, body: dict[str, Any]) -> None:
        address = (client.base_url.host, client.base_url.port or 80)
        self._socket = stack.enter_context(socket.create_connection(address))
        self._body = json.dumps(body).encode()
        head = (
            f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            f"content-length: {len(self._body)}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + self._body[:10])

    def finish(self) -> bytes:
        """The whole answer, to the end of the connection."""
        self._socket.sendall(self._body[10:])
        return self.answer()

    def answer(self) -> bytes:
        with self._socket.makefile("rb") as answer:
            return answer.read()


def in_background(client: httpx.Client, num_tokens: int) -> str:
    body = {"input": "Go on.", "background": True, "max_output_tokens": num_tokens}
    response = client.post("/v1/responses", json=body)
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


def kept_status(store: Path, response_id: str) -> str:
    with sqlite3.connect(store) as opened:
        (body,) = opened.execute(
            "SELECT body FROM responses WHERE id = ?", (response_id,)
        ).fetchone()
    return msgspec.msgpack.decode(body, type=Record).status


def test_what_runs_is_answered_whole(start: Start, tmp_path: Path) -> None:
    store = tmp_path / "responses.db"
    server = start(JARVIS_RESPONSE_STORE=str(store), JARVIS_DRAIN_TIMEOUT_S="200")
    with ready(server) as client, ExitStack() as stack:
        children = server.children()
        upload = Upload(client, stack, {**SHORT, "max_tokens": 3})
        streams = [Stream(client, stack, {**LONG, "max_tokens": 1000}) for _ in range(3)]
        response_id = in_background(client, 20)
        server.send(signal.SIGTERM)
        server.wait_for("stopping active=")
        state = client.get("/health/ready")
        assert state.status_code == 503
        assert state.json()["state"] == "draining"
        assert client.get("/health").status_code == 200
        refused = client.post(CHAT, json=SHORT)
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "server_stopping"
        assert int(refused.headers["retry-after"]) > 0
        assert refused.headers["connection"] == "close"
        assert b" 200 OK\r\n" in upload.finish(), "it had come before"
        for stream in streams:
            *_, last, done = stream.rest()
            assert done == "[DONE]"
            assert last["choices"][0]["finish_reason"] == "length"
    assert ends_clean(server, children) == STOPPED
    assert kept_status(store, response_id) in ("completed", "incomplete")


def test_what_takes_too_long_is_ended_with_one_error(start: Start, tmp_path: Path) -> None:
    store = tmp_path / "responses.db"
    server = start(JARVIS_RESPONSE_STORE=str(store), JARVIS_DRAIN_TIMEOUT_S="0.2")
    with ready(server) as client, ExitStack() as stack, ThreadPoolExecutor() as threads:
        upload = Upload(client, stack, SHORT)
        stream = Stream(client, stack, LONG)
        response_id = in_background(client, 3500)
        whole = threads.submit(client.post, CHAT, json=LONG)
        another = Stream(client, stack, LONG)
        assert another
        server.send(signal.SIGTERM)
        frames = stream.rest()
        errors = [frame for frame in frames if "error" in frame]
        assert [error["error"]["code"] for error in errors] == ["server_stopping"]
        assert frames[-1] == errors[0], "nothing after it"
        assert whole.result().status_code == 503
        assert b" 503 " in upload.answer()
    assert server.wait() == STOPPED
    # It may have come to an end of its own before.
    assert kept_status(store, response_id) in ("failed", "completed")
    assert not [line for line in server.output if "Traceback" in line]


def test_a_server_that_loads_stops_at_once(start: Start) -> None:
    server = start()
    with server.client() as client:
        while client.get("/health/ready").json()["progress"] is None:
            """It has not begun to."""
        children = server.children()
        server.send(signal.SIGTERM)
        assert ends_clean(server, children) == STOPPED


def test_a_taken_port_is_one_line(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        server = start("--port", str(other.getsockname()[1]))
        server.wait_for("configuration: can't listen on 127.0.0.1 port")
    assert server.wait() == 2


VLLM = ("--engine", "vllm")
HOW: dict[str, Callable[[ServerProcess], None]] = {
    "to all of a terminal": lambda server: server.send_to_group(signal.SIGINT),
    # As systemd does, unless it is told otherwise.
    "to all of a service": lambda server: server.send_to_group(signal.SIGTERM),
    "to the server": lambda server: server.send(signal.SIGTERM),
}


@pytest.fixture(params=HOW)
def stop(request: pytest.FixtureRequest) -> Callable[[ServerProcess], None]:
    return HOW[request.param]


@pytest.mark.long
def test_vllm_answers_to_the_end_too(start: Start, stop: Callable[[ServerProcess], None]) -> None:
    server = start(
        *VLLM, JARVIS_DRAIN_TIMEOUT_S="200", JARVIS_LOG_FORMAT="json", VLLM_LOGGING_LEVEL="INFO"
    )
    with ready(server) as client, ExitStack() as stack:
        children = server.children()
        upload = Upload(client, stack, {**SHORT, "max_tokens": 3})
        streams = [Stream(client, stack, SHORT) for _ in range(8)]
        stop(server)
        server.wait_for("stopping")
        assert client.post(CHAT, json=SHORT).status_code == 503
        assert b" 200 OK\r\n" in upload.finish(), "it had come before"
        for stream in streams:
            *_, last, done = stream.rest()
            assert done == "[DONE]"
            assert last["choices"][0]["finish_reason"] == "length"
    assert ends_clean(server, children) == STOPPED
    lines = [json.loads(line) for line in server.output if not line.startswith("serving on ")]
    assert any(line["logger"].startswith("vllm.v1.engine.core") for line in lines)


@pytest.mark.long
def test_vllm_goes_with_a_second_signal(start: Start) -> None:
    server = start(*VLLM)
    with ready(server) as client, ExitStack() as stack:
        children = server.children()
        Stream(client, stack, LONG)
        server.send(signal.SIGTERM)
        server.wait_for("stopping active=1")
        server.send(signal.SIGTERM)
        assert ends_clean(server, children) == 128 + signal.SIGTERM


@pytest.mark.long
def test_an_engine_that_can_not_be_brought_back_ends_the_process(start: Start) -> None:
    server = start(*VLLM, JARVIS_ENGINE_RESTARTS="0")
    with ready(server) as client, ExitStack() as stack:
        children = server.children()
        stream = Stream(client, stack, LONG)
        for child in children:
            if "EngineCore" in child.name() or "EngineCore" in " ".join(child.cmdline()):
                child.kill()
        assert sum("error" in frame for frame in stream.rest()) == 1
        assert ends_clean(server, children) == ENGINE_LOST
    server.wait_for("an engine can't be brought back")
