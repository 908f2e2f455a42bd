"""Both engines show the same series, and in them what their answers say of themselves."""

import httpx
import pytest

from tests.api.metrics.test_served import Samples, of, shown
from tests.api.served import HELLO
from tests.engines import Engine, serve

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]


async def test_a_conversation_is_counted_the_same_on_either_engine(
    llama: Engine, vllm: Engine
) -> None:
    on_llama, on_vllm = await counted(llama, "llama_cpp"), await counted(vllm, "vllm")
    assert on_llama.keys() - {BUILD_LLAMA} == on_vllm.keys() - {BUILD_VLLM}
    for name in (
        "vllm:prompt_tokens_total",
        "vllm:generation_tokens_total",
        "vllm:e2e_request_latency_seconds_count",
        "vllm:request_params_max_tokens_sum",
    ):
        assert of(on_llama, name) == of(on_vllm, name), name


BUILD_LLAMA = ("jarvis_build_info", frozenset({"0.1.0", "llama_cpp"}))
BUILD_VLLM = ("jarvis_build_info", frozenset({"0.1.0", "vllm"}))


async def counted(engine: Engine, kind: str) -> Samples:
    """What is shown after one chat that is asked twice."""
    async with (
        serve(engine.backend, kind, "chatml") as url,
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        for _ in range(2):
            body = {"messages": HELLO, "max_tokens": 8, "temperature": 0}
            answered = await client.post("/v1/chat/completions", json=body)
            assert answered.status_code == 200
        samples = await shown(client)
    assert of(samples, "vllm:prompt_tokens_total") > 0
    assert of(samples, "vllm:num_requests_running") == 0
    assert of(samples, "vllm:num_requests_waiting") == 0
    assert 0 <= of(samples, "vllm:kv_cache_usage_perc") <= 1
    return samples
