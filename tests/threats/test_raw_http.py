"""What is sent before there is a request, or beside one: heads, hosts, methods, encodings."""

import asyncio
import re

import pytest

from tests.fuzz.raw_client import Exchange, exchange
from tests.threats.conftest import ALICE, Scripted, scripted_server
from tests.threats.oracle import refusal

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

BODY = b'{"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}'
FRAME = b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\n"
# Each once made a server take a request for one that needs no key.
DISGUISES = {
    "CVE-2026-48746": CHAT + b"host: localhost/health?\r\n",
    "CVE-2026-48746-models": CHAT + b"host: localhost/v1/models?\r\n",
    "CVE-2026-48710": CHAT + b"host: a#\r\n",
    "CVE-2026-48710-at": CHAT + b"host: a/health@b\r\n",
    "two-hosts": CHAT + b"host: localhost\r\nhost: localhost/health?\r\n",
    "absolute": b"POST http://a/health/../v1/chat/completions HTTP/1.1\r\nhost: a\r\n",
    "absolute-query": b"POST http://a/v1/chat/completions?/health HTTP/1.1\r\nhost: a\r\n",
    "slashes": b"POST //v1/chat/completions HTTP/1.1\r\nhost: a\r\n",
    "dots": b"POST /health/../v1/chat/completions HTTP/1.1\r\nhost: a\r\n",
    "encoded-dots": b"POST /health/%2e%2e/v1/chat/completions HTTP/1.1\r\nhost: a\r\n",
    "semicolon": b"POST /v1/chat/completions;/health HTTP/1.1\r\nhost: a\r\n",
    "forwarded": CHAT + b"host: a\r\nx-original-url: /health\r\nx-forwarded-prefix: /health\r\n",
    "override": CHAT + b"host: a\r\nx-http-method-override: GET\r\nx-rewrite-url: /health\r\n",
}


def port(target: Scripted) -> int:
    found = target.client.base_url.port
    assert found is not None
    return found


def statuses(found: Exchange) -> list[int]:
    assert all(each.is_whole for each in found.responses)
    return [each.status for each in found.responses]


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Authorization", "Cookie", "Host"])
async def test_cve_2025_48956_a_huge_header_is_refused(
    scripted_target: Scripted, name: str
) -> None:
    huge = name.encode() + b": " + b"1" * 5_800_000
    sent = b"GET /v1/models HTTP/1.1\r\n" + huge + b"\r\n\r\n"
    found = await exchange(port(scripted_target), sent)
    assert statuses(found) == [431]
    assert found.is_closed
    await scripted_target.is_unharmed()


@pytest.mark.parametrize("head", DISGUISES.values(), ids=DISGUISES.keys())
async def test_cve_2026_48746_no_way_of_writing_a_request_gets_in_without_a_key(
    keyed_target: Scripted, head: bytes
) -> None:
    num_before = len(keyed_target.backend.requests)
    found = await exchange(port(keyed_target), head + FRAME)
    assert statuses(found) in ([401], [400])
    assert len(keyed_target.backend.requests) == num_before
    await keyed_target.is_unharmed()


async def test_smuggled_requests_are_not_taken_for_the_first_ones_body(
    keyed_target: Scripted,
) -> None:
    """Length and chunks at once: whoever stands in front may have read the other one."""
    key = b"authorization: Bearer " + ALICE.encode() + b"\r\n"
    inner = CHAT + b"host: a\r\n" + key + FRAME
    for framing in (
        b"content-length: 4\r\ntransfer-encoding: chunked\r\n",
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        b"content-length: 4\r\ncontent-length: 5\r\n",
        b"transfer-encoding: xchunked\r\n",
    ):
        num_before = len(keyed_target.backend.requests)
        head = CHAT + b"host: a\r\n" + key + b"content-type: application/json\r\n" + framing
        found = await exchange(port(keyed_target), head + b"\r\n0\r\n\r\n" + inner)
        assert statuses(found) == [400]
        assert found.is_closed
        assert len(keyed_target.backend.requests) == num_before


