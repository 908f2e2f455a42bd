"""Every route under every method, with no key, a wrong one, and one for something else."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.api.access.guarded import (
    ADMIN,
    ALL_KEYS,
    EVERYTHING,
    FILE,
    LIMITED,
    METRICS,
    USE,
    Guarded,
    bearer,
    guarded,
    written,
)

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND")
OPEN = {(method, path) for method in ("GET", "HEAD") for path in ("/health", "/health/ready")}
FURTHER = (
    "/", "/metrics", "/metrics/", "/v1/server/info", "/v1/upstreams", "/docs", "/openapi.json",
    "/docs/oauth2-redirect", "/redoc", "/nothing/here", "/v1", "/static/x", "/health/", "/HEALTH",
    "/health/ready/x", "//health", "/health/../v1/models", "/favicon.ico", "/pause", "/invocations",
)  # fmt: skip
WRONG: tuple[dict[str, str], ...] = (
    {},
    bearer("x"),
    bearer(USE[:-1]),
    bearer(USE + "x"),
    bearer(USE.upper()),
    bearer("x" * 20_000),
    {"authorization": USE},
    {"authorization": f"Basic {USE}"},
    {"authorization": "Bearer"},
    {"authorization": f"Bearer {USE} {USE}"},
    {"authorization": f"Bearer {USE},{METRICS}"},
    {"x-api-key": "nobody"},
    {"x-api-key": ""},
    {"api-key": USE},
    {"cookie": f"x-api-key={USE}"},
    bearer(USE) | {"x-api-key": METRICS},
    bearer(USE) | {"x-api-key": ""},
    {"authorization": "Bearer", "x-api-key": USE},
    bearer("' OR '1'='1"),
)
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    path: Path = written(tmp_path_factory.mktemp("keys"), FILE)
    async with guarded(path) as opened:
        yield opened


def paths_of(routes: Iterable[Any], prefix: str = "") -> set[str]:
    """All that is mounted too, with something for each parameter."""
    found = set()
    for route in routes:
        path = prefix + getattr(route, "path", "")
        found |= {path.replace("{", "").replace(":path}", "").replace("}", "")}
        found |= paths_of(getattr(route, "routes", None) or (), path)
    return found - {""}


def paths(server: Guarded) -> list[str]:
    found = paths_of(server.app.routes)
    assert {"/v1/chat/completions", "/docs", "/openapi.json", "/tokenize"} <= found
    return sorted(found | set(FURTHER))


def caller(server: Guarded) -> httpx.AsyncClient:
    """Straight into the application: there are thousands of combinations."""
    transport = httpx.ASGITransport(server.app)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


def without_ids(response: httpx.Response) -> tuple[object, ...]:
    """What a client sees of it, but for what differs between any two."""
    told = dict(response.headers)
    own = told.pop("request-id", "-no id-")
    for name in ("date", "x-request-id", "server-timing"):
        told.pop(name, None)
    # Anthropic's error body holds the id too.
    return response.status_code, told, response.text.replace(own, "")


@pytest.mark.parametrize("method", METHODS)
async def test_everything_but_health_needs_a_key(server: Guarded, method: str) -> None:
    client = caller(server)
    for path in paths(server):
        response = await client.request(method, path)
        if (method, path) in OPEN:
            assert response.status_code in (200, 405, 503), path
            continue
        assert response.status_code == 401, path
        assert response.headers["www-authenticate"] == "Bearer"
        if method != "HEAD":
            assert response.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/metrics", "/nothing"])
async def test_all_wrong_keys_get_the_same_answer(server: Guarded, path: str) -> None:
    replies = [await server.client.post(path, headers=wrong, json={}) for wrong in WRONG]
    assert {reply.status_code for reply in replies} == {401}
    first = without_ids(replies[0])
    for reply in replies:
        assert without_ids(reply) == first
        assert not any(key in str(reply.headers) + reply.text for key in ALL_KEYS)


@pytest.mark.parametrize("method", METHODS)
async def test_a_key_opens_what_its_roles_say_and_nothing_else(
    server: Guarded, method: str
) -> None:
    client = caller(server)
    for path in paths(server):
        for key, is_let_in in (
            (USE, path.rstrip("/") not in ("/metrics", "/v1/server/info", "/v1/upstreams")),
            (METRICS, path.rstrip("/") == "/metrics"),
            (ADMIN, path.rstrip("/") in ("/metrics", "/v1/server/info", "/v1/upstreams")),
            (EVERYTHING, True),
        ):
            response = await client.request(method, path, headers=bearer(key), json={})
            is_open = is_let_in or path in ("/health", "/health/ready")
            assert (response.status_code == 403) == (not is_open), f"{path} {key}"
            assert response.status_code != 401, f"{path} {key}"


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER   "])
async def test_the_scheme_is_case_insensitive(server: Guarded, scheme: str) -> None:
    headers = {"authorization": scheme + USE}
    assert (await server.client.get("/v1/models", headers=headers)).status_code == 200


async def test_either_header_or_both_with_the_same_key_will_do(server: Guarded) -> None:
    for headers in ({"x-api-key": USE}, bearer(USE), bearer(USE) | {"x-api-key": USE}):
        response = await server.client.get("/v1/models", headers=headers)
        assert response.status_code == 200


async def test_two_headers_of_a_kind_are_refused(server: Guarded) -> None:
    for name, value in (("authorization", f"Bearer {USE}"), ("x-api-key", USE)):
        headers = [(name, value), (name, value)]
        assert (await server.client.get("/v1/models", headers=headers)).status_code == 401


async def test_an_error_on_messages_is_in_anthropics_words(server: Guarded) -> None:
    body = (await server.client.post("/v1/messages", json={})).json()
    assert body["type"] == "error"
    assert body["error"]["type"] == "authentication_error"
    body = (await server.client.post("/v1/messages", json={}, headers=bearer(ADMIN))).json()
    assert body["error"]["type"] == "permission_error"


async def test_what_is_told_of_a_limit_holds_no_key(server: Guarded) -> None:
    for _ in range(3):
        response = await server.client.post("/tokenize", json={}, headers=bearer(LIMITED))
    assert response.status_code == 429
    assert response.json()["error"]["code"] == "rate_limit_exceeded"
    assert LIMITED not in response.text
