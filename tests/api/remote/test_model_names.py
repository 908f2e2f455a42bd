"""Which server a model's name leads to, and what is told of models and of servers."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from core.upstreams import BreakerRules, UpstreamKind
from tests.api.remote.harness import (
    LOCAL_MODEL,
    RemoteApp,
    answering,
    failed,
    loading,
    remote_app,
    sent,
    server_with,
    upstream,
)
from tests.faulty_upstream import FaultyUpstream, faulty_upstream, refusing_url
from tests.upstream_answers import METRICS, chat_answer, models, status, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")

LLAMA = "meta-llama/Llama-3.2-3B-Instruct"


@dataclass(frozen=True)
class Two:
    """A vLLM server named `gpu` with two models, and another server that shares one with it."""

    app: RemoteApp
    gpu: FaultyUpstream
    cloud: FaultyUpstream

    async def asked(self, name: str) -> tuple[str, str]:
        """Who answers for a name, and under which name it was asked."""
        response = await self.app.chat(name)
        assert response.status_code == 200, response.text
        who = response.headers["x-jarvis-upstream"]
        server = {"gpu": self.gpu, "cloud": self.cloud}[who]
        return who, sent(server)[-1]["model"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def two() -> AsyncIterator[Two]:
    facts = models(LLAMA, "shared", max_model_len=2048, meta={"n": 1})
    answer = chat_answer("x")
    async with (
        faulty_upstream(
            answer,
            paths={
                "/v1/models": whole(facts),
                "/metrics": whole(METRICS, media_type="text/plain"),
            },
        ) as gpu,
        faulty_upstream(answer, paths={"/v1/models": whole(models("shared", "big"))}) as cloud,
    ):
        there = (
            upstream("gpu", gpu, kind=UpstreamKind.VLLM, default_model=LLAMA),
            upstream("cloud", cloud, kind=UpstreamKind.OPENROUTER, priority=1),
        )
        flags = {"JARVIS_MODEL_ALIASES": "mine,big"}
        async with remote_app(*there, local=answering(), flags=flags) as app:
            await app.host.find("nobodys")
            yield Two(app, gpu, cloud)


@pytest.mark.parametrize(
    ("name", "who"),
    [
        (LLAMA, ("gpu", LLAMA)),
        (f"vllm://{LLAMA}", ("gpu", LLAMA)),
        (f"vllm/{LLAMA}", ("gpu", LLAMA)),
        (f"gpu/{LLAMA}", ("gpu", LLAMA)),
        (f"gpu://{LLAMA}", ("gpu", LLAMA)),
        ("shared", ("gpu", "shared")),
        ("cloud/shared", ("cloud", "shared")),
        ("openrouter/shared", ("cloud", "shared")),
        # Named by a prefix it is the server's, though the engine here goes by that name as well.
        ("cloud/big", ("cloud", "big")),
        ("gpu/unlisted", ("gpu", "unlisted")),
        ("gpu/", ("gpu", LLAMA)),
    ],
)
async def test_a_name_leads_to_a_server(two: Two, name: str, who: tuple[str, str]) -> None:
    assert await two.asked(name) == who


@pytest.mark.parametrize("name", [None, "", LOCAL_MODEL, "mine", "big"])
async def test_names_of_the_model_here_are_its_own(two: Two, name: str | None) -> None:
    response = await two.app.chat(name)
    assert response.headers["x-jarvis-upstream"] == "local"
    assert response.json()["model"] == LOCAL_MODEL


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
async def test_a_name_that_nobody_has_is_not_found(two: Two, path: str) -> None:
    body = {"model": "nobodys", "max_tokens": 3, "messages": [{"role": "user", "content": "a"}]}
    if path == "/v1/responses":
        body = {"model": "nobodys", "input": "a"}
    response = await two.app.client.post(path, json=body)
    assert response.status_code == 404
    assert "'nobodys'" in response.json()["error"]["message"]
    assert "/v1/models" in response.json()["error"]["message"]


async def test_an_alias_for_any_name_waits_for_no_server() -> None:
    with refusing_url() as url:
        async with server_with("tiny", chat_answer("x")) as server:
            there = (upstream("a", server), upstream("gone", url))
            flags = {"JARVIS_MODEL_ALIASES": "*"}
            async with remote_app(*there, local=answering(), flags=flags) as app:
                await app.host.find("nobodys")
                any_name, known = await app.chat("gpt-4o"), await app.chat("tiny")
                prefixed = await app.chat("a/else")
    assert any_name.headers["x-jarvis-upstream"] == "local"
    assert known.headers["x-jarvis-upstream"] == prefixed.headers["x-jarvis-upstream"] == "a"


async def test_models_of_all_are_listed_with_their_owner(two: Two) -> None:
    listed = (await two.app.client.get("/v1/models")).json()["data"]
    owners = {each["id"]: each["owned_by"] for each in listed}
    assert owners == {
        LOCAL_MODEL: "jarvis-llm-proxy",
        "mine": "jarvis-llm-proxy",
        "big": "jarvis-llm-proxy",
        LLAMA: "gpu",
        "shared": "gpu",
    }
    shared = next(each for each in listed if each["id"] == "shared")
    assert shared["upstreams"] == ["gpu", "cloud"]
    assert (shared["max_model_len"], shared["meta"]) == (2048, {"n": 1})
    assert all(each["object"] == "model" and type(each["created"]) is int for each in listed)


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        (LOCAL_MODEL, "jarvis-llm-proxy"),
        ("shared", "gpu"),
        (LLAMA, "gpu"),
        (LLAMA.replace("/", "%2F"), "gpu"),
        (f"gpu/{LLAMA}", "gpu"),
        (f"vllm://{LLAMA}", "gpu"),
        (f"vllm%3A%2F%2F{LLAMA}".replace("/", "%2F"), "gpu"),
        ("cloud/shared", "cloud"),
        ("cloud/big", "cloud"),
    ],
)
async def test_one_model_is_told_by_any_of_its_names(two: Two, path: str, owner: str) -> None:
    # As it is: a client would join the slashes.
    request = httpx.URL(two.app.url, raw_path=f"/v1/models/{path}".encode())
    response = await two.app.client.get(request)
    assert response.status_code == 200, response.text
    model = response.json()
    assert model["owned_by"] == owner
    assert model["id"] == path.replace("%2F", "/").replace("%3A", ":")
    if owner == "gpu":
        assert model["max_model_len"] == 2048


@pytest.mark.parametrize("name", ["nobodys", "cloud/nobodys", "gpu%2Fnobodys", "cloud/", "%00"])
async def test_a_model_that_nobody_has_is_not_told_of(two: Two, name: str) -> None:
    response = await two.app.client.get(f"/v1/models/{name}")
    assert response.status_code == 404, response.text


async def test_servers_are_told_of_with_all_that_is_known(two: Two) -> None:
    await two.app.chat("gpu/shared")
    body = (await two.app.client.get("/v1/upstreams")).json()
    assert body["object"] == "list"
    gpu, cloud = body["data"]
    assert (gpu["name"], gpu["kind"], gpu["is_usable"]) == ("gpu", "vllm", True)
    (endpoint,) = gpu["endpoints"]
    assert endpoint["url"] == two.gpu.url
    assert (endpoint["breaker"], endpoint["is_reachable"]) == ("closed", True)
    assert endpoint["latency_s"] > 0
    assert endpoint["num_running"] == 2.0
    assert (endpoint["num_waiting"], endpoint["kv_cache_usage"]) == (1.0, 0.25)
    listed = {each["id"]: each["max_model_len"] for each in gpu["models"]}
    assert listed == {LLAMA: 2048, "shared": 2048}
    assert {each["id"] for each in cloud["models"]} == {"shared", "big"}
    ready = await two.app.client.get("/health/ready")
    assert ready.status_code == 200
    assert [each["name"] for each in ready.json()["upstreams"]] == ["gpu", "cloud"]


async def ready_of(*there: Any, local: Any = None) -> httpx.Response:
    """After all servers were looked at."""
    async with remote_app(*there, local=local) as app:
        await app.host.find("nobodys")
        return await app.client.get("/health/ready")


async def test_servers_alone_are_ready_if_one_of_them_can_be_asked() -> None:
    with refusing_url() as url:
        async with server_with("tiny") as server:
            good, gone = upstream("good", server), upstream("gone", url)
            responses = [await ready_of(good, gone), await ready_of(gone)]
    assert [each.status_code for each in responses] == [200, 503]
    assert [each.json()["state"] for each in responses] == ["ready", "failed"]
    assert {each.json()["engine"] for each in responses} == {"remote"}
    assert "retry-after" in responses[1].headers
    states = responses[0].json()["upstreams"]
    assert [each["endpoints"][0]["is_reachable"] for each in states] == [True, False]
    assert states[1]["endpoints"][0]["error"]


async def test_an_open_breaker_is_shown_and_not_ready() -> None:
    async with server_with("tiny", status(500)) as server:
        rules = BreakerRules(num_failures=1, open_s=60)
        async with remote_app(upstream("a", server, breaker=rules)) as app:
            assert (await app.chat("tiny")).status_code == 500
            ready = await app.client.get("/health/ready")
            refused = await app.chat("tiny")
    assert ready.status_code == 503
    assert ready.json()["upstreams"][0]["endpoints"][0]["breaker"] == "open"
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert refused.json()["error"]["code"] == "upstream_unavailable"


@pytest.mark.parametrize(("local", "status_code"), [(loading(), 503), (failed(), 503)])
async def test_the_engines_state_is_told_where_there_is_one(local: Any, status_code: int) -> None:
    async with server_with("tiny") as server:
        response = await ready_of(upstream("a", server), local=local)
    assert response.status_code == status_code
    assert response.json()["engine"] == "llama_cpp"


async def test_a_server_without_an_engine_tells_what_it_can() -> None:
    async with server_with("tiny") as server, remote_app(upstream("a", server)) as app:
        await app.host.find("nobodys")
        facts = (await app.client.get("/v1/capabilities")).json()
        missing = await app.client.get("/v1/models/nobodys")
        listed = (await app.client.get("/v1/models")).json()["data"]
        unnamed = await app.chat()
    assert (facts["engine"], facts["object"]) == ("remote", "capabilities")
    assert missing.status_code == 404
    assert [each["id"] for each in listed] == ["tiny"]
    # The only model of all is the default one.
    assert unnamed.status_code == 404


async def test_facts_of_a_server_never_replace_ours() -> None:
    facts = {"created": "yesterday", "object": "evil", "owned_by": "me", "upstreams": [1]}
    async with (
        faulty_upstream(paths={"/v1/models": whole({"data": [{"id": "m"} | facts]})}) as s,
        remote_app(upstream("a", s)) as app,
    ):
        await app.host.find("nobodys")
        (model,) = (await app.client.get("/v1/models")).json()["data"]
    assert type(model.pop("created")) is int
    assert model == {"id": "m", "object": "model", "owned_by": "a", "upstreams": ["a"]}


async def test_without_upstreams_nothing_is_told_of_any() -> None:
    async with remote_app(local=answering()) as app:
        assert (await app.client.get("/v1/upstreams")).json() == {"object": "list", "data": []}
        assert "upstreams" not in (await app.client.get("/health/ready")).json()
