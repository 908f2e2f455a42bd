"""Where one can't answer, the next one does: before the first byte, and never after it."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from core.lifecycle import EngineState
from core.upstreams import BreakerRules, UpstreamKind, UpstreamTimeouts
from tests.api.remote.harness import (
    HELLO,
    LOCAL_MODEL,
    Local,
    One,
    answering,
    dying,
    failed,
    loading,
    posted,
    remote_app,
    sent,
    server_with,
    servers_with,
    upstream,
)
from tests.api.streams import payloads
from tests.engines import StartedBackend
from tests.faulty_upstream import HANG, RESET, Answer, Steps, refusing_url
from tests.upstream_answers import (
    DONE,
    chat,
    chat_answer,
    delta,
    rate_limited,
    status,
    stream,
    unended,
    whole,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD = chat_answer("remote")
LOCALS = {"loading": loading, "failed": failed, "dying": dying}
ATTEMPTS = {"loading": "local=unavailable", "failed": "local=unavailable", "dying": "local=failed"}


@pytest.mark.parametrize("case", LOCALS)
async def test_a_server_stands_in_for_the_engine(case: str) -> None:
    async with server_with("tiny", GOOD) as server:
        chain = {LOCAL_MODEL: ("tiny",)}
        async with remote_app(upstream("a", server), local=LOCALS[case](), fallbacks=chain) as app:
            responses = [await app.chat(LOCAL_MODEL, stream=each) for each in (False, True)]
            await app.is_idle()
    for response in responses:
        assert response.status_code == 200
        assert "remote" in response.text
        assert response.headers["x-jarvis-upstream"] == "a"
        assert response.headers["x-jarvis-attempts"] == ATTEMPTS[case]
    assert sent(server)[0]["model"] == "tiny"


ERROR_AT_ONCE = b'data: {"error":{"message":"overloaded","code":502}}\n\n'
FAILURES: dict[str, tuple[Answer, str]] = {
    "reset": ((RESET,), "connection"),
    "silence": ((HANG,), "timeout"),
    "429": (rate_limited("0"), "429"),
    "500": (status(500), "500"),
    "503": (status(503), "503"),
    "HTML": (whole(b"<html>", media_type="text/html"), "broken"),
}
STREAM_FAILURES: dict[str, tuple[Answer, str]] = {
    **FAILURES,
    "an error at once": (stream(ERROR_AT_ONCE), "502"),
    "no token": (unended(delta(role="assistant"), RESET), "connection"),
    "silence behind the role": (unended(delta(role="assistant"), HANG), "timeout"),
    "nothing": (stream(), "broken"),
    "not JSON": (stream(b"data: {\n\n", DONE), "broken"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded() -> AsyncIterator[One]:
    """The engine stands in for the server, which is asked once and not waited for long."""
    async with server_with("tiny") as server:
        rules = BreakerRules(num_failures=1_000_000)
        there = upstream("a", server, timeouts=UpstreamTimeouts(read_s=0.1), breaker=rules)
        async with remote_app(there, local=answering(), default_fallbacks=(LOCAL_MODEL,)) as app:
            yield One(app, server)


@pytest.mark.parametrize("case", FAILURES)
async def test_the_engine_stands_in_for_a_server(guarded: One, case: str) -> None:
    answer, reason = FAILURES[case]
    response = await guarded.chat(answer)
    assert response.json()["choices"][0]["message"]["content"] == "local"
    assert response.headers["x-jarvis-upstream"] == "local"
    assert response.headers["x-jarvis-attempts"] == f"a={reason}"


@pytest.mark.parametrize("case", STREAM_FAILURES)
async def test_the_engine_stands_in_for_a_stream_that_did_not_begin(
    guarded: One, case: str
) -> None:
    answer, reason = STREAM_FAILURES[case]
    response = await guarded.chat(answer, stream=True)
    chunks = payloads(response.text.split("\n\n"))
    said = [each["choices"][0]["delta"].get("content") or "" for each in chunks]
    assert "".join(said) == "local"
    assert response.headers["x-jarvis-upstream"] == "local"
    assert response.headers["x-jarvis-attempts"] == f"a={reason}"


async def test_a_server_that_refuses_connections_has_a_stand_in() -> None:
    with refusing_url() as url:
        async with server_with("tiny", GOOD) as server:
            gone = upstream("a", url, models={"mine": "mine"})
            chain = {"mine": ("b/tiny",)}
            async with remote_app(gone, upstream("b", server), fallbacks=chain) as app:
                response = await app.chat("mine")
    assert response.headers["x-jarvis-upstream"] == "b"
    assert response.headers["x-jarvis-attempts"] == "a=connection"


async def test_an_open_breaker_sends_to_the_stand_in_at_once() -> None:
    async with servers_with({"bad": status(500), "good": GOOD}) as (bad, good):
        rules = BreakerRules(num_failures=1, open_s=60)
        a, b = upstream("a", bad, breaker=rules), upstream("b", good)
        async with remote_app(a, b, default_fallbacks=("good",)) as app:
            first, second = await app.chat("bad"), await app.chat("bad")
    assert first.headers["x-jarvis-attempts"] == "a=500"
    assert second.headers["x-jarvis-attempts"] == "a=unavailable"
    assert second.headers["x-jarvis-upstream"] == "b"
    assert posted(bad) == 1


async def test_what_the_server_refuses_is_not_asked_of_others(guarded: One) -> None:
    for code in (400, 401, 403, 404, 413, 422):
        response = await guarded.chat(status(code))
        assert response.status_code == code
        assert response.headers["x-jarvis-upstream"] == "a"
        assert "x-jarvis-attempts" not in response.headers


async def test_a_chain_is_gone_along_in_its_order() -> None:
    names: dict[str, Answer] = {"one": status(500), "two": rate_limited("2"), "three": GOOD}
    async with servers_with(names) as servers:
        there = [upstream(f"u-{each}", server) for each, server in zip(names, servers, strict=True)]
        async with remote_app(*there, fallbacks={"one": ("two", "three")}) as app:
            response = await app.chat("one")
            other = await app.chat("two")
    assert response.headers["x-jarvis-upstream"] == "u-three"
    assert response.headers["x-jarvis-attempts"] == "u-one=500, u-two=429"
    # Its own list is empty: what stands in for a model says nothing of others.
    assert other.status_code in (429, 503)


async def test_if_all_fail_the_last_ones_answer_is_told() -> None:
    last = status(529, message="the last one")
    async with servers_with({"one": status(500), "two": last}) as (first, second):
        a, b = upstream("a", first), upstream("b", second)
        async with remote_app(a, b, default_fallbacks=("two",)) as app:
            response = await app.chat("one")
    assert response.status_code == 529
    assert response.json()["error"]["message"] == "the last one"
    assert response.json()["error"]["upstream"] == "b"
    assert response.headers["x-jarvis-upstream"] == "b"
    assert response.headers["x-jarvis-attempts"] == "a=500, b=529"


async def test_a_client_can_do_without_them() -> None:
    async with servers_with({"bad": status(500), "good": GOOD}) as (bad, good):
        a, b = upstream("a", bad), upstream("b", good)
        async with remote_app(a, b, default_fallbacks=("good",)) as app:
            off = await app.chat("bad", headers={"x-jarvis-fallbacks": "OFF"})
            odd = await app.chat("bad", headers={"x-jarvis-fallbacks": "maybe"})
    assert (off.status_code, off.headers["x-jarvis-attempts"]) == (500, "a=500")
    assert odd.status_code == 400
    assert "x-jarvis-fallbacks" in odd.json()["error"]["message"]
    assert posted(good) == 0


async def test_a_failure_after_the_first_byte_is_the_answers_end() -> None:
    broken: Steps = unended(delta("half"), RESET)
    async with servers_with({"bad": broken, "good": GOOD}) as (bad, good):
        a, b = upstream("a", bad), upstream("b", good)
        async with remote_app(a, b, default_fallbacks=("good",)) as app:
            response = await app.chat("bad", stream=True)
            await app.is_idle()
    assert response.headers["x-jarvis-upstream"] == "a"
    assert response.content.startswith(delta("half") + b"event: error\n")
    assert b"remote" not in response.content
    assert b"[DONE]" not in response.content
    assert posted(good) == 0


async def test_one_that_cant_take_the_request_is_passed_over() -> None:
    """The engine here knows no such field; the server behind it does."""
    async with servers_with({"bad": status(500), "good": GOOD}) as (bad, good):
        a, b = upstream("a", bad), upstream("b", good)
        chain = {"bad": (LOCAL_MODEL, "good")}
        async with remote_app(a, b, local=answering(), fallbacks=chain) as app:
            response = await app.chat("bad", of_its_own=1)
    assert response.headers["x-jarvis-upstream"] == "b"
    assert response.headers["x-jarvis-attempts"] == "a=500"


async def test_if_nobody_else_can_take_it_the_failure_is_told() -> None:
    async with server_with("bad", status(500)) as server:
        there = upstream("a", server)
        async with remote_app(there, local=answering(), default_fallbacks=(LOCAL_MODEL,)) as app:
            response = await app.chat("bad", of_its_own=1)
    assert response.status_code == 500
    assert response.json()["error"]["upstream"] == "a"


async def test_a_request_that_the_first_one_refuses_goes_nowhere() -> None:
    async with server_with("tiny", GOOD) as server:
        there = upstream("a", server)
        async with remote_app(there, local=answering(), default_fallbacks=("tiny",)) as app:
            response = await app.chat(LOCAL_MODEL, of_its_own=1)
    assert response.status_code == 400
    assert "of_its_own" in response.json()["error"]["message"]
    assert posted(server) == 0


async def test_names_in_a_chain_that_nobody_has_are_passed_over() -> None:
    async with servers_with({"bad": status(500), "good": GOOD}) as (bad, good):
        a, b = upstream("a", bad), upstream("b", good)
        async with remote_app(a, b, default_fallbacks=("nobodys", "bad", "good")) as app:
            response = await app.chat("bad")
    assert response.headers["x-jarvis-attempts"] == "a=500"
    assert response.headers["x-jarvis-upstream"] == "b"
    assert posted(bad) == 1


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings", "/v1/rerank"])
async def test_other_requests_have_stand_ins_too(path: str) -> None:
    body = {"prompt": "a", "input": "a", "query": "a", "documents": ["b"]}
    async with servers_with({"bad": status(500), "good": whole(chat())}) as (bad, good):
        a = upstream("a", bad, kind=UpstreamKind.VLLM)
        b = upstream("b", good, kind=UpstreamKind.VLLM)
        async with remote_app(a, b, default_fallbacks=("good",)) as app:
            response = await app.client.post(path, json=body | {"model": "bad"})
    assert response.status_code == 200
    assert response.headers["x-jarvis-upstream"] == "b"
    assert good.requests[-1].path == path


async def test_the_engine_answers_again_when_it_is_ready() -> None:
    """The first request comes while it loads, the second after that."""
    is_wanted = asyncio.Event()
    ready = answering()
    assert ready.backend is not None
    await ready.backend.start(lambda _: None)
    started = StartedBackend(ready.backend)

    async def later(_: object) -> StartedBackend:
        await is_wanted.wait()
        return started

    local = Local(open_backend=later, waits_for=EngineState.LOADING)
    async with server_with("tiny", GOOD) as server:
        there = upstream("a", server)
        async with remote_app(there, local=local, default_fallbacks=("tiny",)) as app:
            loading_answer = await app.chat()
            is_wanted.set()
            while (await app.client.get("/health/ready")).status_code != 200:
                pass
            ready_answer = await app.chat()
    assert loading_answer.headers["x-jarvis-upstream"] == "a"
    assert ready_answer.headers["x-jarvis-upstream"] == "local"
    assert "x-jarvis-attempts" not in ready_answer.headers


async def test_a_request_that_names_nothing_is_the_engines_and_then_the_chains() -> None:
    async with server_with("tiny", GOOD) as server:
        there = upstream("a", server)
        async with remote_app(there, local=failed(), default_fallbacks=("tiny",)) as app:
            response = await app.chat()
    assert json.loads(server.requests[-1].body)["messages"] == HELLO
    assert response.headers["x-jarvis-upstream"] == "a"
