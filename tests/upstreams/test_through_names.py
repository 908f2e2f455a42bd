"""By which names models of upstreams can be had, and what is told of their servers."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.upstream_servers import (
    MODEL_ID,
    ROOT,
    WINDOW,
    UpstreamServer,
    inherited,
    llama_cpp,
    remote,
    running,
)
from tests.upstreams.through import entry, opened, upstreams_file

pytestmark = pytest.mark.engine

UPSTREAMS = ("vllm", "llama-cpp", "jarvis", "jarvis-two")
SHORT: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Hello! What are you?"}],
    "temperature": 0,
    "max_tokens": 3,
}


def chat(client: httpx2.Client, model: str | None) -> httpx2.Response:
    named = {} if model is None else {"model": model}
    return client.post("/v1/chat/completions", json=SHORT | named)


@pytest.mark.parametrize(
    ("name", "upstream"),
    [
        (f"vllm://{MODEL_ID}", "vllm"),
        (f"vllm/{MODEL_ID}", "vllm"),
        (f"llama-cpp://{MODEL_ID}", "llama-cpp"),
        (f"llama_cpp/{MODEL_ID}", "llama-cpp"),
        (f"jarvis-two/{MODEL_ID}", "jarvis-two"),
    ],
)
def test_a_model_can_be_had_by(proxy: httpx2.Client, name: str, upstream: str) -> None:
    response = chat(proxy, name)
    assert response.status_code == 200, response.text
    assert response.headers["x-jarvis-upstream"] == upstream
    assert "x-jarvis-attempts" not in response.headers
    assert response.json()["choices"][0]["message"]["content"] == "I am Jarvis"


@pytest.mark.parametrize("name", [MODEL_ID, None])
def test_a_bare_name_and_none_are_any_upstream_s_that_has_it(
    proxy: httpx2.Client, name: str | None
) -> None:
    response = chat(proxy, name)
    assert response.status_code == 200, response.text
    assert response.headers["x-jarvis-upstream"] in UPSTREAMS
    assert response.json()["choices"][0]["message"]["content"] == "I am Jarvis"


def test_a_name_that_no_list_has_is_refused_here(proxy: httpx2.Client) -> None:
    response = chat(proxy, "no-such-model")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
    assert "x-jarvis-upstream" not in response.headers


def test_models_are_listed_with_their_owner(proxy: httpx2.Client) -> None:
    (model,) = proxy.get("/v1/models").json()["data"]
    assert (model["id"], model["object"], model["owned_by"]) == (MODEL_ID, "model", "vllm")
    assert model["upstreams"] == list(UPSTREAMS)
    assert model["max_model_len"] == WINDOW
    by_name = proxy.get(f"/v1/models/jarvis-two/{MODEL_ID}").json()
    assert (by_name["id"], by_name["owned_by"]) == (f"jarvis-two/{MODEL_ID}", "jarvis-two")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/upstreams", "/health/ready"])
def test_nothing_tells_where_a_server_has_its_files_or_what_its_key_is(
    proxy: httpx2.Client, path: str, cache: Path
) -> None:
    told = proxy.get(path).text
    assert MODEL_ID in told
    assert str(cache) not in told
    assert str(ROOT) not in told
    assert "sk-not-to-be-told" not in told


def test_a_vllm_server_tells_of_its_queue_and_cache(proxy: httpx2.Client) -> None:
    upstreams = {each["name"]: each for each in proxy.get("/v1/upstreams").json()["data"]}
    assert tuple(upstreams) == UPSTREAMS
    (told,) = upstreams["vllm"]["endpoints"]
    assert (told["num_running"], told["num_waiting"]) == (0, 0)
    assert 0 <= told["kv_cache_usage"] <= 1
    for upstream in upstreams.values():
        (endpoint,) = upstream["endpoints"]
        assert (endpoint["is_reachable"], endpoint["error"]) == (True, None)
        assert (endpoint["breaker"], endpoint["num_outstanding"]) == ("closed", 0)
        (model,) = upstream["models"]
        window = None if upstream["name"] == "llama-cpp" else WINDOW
        assert (model["id"], model["max_model_len"]) == (MODEL_ID, window)


def test_it_is_ready_where_its_upstreams_are(proxy: httpx2.Client) -> None:
    response = proxy.get("/health/ready")
    assert response.status_code == 200
    assert response.json()["engine"] == "remote"
    assert [each["name"] for each in response.json()["upstreams"]] == list(UPSTREAMS)


def test_nothing_that_is_printed_tells_a_key(proxied: UpstreamServer, proxy: httpx2.Client) -> None:
    assert chat(proxy, "jarvis/nope").status_code == 404
    proxied.wait_for(re.compile("status=404"))
    assert "sk-not-to-be-told" not in "".join(proxied.output)


def checked(path: Path) -> subprocess.CompletedProcess[str]:
    launch = remote(JARVIS_UPSTREAMS_FILE=str(path))
    return subprocess.run(
        [*launch.command, "--check"],
        cwd=ROOT,
        env={**inherited(), **launch.environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def dying() -> Iterator[UpstreamServer]:
    with running(llama_cpp()) as (server,):
        yield server


def test_a_check_tells_of_all_and_fails_where_one_is_dead(
    upstream_servers: dict[str, UpstreamServer], dying: UpstreamServer, tmp_path: Path
) -> None:
    servers = upstream_servers | {"dying": dying}
    entries = [
        entry(name.replace("_", "-"), server.kind, server.base_url)
        for name, server in servers.items()
    ]
    path = upstreams_file(tmp_path, *entries)
    well = checked(path)
    dying.kill()
    ill = checked(path)
    assert (well.returncode, ill.returncode) == (0, 1), well.stdout + ill.stdout
    for name in (*UPSTREAMS, "dying"):
        assert f"{name} (" in well.stdout
        assert f"{name} (" in ill.stdout
    assert well.stdout.count(": reachable in") == 5
    assert well.stdout.count(MODEL_ID) == 5
    assert f"{MODEL_ID} (max_model_len {WINDOW})" in well.stdout
    assert ill.stdout.count(": reachable in") == 4
    assert ill.stdout.count("NOT REACHABLE") == 1
    assert "sk-not-to-be-told" not in well.stdout + well.stderr + ill.stdout + ill.stderr


def test_one_variable_is_enough_for_one_vllm_server(
    upstream_servers: dict[str, UpstreamServer],
) -> None:
    url = upstream_servers["vllm"].root_url
    with running(remote(VLLM_BASE_URL=url)) as (server,), opened(server) as client:
        # No model is named, and nobody said which: it is the server's only one.
        answers = [chat(client, name) for name in (None, MODEL_ID, f"vllm://{MODEL_ID}")]
    for response in answers:
        assert response.status_code == 200, response.text
        assert response.headers["x-jarvis-upstream"] == "vllm"
        assert response.json()["choices"][0]["message"]["content"] == "I am Jarvis"
