"""CVE-2024-28224: a page whose name was made to mean this machine must not reach the server."""

import pytest
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from api.access.hosts import HostGuard, host_rule
from tests.engines import settings_for

PAGE = "https://page.example"


def application(**flags: str) -> TestClient:
    settings = settings_for("llama_cpp", **flags)
    route = Route("/", lambda _: PlainTextResponse("in"), methods=["GET", "POST"])
    app = Starlette(routes=[route])
    rule = host_rule(settings)
    if rule is not None:
        app.add_middleware(HostGuard, rule=rule)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["*"],
            allow_headers=["*"],
        )
    return TestClient(app)


def status(client: TestClient, host: str) -> int:
    return client.get("/", headers={"host": host}).status_code


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8000",
        "localhost.",
        "chat.localhost:80",
        "127.0.0.1:8000",
        "127.3.2.1",
        "[::1]",
        "[::1]:8000",
    ],
)
def test_this_machines_names_come_in(host: str) -> None:
    assert status(application(), host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "evil-localhost",
        "127.0.0.1.evil.example",
        "192.168.1.5",
        "localhost@evil.example",
        "localhost/health?",
        "localhost:80:evil",
        "0.0.0.0",
        "",
        pytest.param("x" * 60_000 + ".localhost", id="longer than any name"),
    ],
)
def test_other_names_do_not(host: str) -> None:
    assert status(application(), host) == 421


def test_the_answer_is_an_error_as_others_are() -> None:
    answer = application().get("/", headers={"host": "evil.example"})
    assert answer.json()["error"]["code"] == "host_refused"
    assert "evil.example" in answer.json()["error"]["message"]


def test_names_can_be_added() -> None:
    client = application(JARVIS_ALLOWED_HOSTS="chat.home, box:9000")
    for host in ("chat.home", "Chat.Home:443", "box", "localhost"):
        assert status(client, host) == 200
    assert status(client, "home") == 421


def test_the_bound_name_comes_in() -> None:
    client = application(JARVIS_HOST="127.0.0.2")
    assert status(client, "127.0.0.2:8000") == 200
    assert status(client, "evil.example") == 421


def test_where_others_may_come_any_name_does_unless_names_are_given() -> None:
    assert status(application(JARVIS_HOST="0.0.0.0"), "box.lan") == 200
    named = application(JARVIS_HOST="0.0.0.0", JARVIS_ALLOWED_HOSTS="box.lan")
    assert status(named, "box.lan") == 200
    assert status(named, "evil.example") == 421


def test_with_keys_any_name_does() -> None:
    assert status(application(JARVIS_API_KEYS="k"), "evil.example") == 200


def test_pages_of_other_origins_are_told_nothing_by_default() -> None:
    asking = {"origin": PAGE, "access-control-request-method": "POST", "host": "localhost"}
    for answer in (
        application().options("/", headers=asking),
        application().get("/", headers=asking),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_named_origins_may_ask_first_and_then_read() -> None:
    client = application(JARVIS_CORS_ORIGINS=PAGE)
    asking = {"origin": PAGE, "access-control-request-method": "POST", "host": "localhost"}
    asking["access-control-request-headers"] = "authorization, content-type"
    asked = client.options("/", headers=asking)
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == PAGE
    assert "authorization" in asked.headers["access-control-allow-headers"]
    answer = client.get("/", headers={"origin": PAGE, "host": "localhost"})
    assert answer.headers["access-control-allow-origin"] == PAGE
    other = client.get("/", headers={"origin": "https://evil.example", "host": "localhost"})
    assert "access-control-allow-origin" not in other.headers
