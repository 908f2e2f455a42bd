"""What is refused before any work is no failure of this server's, and nobody pays for it."""

import asyncio
from typing import Any

import httpx
import pytest

from backends.scripted_embedding import ScriptedEmbedding
from core.errors import ModelLoadError
from core.lifecycle import EngineState
from tests.api.remote.harness import HELLO, remote_app, server_with, upstream
from tests.api.reply_lines import reply_lines
from tests.api.served_embedding import ServedEmbedding, served_embedding, served_over
from tests.upstream_answers import status

FIELDS: dict[str, dict[str, Any]] = {
    "/v1/messages": {"messages": HELLO, "max_tokens": 5},
    "/v1/responses": {"input": "hi"},
}
QUIET = ("jarvis_failed_requests_total", "vllm:prompt_tokens_total", "vllm:request_success_total")


async def counted(client: httpx.AsyncClient) -> dict[str, float]:
    """What answers have been counted for, by name, the labels together."""
    lines = (await client.get("/metrics")).text.splitlines()
    found = dict.fromkeys(QUIET, 0.0)
    for line in lines:
        name = line.split("{")[0].split(" ")[0]
        if name in found:
            found[name] += float(line.split(" ")[-1])
    return found


async def refusals(app: ServedEmbedding) -> list[int]:
    too_long = "x" * 100
    answers = [
        await app.embed("a", dimensions=17),
        await app.embed(["a", too_long]),
        await app.rerank(too_long, ["a"]),
        await app.score("a", [too_long]),
    ]
    return [each.status_code for each in answers]


async def test_vectors_that_can_not_be_made_are_no_failures(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="api")
    async with served_embedding(ScriptedEmbedding()) as app:
        assert await refusals(app) == [400] * 4
        assert await counted(app.client) == dict.fromkeys(QUIET, 0)
        assert not any("outcome" in line for line in reply_lines(caplog))
        await app.embed("abc")
        assert (await counted(app.client))["vllm:prompt_tokens_total"] == 5


async def test_vectors_without_a_model_are_no_failures() -> None:
    async def failing(_: Any) -> ScriptedEmbedding:
        raise ModelLoadError("there is no such file")

    async with served_over(failing) as app:
        await app.until(EngineState.FAILED)
        assert await refusals(app) == [503] * 4
        assert await counted(app.client) == dict.fromkeys(QUIET, 0)


async def test_vectors_that_an_engine_was_given_count_however_they_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="api")
    backend = ScriptedEmbedding(gate=lambda: asyncio.get_running_loop().create_future())
    async with served_embedding(backend) as app:
        assert (await app.embed("abc", timeout=0.05)).status_code == 408
        assert any(
            "outcome=expired choices=1 prompt_tokens=5" in each for each in reply_lines(caplog)
        )
        assert (await counted(app.client))["vllm:prompt_tokens_total"] == 5


async def test_what_another_server_refuses_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="api")
    async with (
        server_with("tiny", status(404)) as server,
        remote_app(upstream("a", server)) as app,
    ):
        assert (await app.chat("tiny")).status_code == 404
        (line,) = reply_lines(caplog)
        assert "status=404" in line
        assert "outcome" not in line
        assert await counted(app.client) == dict.fromkeys(QUIET, 0)
        server.answer(status(500))
        assert (await app.chat("tiny")).status_code == 500
        assert (await counted(app.client))["jarvis_failed_requests_total"] == 1


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("path", FIELDS)
async def test_nor_is_it_in_other_words(
    path: str, is_stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="api")
    body = FIELDS[path] | {"model": "tiny", "stream": is_stream}
    async with (
        server_with("tiny", status(404)) as server,
        remote_app(upstream("a", server)) as app,
    ):
        assert (await app.client.post(path, json=body)).status_code == 404
        (line,) = reply_lines(caplog)
        assert "status=404" in line
        assert "outcome" not in line
        assert await counted(app.client) == dict.fromkeys(QUIET, 0)
        server.answer(status(500))
        assert (await app.client.post(path, json=body)).status_code == 500
        assert (await counted(app.client))["jarvis_failed_requests_total"] == 1
