"""Every route under every method, and requests that are odd before their body is read."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from api.app import create_app
from backends.scripted import END_ID, ScriptedBackend
from serving.service import GenerationService, ServingOptions
from tests.api.served import HELLO, Served, error_of, served
from tests.engines import settings_for

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND")
# Paths that take no body.
ONLY_TOLD = (
    *("/v1/responses/{", "/v1/models", "/health", "/v1/capabilities", "/v1/upstreams"),
    *("/metrics", "/v1/server/info"),
)
ODD_IDS = (
    "'; DROP TABLE responses; --",
    "a%2Fb",
    "..%2F..%2Fetc%2Fpasswd",
    "%00",
    "%ff%fe",
    "%E2%80%AE",
    "%0d%0aset-cookie:%20a=b",
    "{id}",
    "x" * 5000,
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app() -> AsyncIterator[Served]:
    async with served(ScriptedBackend(lambda _: [97, END_ID])) as opened:
        yield opened


pytestmark = pytest.mark.asyncio(loop_scope="module")


def paths() -> list[str]:
    """All paths that the application describes, with its own way of naming an id."""
    service = GenerationService(None, ServingOptions("chatml"))  # type: ignore[arg-type]
    described = create_app(settings_for("llama_cpp"), service, None)  # type: ignore[arg-type]
    return sorted(described.openapi()["paths"])


def checked(response: httpx.Response, path: str) -> None:
    """An error body of the path's API, whatever was asked."""
    told = f"{response.request.method} {path} {response.status_code} {response.text[:300]}"
    assert response.status_code < 500, told
    if response.status_code < 400 or response.request.method == "HEAD":
        return
    if path.startswith("/v1/messages"):
        assert set(response.json()) == {"type", "error", "request_id"}, told
    else:
        assert error_of(response)["message"], told


@pytest.mark.parametrize("method", METHODS)
async def test_every_path_answers_every_method(app: Served, method: str) -> None:
    for path in [*paths(), "/", "//v1/models", "/v1/../v1", "/v1/messages/x", "/v1/responses/"]:
        checked(await app.client.request(method, re.sub(r"\{.*?\}", "x", path)), path)


@pytest.mark.parametrize("odd", ODD_IDS)
async def test_an_odd_id_is_not_found(app: Served, odd: str) -> None:
    for method, path in (
        ("GET", f"/v1/responses/{odd}"),
        ("DELETE", f"/v1/responses/{odd}"),
        ("GET", f"/v1/responses/{odd}/input_items"),
        ("POST", f"/v1/responses/{odd}/cancel"),
        ("GET", f"/v1/models/{odd}"),
    ):
        response = await app.client.request(method, path)
        assert response.status_code == 404, f"{path} {response.text}"
        assert len(error_of(response)["message"]) < 500
        assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "multipart/form-data; boundary=" + "a" * 5000,
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json, text/plain",
    ],
)
async def test_what_is_not_called_json_is_not_read(app: Served, content_type: str | None) -> None:
    for path in paths():
        if path.startswith(ONLY_TOLD):
            continue
        headers = {} if content_type is None else {"content-type": content_type}
        response = await app.client.post(path, content=b'{"messages": []}', headers=headers)
        assert response.status_code == 415, f"{path} {response.text}"
        assert len(response.content) < 500


async def test_other_encodings_and_charsets_are_no_json(app: Served) -> None:
    for headers in ({"content-encoding": "gzip"}, {}):
        response = await app.client.post(
            "/v1/chat/completions",
            content=b"\x1f\x8b\x08" + "{}".encode("utf-16"),
            headers={"content-type": "application/json; charset=utf-16", **headers},
        )
        assert response.status_code == 400
        assert "JSON" in error_of(response)["message"]


async def test_keys_and_ids_in_headers_change_nothing(app: Served) -> None:
    for headers in (
        {"x-api-key": "k" * 5000, "anthropic-version": "'\"", "anthropic-beta": "a" * 5000},
        {"authorization": "Bearer \xff\xfe'; --".encode("latin-1").decode("latin-1")},
        {"x-request-id": "a/../b", "openai-organization": "{}"},
    ):
        sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        answer = await app.client.post(
            "/v1/chat/completions", json={"messages": HELLO}, headers=sent
        )
        assert answer.status_code == 200
