"""Images, sounds, films and files: this server reads text. Whatever bombs or URLs such a part
holds, it is refused by its place, and nothing is fetched.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.threats.conftest import Scripted
from tests.threats.oracle import Attack, chat_attack

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
BOMB = "data:video/jpeg;base64," + "/9j/4AAQ," * 20_000


def url(name: str, value: str, **more: Any) -> dict[str, Any]:
    return {"type": name, name: {"url": value, **more}}


PARTS: dict[str, dict[str, Any]] = {
    "CVE-2025-6242": url("image_url", "http://169.254.169.254/latest/meta-data"),
    "CVE-2026-24779": url("image_url", "http://allowed.example\\@127.0.0.1/"),
    "CVE-2026-25960": url("image_url", "http://127.0.0.1\\@allowed.example/"),
    "CVE-2025-46722": url("image_url", PIXEL, detail="low"),
    "CVE-2025-62372": {"type": "image_embeds", "image_embeds": "AAAA"},
    "CVE-2026-22773": url("image_url", PIXEL),
    "CVE-2026-22778": url("image_url", "data:image/png;base64,AAAA"),
    "CVE-2026-54236": {"type": "image", "image": "AAAA"},
    "CVE-2026-34755": url("video_url", BOMB),
    "CVE-2026-5497": url("video_url", "data:video/mp4;base64,AAAA"),
    "CVE-2026-69147": url("audio_url", "data:audio/wav;base64,UklGRg=="),
    "CVE-2026-105758": {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
    "CVE-2026-105760": {"type": "file", "file": {"file_id": "../../etc/passwd"}},
    "GHSA-p6g9-7v3x-m8mv": url("video_url", "file:///etc/passwd"),
    "GHSA-jcq2-4gch-5qhf": {**url("video_url", "x"), "media_io_kwargs": {"fps": 1e308}},
    "GHSA-j682-9xp5-rrf3": {"type": "audio_embeds", "audio_embeds": "AAAA"},
    "CVE-2026-54233": {**url("image_url", PIXEL), "uuid": "../x"},
    "CVE-2026-55646": {**url("image_url", PIXEL), "uuid": "u" * 100_000},
    "GHSA-99f2-hwrc-gvq8": {"type": "input_audio", "input_audio": {"data": "A" * 200_000}},
    "GHSA-m52c-39rh-f3gp": url("audio_url", "http://127.0.0.1:1/"),
    "GHSA-823j-m4cj-hmjf": {"type": "video", "video": [PIXEL] * 1000},
    "GHSA-p92p-rxj5-7p2x": {**url("image_url", PIXEL), "mm_processor_kwargs": {"size": 10**9}},
    "CVE-2026-105753": {"image_url": PIXEL},
    "CVE-2026-105754": {"type": "image_pil", "image_pil": "AAAA"},
    "CVE-2026-34760": url("audio_url", "data:audio/flac;base64,ZkxhQw=="),
    "CVE-2026-12491": url("image_url", "data:image/jpeg;base64,/9j/4QAYRXhpZg=="),
    "CVE-2025-15514": url("image_url", "data:image/png;base64,%%%"),
    "CVE-2026-33626": url("image_url", "gopher://127.0.0.1:6379/_"),
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())
async def test_a_part_that_is_no_text_is_refused(
    scripted_target: Scripted, part: dict[str, Any]
) -> None:
    num_before = len(scripted_target.backend.requests)
    content = [{"type": "text", "text": "what is this?"}, part]
    messages = [{"role": "user", "content": content}]
    error = await scripted_target.refuses(chat_attack(messages=messages))
    assert error["param"].startswith("messages[0].content[1]")
    assert len(scripted_target.backend.requests) == num_before + 2


@asynccontextmanager
async def a_server_that_counts() -> AsyncIterator[tuple[str, list[str]]]:
    """Its URL, and a list of who connected."""
    seen: list[str] = []

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(str(writer.get_extra_info("peername")))
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/x", seen


async def test_cve_2025_6242_no_url_of_a_request_is_fetched_on_any_api(
    scripted_target: Scripted,
) -> None:
    async with a_server_that_counts() as (there, seen):
        image = {"type": "image", "source": {"type": "url", "url": there}}
        document = {"type": "document", "source": {"type": "url", "url": there}}
        for block in (image, document):
            messages = [{"role": "user", "content": [block]}]
            body = {"max_tokens": 4, "messages": messages}
            await scripted_target.refuses(Attack("/v1/messages", body))
            await scripted_target.refuses(Attack("/v1/messages/count_tokens", body))
        for part in (
            {"type": "input_image", "image_url": there},
            {"type": "input_file", "file_url": there},
        ):
            content = [{"role": "user", "content": [part]}]
            await scripted_target.refuses(Attack("/v1/responses", {"input": content}))
        for name in ("image_url", "video_url", "audio_url"):
            messages = [{"role": "user", "content": [url(name, there)]}]
            for path in ("/v1/chat/completions", "/v1/chat/completions/render", "/tokenize"):
                await scripted_target.refuses(Attack(path, {"messages": messages}))
        reference = {"type": "object", "properties": {"a": {"$ref": there}}}
        wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": reference}}
        await scripted_target.refuses(chat_attack(response_format=wanted))
        assert not seen
