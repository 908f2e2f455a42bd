"""Real servers that die under requests: who answers instead, and that none is lost."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.upstream_servers import MODEL, MODEL_ID, UpstreamServer, jarvis, remote, running
from tests.upstreams.through import WAIT_S, entry, opened, upstreams_file

pytestmark = pytest.mark.engine

CHAT = "/v1/chat/completions"
NUM_STREAMS, NUM_PLAIN, BEGUN_BEFORE_DEATH = 24, 12, 8
STREAMED_TOKENS = 400
# Requests that are sent until a server that is back has had one.
MOST_TRIES = 2000
HELLO: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Hello! What are you?"}],
    "temperature": 0,
    "max_tokens": 3,
}
ON_ITS_PORT = re.compile(r"serving on http://127\.0\.0\.1:(\d+)")
# The line at a request's end.
ANSWERED = re.compile(r"finish_reason=|outcome=")


@pytest.fixture
def pair(cache: Path) -> Iterator[tuple[UpstreamServer, UpstreamServer]]:
    with running(jarvis(cache), jarvis(cache)) as (one, two):
        yield one, two


@pytest.fixture
def before_pair(
    pair: tuple[UpstreamServer, UpstreamServer], tmp_path: Path
) -> Iterator[UpstreamServer]:
    """One upstream of two URLs, soon tried again."""
    urls = [each.base_url for each in pair]
    breaker = {"failures": 2, "open_s": 0.2}
    upstream = entry("pair", "jarvis", *urls, max_retries=3, breaker=breaker)
    path = upstreams_file(tmp_path, upstream, refresh_s=0.2)
    with running(remote(JARVIS_UPSTREAMS_FILE=str(path))) as (server,):
        yield server


class Crowd:
    """Many requests at once, and what became of each."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client
        self._num_begun = 0
        self.have_begun = asyncio.Event()

    async def stream(self, number: int) -> str:
        """How it ended: done, or failed with an error event."""
        body = _question(number) | {
            "max_tokens": STREAMED_TOKENS,
            "ignore_eos": True,
            "stream": True,
        }
        text = ""
        async with self._client.stream("POST", CHAT, json=body) as response:
            assert response.status_code == 200, await response.aread()
            assert response.headers["x-jarvis-upstream"] == "pair"
            async for piece in response.aiter_text():
                self._num_begun += not text
                text += piece
                if self._num_begun >= BEGUN_BEFORE_DEATH:
                    self.have_begun.set()
        *_, last, rest = text.split("\n\n")
        assert rest == ""
        if last == "data: [DONE]":
            return "done"
        assert last.startswith("event: error\ndata: ")
        assert '"upstream":"pair"' in last
        assert "[DONE]" not in text
        return "failed"

    async def plain(self, number: int) -> str:
        response = await self._client.post(CHAT, json=_question(1000 + number))
        assert response.status_code == 200, response.text
        return "done"


def _question(number: int) -> dict[str, Any]:
    turn = {"role": "user", "content": f"{number} is a number. What is it?"}
    return {"model": MODEL_ID, "messages": [turn], "temperature": 0, "max_tokens": 20}


async def test_no_request_is_lost_where_one_of_two_is_killed(
    pair: tuple[UpstreamServer, UpstreamServer], before_pair: UpstreamServer, cache: Path
) -> None:
    one, _ = pair
    url, limits = before_pair.root_url, httpx2.Limits(max_connections=100)
    async with httpx2.AsyncClient(base_url=url, timeout=WAIT_S, limits=limits) as client:
        crowd = Crowd(client)
        streams = [asyncio.create_task(crowd.stream(number)) for number in range(NUM_STREAMS)]
        await crowd.have_begun.wait()
        # At once, while streams are under way there.
        one.process.kill()
        plain = [asyncio.create_task(crowd.plain(number)) for number in range(NUM_PLAIN)]
        await asyncio.to_thread(one.kill)
        ends = Counter(await asyncio.gather(*streams))
        assert await asyncio.gather(*plain) == ["done"] * NUM_PLAIN
        assert ends.total() == NUM_STREAMS
        assert ends["failed"] > 0, "none was under way at the one that died"
        assert ends["done"] > 0
        (told,) = (await client.get("/v1/upstreams")).json()["data"]
        assert told["is_usable"]
        assert {each["num_outstanding"] for each in told["endpoints"]} == {0}
        with running(_restarted(one, cache)) as (again,):
            assert again.root_url == one.root_url
            await _ask_until_answered_by(again, client)


