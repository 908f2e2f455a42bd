"""GET /metrics of the whole application, over a scripted engine and over other servers."""

import asyncio

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from backends.remote.server_metrics import read_load
from backends.scripted import ScriptedBackend
from core.upstreams import UpstreamKind
from tests.api.remote.harness import answering, remote_app, server_with, upstream
from tests.api.served import HELLO, served
from tests.api.streams import Gate
from tests.script import counting, scripted_backend
from tests.upstream_answers import DONE, chat_answer, chat_stream, delta, event, last_delta, stream

USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 4},
}
COUNTED = stream(delta("a"), delta("b"), last_delta(), event({"choices": [], "usage": USAGE}), DONE)
Samples = dict[tuple[str, frozenset[str]], float]


async def shown(client: httpx.AsyncClient, accept: str = "text/plain") -> Samples:
    """Every series but the process's, by name and the values of its labels."""
    response = await client.get("/metrics", headers={"accept": accept})
    assert response.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
        if not sample.name.startswith("process_")
    }


def of(samples: Samples, name: str, *labels: str) -> float:
    """The one series with these labels among its own."""
    found = [number for (each, own), number in samples.items() if each == name and {*labels} <= own]
    assert len(found) == 1, (name, labels, found)
    return found[0]


async def test_a_chat_is_counted_from_its_route_to_its_tokens() -> None:
    async with served(scripted_backend()) as app:
        usages = [(await app.chat(max_tokens=8, n=2)).json()["usage"] for _ in range(2)]
        samples = await shown(app.client)
    prompt = usages[0]["prompt_tokens"]
    route = "/v1/chat/completions"
    assert of(samples, "jarvis_http_requests_total", route, "POST", "200") == 2
    assert of(samples, "vllm:request_success_total", "length") == 4
    assert of(samples, "vllm:prompt_tokens_total") == 2 * prompt
    assert of(samples, "vllm:generation_tokens_total") == 32
    assert of(samples, "vllm:e2e_request_latency_seconds_count") == 2
    assert of(samples, "vllm:time_to_first_token_seconds_count") == 2
    assert of(samples, "vllm:inter_token_latency_seconds_count") > 0
    assert of(samples, "vllm:request_params_n_sum") == 4
    assert of(samples, "vllm:request_params_max_tokens_sum") == 16


async def test_what_is_refused_or_unknown_is_counted_by_labels_that_clients_do_not_choose() -> None:
    async with served(scripted_backend()) as app:
        for number in range(3):
            await app.client.request("PROPFIND", f"/made-up-{number}")
        assert (await app.chat(temperature="hot")).status_code == 400
        samples = await shown(app.client)
    assert of(samples, "jarvis_http_requests_total", "unknown", "other") == 3
    assert of(samples, "jarvis_rejected_requests_total", "invalid_value") == 1
    assert not any("made-up" in label or "PROPFIND" in label for _, own in samples for label in own)


async def test_a_client_that_leaves_is_counted_and_nothing_stays_behind() -> None:
    gate = Gate(3)
    async with served(ScriptedBackend(counting, gate=gate.passed)) as app:
        body = {"messages": HELLO, "stream": True}
        async with app.client.stream("POST", "/v1/chat/completions", json=body):
            busy = await shown(app.client)
            while not of(busy, "vllm:num_requests_running"):
                busy = await shown(app.client)
        samples = await shown(app.client)
        while not of(samples, "jarvis_aborted_requests_total"):
            samples = await shown(app.client)
    assert of(samples, "jarvis_aborted_requests_total") == 1
    assert of(samples, "vllm:request_success_total", "abort") == 1
    assert of(samples, "vllm:num_requests_running") == 0


async def test_other_servers_have_the_same_names_labels_and_buckets() -> None:
    async with served(scripted_backend()) as app:
        await app.chat(max_tokens=2)
        window = (await app.client.get("/v1/models")).json()["data"][0]["max_model_len"]
        here = {key for key in await shown(app.client) if key[0].startswith("vllm:")}
    async with server_with("tiny", chat_answer(), max_model_len=window) as server:
        there = upstream("a", server, kind=UpstreamKind.VLLM)
        async with remote_app(there) as remote:
            assert (await remote.chat("tiny")).status_code == 200
            samples = await shown(remote.client)
    elsewhere = {key for key in samples if key[0].startswith("vllm:")}
    assert {renamed(key) for key in elsewhere} == {renamed(key) for key in here}
    assert of(samples, "vllm:e2e_request_latency_seconds_count", "tiny") == 1
    assert of(samples, "jarvis_upstream_usable", "a") == 1
    assert of(samples, "jarvis_upstream_breaker_state", "a", "closed") == 1
    assert of(samples, "jarvis_upstream_outstanding_requests", "a") == 0


