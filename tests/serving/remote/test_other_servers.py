"""vLLM's own server and llama-cpp-python's answer the same requests by the same events."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from backends.remote.host import RemoteHost
from backends.upstream import Place
from core.events import FinishReason, ToolCallDelta, ToolCallStarted
from core.upstreams import Upstream, UpstreamPlan
from serving.remote.answers import RemoteAnswers
from serving.remote.targets import RemoteTarget
from tests.engines import Engine
from tests.serving.remote.beside import Beside, beside, end_of
from tests.serving.remote.test_like_local import CALLED, CALLING, FORCED, REQUESTS, request
from tests.upstream_servers import MODEL_ID, UpstreamServer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]

# Not those whose JSON has other white space there, nor where a template writes tools otherwise.
ALIKE_IN_VLLM = (
    "text",
    "short",
    "penalties",
    "biased",
    "banned",
    "ids",
    "stop",
    "kept stop",
    "without end",
    "regex",
    "choice",
    "an open turn",
    "plain",
    "plain ids",
)
ALIKE_IN_LLAMA_CPP = ("text", "short", "penalties", "biased", "stop", "plain")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def others(
    upstream_servers: dict[str, UpstreamServer], llama: Engine
) -> AsyncIterator[dict[str, Beside]]:
    """Each beside the same local model."""
    servers = [upstream_servers[name] for name in ("llama_cpp", "vllm")]
    urls = await asyncio.to_thread(lambda: [server.base_url for server in servers])
    upstreams = [
        Upstream(server.kind.value, server.kind, (url,))
        for server, url in zip(servers, urls, strict=True)
    ]
    host = RemoteHost(UpstreamPlan(tuple(upstreams)))
    async with beside(llama.backend, "chatml") as local:
        yield {each.name: _beside(local, host, each) for each in upstreams}
    await host.close()


def _beside(local: Beside, host: RemoteHost, upstream: Upstream) -> Beside:
    place = Place(upstream.name, MODEL_ID)
    return Beside(local.service, RemoteAnswers(host), RemoteTarget(MODEL_ID, (place,)))


@pytest.mark.parametrize("name", ALIKE_IN_VLLM)
async def test_vllms_server_answers_alike(others: dict[str, Beside], name: str) -> None:
    here, there = await others["vllm"].both(request(**REQUESTS[name]))
    assert there[:-1] == here[:-1]
    end, other = end_of(here), end_of(there)
    # A grammar may let the end come as a token of its own; what was reused is not told.
    assert 0 <= other.num_completion_tokens - end.num_completion_tokens <= 1
    counts = (end.num_completion_tokens, end.num_cached_tokens)
    assert replace(other, num_completion_tokens=counts[0], num_cached_tokens=counts[1]) == end


@pytest.mark.parametrize("name", ALIKE_IN_LLAMA_CPP)
async def test_llama_cpps_server_answers_alike(others: dict[str, Beside], name: str) -> None:
    """Its streams tell no usage."""
    wanted = request(**REQUESTS[name])
    here, there = await others["llama_cpp"].here(wanted), await others["llama_cpp"].there(wanted)
    assert there[:-1] == here[:-1]
    assert end_of(there).finish_reason == end_of(here).finish_reason
    assert end_of(there).num_prompt_tokens == 0


@pytest.mark.parametrize("kind", ["vllm", "llama_cpp"])
async def test_a_forced_call_is_a_call(others: dict[str, Beside], kind: str) -> None:
    wanted = request(prompt=CALLING, tool_choice=FORCED, max_tokens=200)
    started, arguments, end = await others[kind].there(wanted)
    assert started == ToolCallStarted(0, "call", "get_weather")
    assert isinstance(arguments, ToolCallDelta)
    assert end == replace(end_of([end]), finish_reason=FinishReason.TOOL_CALLS)


@pytest.mark.parametrize("kind", ["vllm", "llama_cpp"])
async def test_a_conversation_with_a_call_is_taken(others: dict[str, Beside], kind: str) -> None:
    assert len(await others[kind].there(request(prompt=CALLED))) == 2