def _restarted(server: UpstreamServer, cache: Path) -> Any:
    """The same again, where it was."""
    launch = jarvis(cache)
    port = server.root_url.rpartition(":")[2]
    return replace(launch, command=(*launch.command, "--port", port))


async def _ask_until_answered_by(server: UpstreamServer, client: httpx2.AsyncClient) -> None:
    for number in range(MOST_TRIES):
        response = await client.post(CHAT, json=_question(number) | {"max_tokens": 1})
        assert response.status_code == 200, response.text
        if any(map(ANSWERED.search, server.output)):
            return
    raise AssertionError("it is never asked again")


@pytest.fixture
def garage(cache: Path) -> Iterator[UpstreamServer]:
    with running(jarvis(cache)) as (server,):
        yield server


@pytest.fixture
def house(
    garage: UpstreamServer,
    upstream_servers: dict[str, UpstreamServer],
    cache: Path,
    tmp_path: Path,
) -> Iterator[UpstreamServer]:
    """An engine, with upstreams beside it that stand in for each other."""
    path = upstreams_file(
        tmp_path,
        entry("garage", "jarvis", garage.base_url),
        entry("box", "vllm", upstream_servers["vllm"].base_url),
        fallbacks={
            f"garage/{MODEL_ID}": [MODEL_ID],
            f"garage://{MODEL_ID}": ["garage/again", f"box/{MODEL_ID}", MODEL_ID],
        },
    )
    with running(jarvis(cache, JARVIS_UPSTREAMS_FILE=str(path))) as (server,):
        yield server


def test_an_engine_and_its_upstreams_stand_in_for_one_that_died(
    garage: UpstreamServer, house: UpstreamServer
) -> None:
    with opened(house) as client:
        for name, upstream in (
            (MODEL_ID, "local"),
            (f"garage/{MODEL_ID}", "garage"),
            (f"box/{MODEL_ID}", "box"),
        ):
            assert _who_answers(client, name) == (upstream, None)
        garage.kill()
        assert _who_answers(client, f"garage/{MODEL_ID}") == ("local", "garage=connection")
        by_box = ("box", "garage=connection, garage=connection")
        assert _who_answers(client, f"garage://{MODEL_ID}") == by_box
        off = client.post(
            CHAT,
            json=HELLO | {"model": f"garage/{MODEL_ID}"},
            headers={"x-jarvis-fallbacks": "off"},
        )
        assert off.status_code == 502
        assert off.json()["error"]["upstream"] == "garage"
        assert client.get("/health/ready").status_code == 200


def _who_answers(client: httpx2.Client, model: str) -> tuple[str | None, str | None]:
    """The same for every way of asking: by which upstream, after whose failures."""
    named = HELLO | {"model": model}
    text = {"model": model, "prompt": "Hello", "max_tokens": 2}
    answers = [
        client.post(CHAT, json=named),
        client.post(CHAT, json=named | {"stream": True}),
        client.post("/v1/completions", json=text),
        client.post("/v1/messages", json=named),
        client.post("/v1/messages", json=named | {"stream": True}),
        client.post("/v1/responses", json={"model": model, "input": "Hello", "temperature": 0}),
    ]
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    assert "I am Jarvis" in answers[0].text
    names = ("x-jarvis-upstream", "x-jarvis-attempts")
    ((upstream, attempts),) = {tuple(map(answer.headers.get, names)) for answer in answers}
    return upstream, attempts


def test_a_vllm_server_answers_where_the_engine_here_can_not_load(
    upstream_servers: dict[str, UpstreamServer], cache: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(MODEL.read_bytes()[:100_000])
    path = upstreams_file(
        tmp_path,
        entry("box", "vllm", upstream_servers["vllm"].base_url),
        fallbacks={"default": [f"box/{MODEL_ID}"]},
    )
    settings = {"JARVIS_MODEL_NAME": str(broken), "JARVIS_UPSTREAMS_FILE": str(path)}
    launch = replace(jarvis(cache, **settings), signs=(ON_ITS_PORT,))
    with running(launch) as (server,), opened(server) as client:
        assert _who_answers(client, "broken") == ("box", "local=unavailable")
        answer = client.post(CHAT, json=HELLO | {"model": "broken"}).json()
        assert answer["choices"][0]["message"]["content"] == "I am Jarvis"
        assert client.get("/health/ready").status_code == 503
