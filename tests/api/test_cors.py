"""Web pages: none may use the server unless the operator names them."""

from backends.scripted import END_ID, ScriptedBackend
from tests.api.served import HELLO, served

PAGE = "https://page.example"
KEY = "0123456789abcdef-key"
PREFLIGHT = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, content-type",
}


def backend() -> ScriptedBackend:
    return ScriptedBackend(lambda _: [97, END_ID])


async def test_without_origins_no_page_is_told_that_it_may() -> None:
    async with served(backend()) as app:
        path, body = "/v1/chat/completions", {"messages": HELLO}
        for method in ("OPTIONS", "POST"):
            reply = await app.client.request(method, path, json=body, headers=PREFLIGHT)
            assert not [name for name in reply.headers if name.startswith("access-control")]


async def test_a_named_page_asks_without_a_key_and_comes_with_one() -> None:
    flags = {"JARVIS_CORS_ORIGINS": PAGE, "JARVIS_API_KEYS": KEY}
    async with served(backend(), **flags) as app:
        path, body = "/v1/chat/completions", {"messages": HELLO}
        may = await app.client.options(path, headers=PREFLIGHT)
        assert may.status_code == 200
        assert may.headers["access-control-allow-origin"] == PAGE
        keyless = await app.client.post(path, json=body, headers={"origin": PAGE})
        assert keyless.status_code == 401
        headers = {"origin": PAGE, "authorization": f"Bearer {KEY}"}
        reply = await app.client.post(path, json=body, headers=headers)
        assert reply.status_code == 200
        assert reply.headers["access-control-allow-origin"] == PAGE
        other = await app.client.options(path, headers={**PREFLIGHT, "origin": "https://evil"})
        assert "access-control-allow-origin" not in other.headers