async def test_other_servers_models_are_told_by_their_names_however_they_are_asked_for() -> None:
    has_begun = asyncio.Event()
    uncounted = stream(delta("a"), has_begun, delta("b"), last_delta(), DONE)
    async with (
        server_with("tiny", COUNTED, COUNTED, uncounted) as server,
        remote_app(upstream("a", server), local=answering()) as app,
    ):
        for name in ("tiny", "a/tiny"):
            assert (await app.chat(name, stream=True)).status_code == 200
        body = {"model": "openai://tiny", "messages": HELLO, "stream": True}
        async with app.client.stream("POST", "/v1/chat/completions", json=body) as response:
            async for _ in response.aiter_raw():
                has_begun.set()
        assert (await app.chat()).status_code == 200
        samples = await shown(app.client)
    assert of(samples, "vllm:prompt_tokens_total", "tiny") == 18
    assert of(samples, "vllm:generation_tokens_total", "tiny") == 10
    assert of(samples, "vllm:prefix_cache_hits_total", "tiny") == 8
    assert of(samples, "jarvis_uncounted_answers_total", "tiny") == 1
    assert of(samples, "jarvis_uncounted_events_total", "tiny") == 4
    assert of(samples, "vllm:time_to_first_token_seconds_count", "tiny") == 3
    assert of(samples, "vllm:time_to_first_token_seconds_count", "jarvis-tiny") == 1
    steps = "vllm:inter_token_latency_seconds_count"
    assert of(samples, steps, "tiny") > 0
    models = {label for name, own in samples if name == steps for label in own}
    assert models == {"0", "tiny", "jarvis-tiny"}


async def test_a_model_that_was_renamed_is_told_by_its_name_here() -> None:
    async with (
        server_with("tiny", *[COUNTED] * 3) as server,
        remote_app(upstream("a", server, models={"fast": "tiny"})) as app,
    ):
        for name in ("fast", "a/fast", "openai://fast"):
            assert (await app.chat(name, stream=True)).status_code == 200
        samples = await shown(app.client)
    assert of(samples, "vllm:prompt_tokens_total", "fast") == 27


@pytest.mark.parametrize("details", [[], None, {"cached_tokens": -1}, {"cached_tokens": 1.0}])
async def test_odd_details_of_a_usage_spoil_no_other_number(details: object) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": details}
    last = event({"choices": [], "usage": usage})
    async with (
        server_with("tiny", stream(delta("a"), last_delta(), last, DONE)) as server,
        remote_app(upstream("a", server)) as app,
    ):
        assert (await app.chat("tiny", stream=True)).status_code == 200
        samples = await shown(app.client)
    assert of(samples, "vllm:prompt_tokens_total", "tiny") == 9
    assert of(samples, "vllm:generation_tokens_total", "tiny") == 5


async def test_answers_of_other_apis_are_counted_where_the_server_counts_them() -> None:
    async with (
        server_with("tiny", COUNTED, chat_stream("a", "b")) as server,
        remote_app(upstream("a", server)) as app,
    ):
        for _ in range(2):
            body = {"model": "tiny", "messages": HELLO, "max_tokens": 3, "stream": True}
            assert (await app.client.post("/v1/messages", json=body)).status_code == 200
        samples = await shown(app.client)
    assert of(samples, "vllm:e2e_request_latency_seconds_count", "tiny") == 2
    assert of(samples, "vllm:generation_tokens_total", "tiny") == 5
    assert of(samples, "vllm:request_generation_tokens_count", "tiny") == 1
    assert of(samples, "jarvis_uncounted_answers_total", "tiny") == 1


async def test_before_another_server_has_said_what_it_has_there_is_something_to_show() -> None:
    async with (
        server_with("tiny", chat_answer("x")) as server,
        remote_app(upstream("a", server)) as app,
    ):
        samples = await shown(app.client)
        assert (await app.chat("tiny")).status_code == 200
        later = await shown(app.client)
    assert {name for name, _ in samples} - {name for name, _ in later} == set()
    assert not any("remote" in own for name, own in later if name.startswith("vllm:"))


def renamed(key: tuple[str, frozenset[str]]) -> tuple[str, frozenset[str]]:
    return key[0], key[1] - {"tiny", "jarvis-tiny"}


async def test_open_metrics_are_sent_to_who_asks_for_them() -> None:
    async with served(scripted_backend()) as app:
        asked = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3"
        response = await app.client.get("/metrics", headers={"accept": asked})
        plain = await app.client.get("/metrics")
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0")
    assert response.text.endswith("# EOF\n")
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert read_load(response.content, UpstreamKind.JARVIS).num_running == 0
