"""Whose keys go where: the client's stays here, an upstream's goes to it alone, none comes back."""

import json
import logging
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from pydantic import SecretStr

from core.upstreams import BreakerRules, UpstreamKind
from main import configure_logging
from tests.api.remote.harness import HELLO, RemoteApp, remote_app, server_with, upstream
from tests.engines import settings_for
from tests.faulty_upstream import RESET, Answer, SeenRequest, Steps
from tests.upstream_answers import chat_answer, delta, event, stream, unended, whole

KEY = 'sk-upstream"/0123456789abcdef'
HEADER_VALUE = "org-secret-0123456789"
CLIENT_KEY = "client-key-0123456789"
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "tiny", "messages": HELLO},
    "/v1/messages": {"model": "tiny", "messages": HELLO, "max_tokens": 3},
    "/v1/responses": {"model": "tiny", "input": "hi"},
}
CLIENT = {"authorization": f"Bearer {CLIENT_KEY}"}


def echoing(status: int) -> Answer:
    """An error that says all that was sent."""

    def answer(request: SeenRequest) -> Steps:
        said = " ".join(request.headers.values())
        return whole({"error": {"message": said, "said": [said]}}, status)

    return answer


def echoing_text(request: SeenRequest) -> Steps:
    return whole("\n".join(request.headers.values()).encode(), 500, "text/plain")


def echoing_event(request: SeenRequest) -> Steps:
    said = {"error": {"message": request.headers["authorization"]}}
    return stream(delta("a"), event(said))


def echoing_first_event(request: SeenRequest) -> Steps:
    return unended(event({"error": {"message": request.headers["authorization"]}}), RESET)


async def told_by(app: RemoteApp, path: str, body: dict[str, Any]) -> str:
    """All that the answers hold, the whole one and the stream."""
    told = ""
    for wanted in (body, body | {"stream": True}):
        response = await app.client.post(path, json=wanted, headers=CLIENT)
        told += f"{response.headers} {response.text}"
    return told


@pytest.fixture
def as_served() -> Iterator[None]:
    """Loggers as the server sets them, at its most talkative."""
    before = {name: logging.getLogger(name).level for name in ("httpx2", "httpcore2", "hpack", "")}
    configure_logging(settings_for("remote", DEBUG="true"))
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.usefixtures("as_served")
async def test_no_key_comes_back_in_a_response_or_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [echoing(400), echoing(401), echoing(429), echoing(500), echoing_text]
    answers += [echoing_event, echoing_first_event, (RESET,), chat_answer("fine")]
    async with server_with("tiny") as server:
        secrets = {"x-org": SecretStr(HEADER_VALUE)}
        rules = BreakerRules(num_failures=1_000_000)
        there = upstream("a", server, api_key=SecretStr(KEY), extra_headers=secrets, breaker=rules)
        async with remote_app(there) as app:
            told = ""
            for answer, (path, body) in product(answers, BODIES.items()):
                server.answer(answer)
                told += await told_by(app, path, body)
            for path in ("/v1/upstreams", "/v1/models", "/health/ready", "/v1/capabilities"):
                told += (await app.client.get(path)).text
            await app.is_idle()
    posted = [each for each in server.requests if each.method == "POST"]
    assert {each.headers["authorization"] for each in posted} == {f"Bearer {KEY}"}
    told += caplog.text
    assert "***" in told
    for secret in (KEY, json.dumps(KEY)[1:-1], HEADER_VALUE, CLIENT_KEY):
        assert secret not in told, told[max(told.find(secret) - 200, 0) :][:400]


@pytest.mark.parametrize(
    "headers", [CLIENT, {"x-api-key": CLIENT_KEY}, {"AUTHORIZATION": f"bearer {CLIENT_KEY}"}]
)
async def test_the_clients_key_stays_here_unless_it_is_to_go_on(headers: dict[str, str]) -> None:
    async with server_with("tiny", chat_answer("x")) as server:
        closed = upstream("closed", server, api_key=SecretStr(KEY), kind=UpstreamKind.VLLM)
        bare = upstream("bare", server)
        open_ = upstream("open", server, api_key=SecretStr(KEY), passes_client_key=True)
        async with remote_app(closed, bare, open_) as app:
            for name in ("closed", "bare", "open"):
                await app.chat(f"{name}/tiny", headers=headers)
            body = {"model": "open/tiny", "max_tokens": 3, "messages": HELLO}
            await app.client.post("/v1/messages", json=body, headers=headers)
            await app.chat("open/tiny")
    posted = [each for each in server.requests if each.method == "POST"]
    keys = [each.headers.get("authorization") for each in posted]
    own, clients = f"Bearer {KEY}", f"Bearer {CLIENT_KEY}"
    assert keys == [own, None, clients, clients, own]
    assert all("x-api-key" not in each.headers for each in server.requests)


async def test_nothing_else_of_the_clients_headers_goes_on() -> None:
    odd = {"cookie": "a=b", "x-forwarded-for": "1.2.3.4", "openai-organization": "mine"}
    odd |= {
        "x-request-id": "1",
        "traceparent": "00-1",
        "host": "a.localhost",
        "user-agent": "browser",
    }
    async with (
        server_with("tiny", chat_answer("x")) as server,
        remote_app(upstream("a", server)) as app,
    ):
        assert (await app.chat("tiny", headers=odd)).status_code == 200
    received = next(each for each in server.requests if each.method == "POST").headers
    sent = ("host", "accept", "accept-encoding", "user-agent", "content-type", "content-length")
    assert set(received) == set(sent)
    assert "browser" not in received["user-agent"]


async def test_a_key_that_no_header_can_have_is_refused() -> None:
    async with (
        server_with("tiny", chat_answer("x")) as server,
        remote_app(upstream("a", server, passes_client_key=True)) as app,
    ):
        odd = {"authorization": b"Bearer a\x01b".decode("latin-1")}
        response = await app.chat("tiny", headers=odd)
    assert response.status_code == 400
    assert "a\x01b" not in response.text