async def test_cve_2026_105759_odd_methods_and_paths_make_no_more_series(
    scripted_target: Scripted,
) -> None:
    before = await series(scripted_target)
    for number in range(60):
        line = b"FOO%d /health/%d HTTP/1.1\r\nhost: localhost\r\n\r\n" % (number, number)
        await exchange(port(scripted_target), line, patience_s=0)
    for number in range(60):
        await scripted_target.client.request(f"FOO{number}", f"/{number}")
        await scripted_target.chat(model=f"model-{number}")
        await scripted_target.client.get(f"/v1/models/{number}")
    after = await series(scripted_target)
    assert not [each for each in after if "FOO" in each or "model-" in each]
    assert len(after) - len(before) < 60


async def series(target: Scripted) -> set[str]:
    text = (await target.client.get("/metrics")).text
    return {re.sub(r" [^ ]*$", "", line) for line in text.splitlines() if line[:1] != "#"}


async def test_cve_2024_28224_a_name_that_was_made_to_mean_this_machine_is_refused(
    scripted_target: Scripted,
) -> None:
    for name in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80"):
        for path in ("/v1/models", "/health", "/openapi.json", "/metrics"):
            response = await scripted_target.client.get(path, headers={"host": name})
            refusal(response, 421)
    await scripted_target.is_unharmed()


async def test_cve_2024_3135_pages_of_others_can_ask_for_nothing(scripted_target: Scripted) -> None:
    """A form sends no JSON; what is JSON is asked about first; nothing is kept in cookies."""
    origin = {"origin": "https://evil.example"}
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        response = await scripted_target.client.post(
            "/v1/chat/completions", content=BODY, headers={"content-type": kind, **origin}
        )
        refusal(response, 415)
    asked = {**origin, "access-control-request-method": "POST"}
    response = await scripted_target.client.options("/v1/chat/completions", headers=asked)
    refusal(response, 405)
    answer = await scripted_target.client.post(
        "/v1/chat/completions", content=BODY, headers={"content-type": "application/json", **origin}
    )
    for each in (response, answer):
        assert not [name for name in each.headers if name.startswith("access-control")]
        assert "set-cookie" not in each.headers


async def test_cve_2024_8984_a_multipart_body_is_not_read(scripted_target: Scripted) -> None:
    body = b"--" + b"a" * 200_000 + b"\r\n" * 100_000
    for boundary in ("a", "a" * 8000, '"'):
        kind = f"multipart/form-data; boundary={boundary}"
        response = await scripted_target.client.post(
            "/v1/chat/completions", content=body, headers={"content-type": kind}
        )
        refusal(response, 415)
    await scripted_target.is_unharmed()


async def test_cve_2026_105755_ids_of_clients_are_shown_whole_or_not_at_all(
    scripted_target: Scripted,
) -> None:
    for given, is_shown in (("a-1", True), ("a b", False), ("a" * 129, False), ("a\x7fb", False)):
        head = b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-request-id: " + given.encode()
        found = await exchange(port(scripted_target), head + b"\r\n\r\n", patience_s=0.05)
        for response in found.responses:
            assert (response.headers.get("x-request-id") == given) is is_shown


async def test_slow_clients_get_408_and_stop_nobody() -> None:
    """Heads that never end, and bodies that come a byte at a time."""
    flags = {"JARVIS_HEADER_TIMEOUT_S": "1", "JARVIS_BODY_TIMEOUT_S": "1"}
    async with scripted_server(**flags) as target:
        half = CHAT + b"host: localhost\r\n"
        slow = [exchange(port(target), half) for _ in range(30)]
        slow += [exchange(port(target), half + FRAME[:-5]) for _ in range(30)]
        found, _ = await asyncio.gather(asyncio.gather(*slow), target.is_unharmed())
        assert {tuple(statuses(each)) for each in found} == {(408,)}
        assert all(each.is_closed for each in found)
