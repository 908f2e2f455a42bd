"""Two of our servers as one upstream: each conversation stays with one, for its prefix cache; and a
corpus of requests that one of them answers as it does directly.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.parity.folding import folded
from tests.parity.requests import requests
from tests.parity.test_corpus import STREAM, alike, corpus
from tests.upstream_servers import MODEL_ID, UpstreamServer, remote, running
from tests.upstreams.through import (
    entry,
    joined,
    opened,
    stable,
    upstreams_file,
    without_upstream,
)

pytestmark = pytest.mark.engine

CHAT = "/v1/chat/completions"
NUM_CONVERSATIONS, NUM_TURNS, NUM_REQUESTS = 6, 4, 60
_CACHED = re.compile(rb'"cached_tokens":\d+')


@pytest.fixture(scope="module")
def before_two(
    upstream_servers: dict[str, UpstreamServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[UpstreamServer]:
    urls = [upstream_servers[name].base_url for name in ("jarvis", "jarvis_two")]
    folder: Path = tmp_path_factory.mktemp("before_two")
    path = upstreams_file(folder, entry("pair", "jarvis", *urls))
    with running(remote(JARVIS_UPSTREAMS_FILE=str(path))) as (server,):
        yield server


def conversations(client: httpx2.Client, salt: str) -> list[list[tuple[int, int]]]:
    """Of each turn of each conversation, how long its prompt was and how much of it was cached. The
    conversations take turns, as they do with several users; `salt` keeps them from others' caches.
    """
    turns = [[_system(number)] for number in range(NUM_CONVERSATIONS)]
    told: list[list[tuple[int, int]]] = [[] for _ in turns]
    for turn in range(NUM_TURNS):
        for number, messages in enumerate(turns):
            messages.append({"role": "user", "content": f"What is {number} + {turn}?"})
            body = {"model": MODEL_ID, "messages": messages, "temperature": 0, "max_tokens": 8}
            response = client.post(CHAT, json=body | {"cache_salt": salt})
            assert response.status_code == 200, response.text
            answer = response.json()
            messages.append(answer["choices"][0]["message"])
            usage = answer["usage"]
            cached = usage["prompt_tokens_details"]["cached_tokens"]
            told[number].append((usage["prompt_tokens"], cached))
    return told


def _system(number: int) -> dict[str, Any]:
    words = " ".join(f"Rule {line * number}: be kind to {line}." for line in range(20))
    return {"role": "system", "content": f"You serve house {number}. {words}"}


def test_a_conversation_stays_where_its_prefix_is_cached(
    before_two: UpstreamServer, upstream_servers: dict[str, UpstreamServer]
) -> None:
    with opened(upstream_servers["jarvis"]) as one, opened(before_two) as both:
        alone, shared = conversations(one, "alone"), conversations(both, "shared")
    assert [[length for length, _ in told] for told in shared] == [
        [length for length, _ in told] for told in alone
    ]
    for by_one, by_both in zip(alone, shared, strict=True):
        (first, _), *rest = by_both
        assert first > 100
        assert [cached for _, cached in rest] == [cached for _, cached in by_one[1:]]
        lengths = [length for length, _ in by_both]
        assert all(cached >= before for before, (_, cached) in zip(lengths, rest, strict=False))


def test_other_conversations_go_to_the_other_one(
    before_two: UpstreamServer, upstream_servers: dict[str, UpstreamServer]
) -> None:
    """By what each server has cached of them: asked directly once more, each knows its own."""
    salt = {"cache_salt": "spread", "temperature": 0, "max_tokens": 1, "model": MODEL_ID}
    asked = [salt | {"messages": [_system(number)]} for number in range(20, 36)]
    with opened(before_two) as both:
        for body in asked:
            assert both.post(CHAT, json=body).status_code == 200
    with opened(upstream_servers["jarvis"]) as one:
        known = [one.post(CHAT, json=body).json()["usage"] for body in asked]
    full = [u["prompt_tokens_details"]["cached_tokens"] > u["prompt_tokens"] / 2 for u in known]
    assert 0 < sum(full) < len(full)


def test_a_corpus_of_requests_is_answered_as_directly(
    proxy: httpx2.Client, upstream_servers: dict[str, UpstreamServer]
) -> None:
    made = corpus(NUM_REQUESTS, requests())
    bodies = [(path, body | more) for path, body in made for more in ({}, STREAM)]
    with opened(upstream_servers["jarvis_two"]) as client:
        direct = [client.post(path, json=body | {"model": MODEL_ID}) for path, body in bodies]
    named = {"model": f"jarvis-two/{MODEL_ID}"}
    through = [proxy.post(path, json=body | named) for path, body in bodies]
    answers = zip(bodies, direct, through, strict=True)
    different = [f"{body}:\n{a.text}\n{b.text}" for body, a, b in answers if not _are_same(a, b)]
    assert not different, f"{len(different)} differ; the first:\n{different[0]}"
    statuses = [answer.status_code for answer in direct]
    assert 0.5 < statuses.count(200) / len(statuses) < 1


def _are_same(direct: httpx2.Response, through: httpx2.Response) -> bool:
    """Byte for byte but for ids, times, and how much was cached, of which scores' last digits are a
    matter too.
    """
    assert through.headers["x-jarvis-upstream"] == "jarvis-two"
    if (status := through.status_code) != direct.status_code:
        return False
    if status != httpx2.codes.OK:
        return bool(without_upstream(through, "jarvis-two") == direct.json())
    if "logprob" in direct.text:
        fold: Callable[[Any], Any] = folded
        return bool(alike(fold(direct), fold(through)))
    return bool(_said(direct) == _said(through))


def _said(response: httpx2.Response) -> Any:
    said = _CACHED.sub(b"", stable(response.content))
    is_stream = response.headers["content-type"].startswith("text/event-stream")
    return joined(said) if is_stream else said
