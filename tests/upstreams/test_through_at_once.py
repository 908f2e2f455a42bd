"""Requests to all upstreams at once, through one server: each gets its own answer, and those that
clients leave are left at the upstream too.
"""

import asyncio
from typing import Any

import httpx2
import pytest

from backends.remote.server_metrics import read_load
from core.upstreams import UpstreamKind
from tests.upstream_servers import MODEL_ID, UpstreamServer
from tests.upstreams.through import WAIT_S, events_of, opened

pytestmark = pytest.mark.engine

CHAT = "/v1/chat/completions"
UPSTREAMS = ("vllm", "llama-cpp", "jarvis", "jarvis-two")
QUESTIONS = ("Hello! What are you?", "What is 3 + 4?", "Tell me a story.")
LONG_TOKENS = 900


def asked(upstream: str, question: str, **fields: Any) -> dict[str, Any]:
    turn = {"role": "user", "content": question}
    body = {"model": f"{upstream}/{MODEL_ID}", "messages": [turn]}
    return body | {"temperature": 0, "max_tokens": 16} | fields


async def said(client: httpx2.AsyncClient, body: dict[str, Any]) -> str:
    response = await client.post(CHAT, json=body)
    assert response.status_code == 200, response.text
    assert response.headers["x-jarvis-upstream"] == body["model"].partition("/")[0]
    if not body.get("stream"):
        return str(response.json()["choices"][0]["message"]["content"])
    deltas = [event["choices"][0]["delta"] for event in events_of(response.content)]
    return "".join(delta.get("content") or "" for delta in deltas)


async def test_all_at_once_are_answered_as_one_by_one(proxied: UpstreamServer) -> None:
    async with httpx2.AsyncClient(base_url=proxied.root_url, timeout=WAIT_S) as client:
        alone = {text: await said(client, asked("jarvis", text)) for text in QUESTIONS}
        bodies = [
            asked(upstream, text, stream=is_stream)
            for text in QUESTIONS
            for upstream in UPSTREAMS
            for is_stream in (False, True)
        ]
        answers = await asyncio.gather(*(said(client, body) for body in bodies))
    texts = [body["messages"][0]["content"] for body in bodies]
    assert list(answers) == [alone[text] for text in texts]


def test_a_stream_that_is_left_ends_at_the_upstream(
    proxy: httpx2.Client, upstream_servers: dict[str, UpstreamServer]
) -> None:
    long = asked("vllm", "Hello!", max_tokens=LONG_TOKENS, ignore_eos=True, stream=True)
    with opened(upstream_servers["vllm"]) as vllm:
        before = _num_made(vllm)
        with proxy.stream("POST", CHAT, json=long) as response:
            assert response.status_code == 200
            next(response.iter_bytes())
        while _num_running(vllm):
            pass
        assert _num_made(vllm) - before < LONG_TOKENS


def _num_running(vllm: httpx2.Client) -> float:
    running = read_load(vllm.get("/metrics").content, UpstreamKind.VLLM).num_running
    assert running is not None
    return running


def _num_made(vllm: httpx2.Client) -> float:
    lines = vllm.get("/metrics").text.splitlines()
    (line,) = [each for each in lines if each.startswith("vllm:generation_tokens_total{")]
    return float(line.rpartition(" ")[2])
