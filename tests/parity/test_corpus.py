"""A thousand requests over all fields: the same response from both engines, streamed or not."""

import asyncio
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.parity.conftest import Pair
from tests.parity.folding import folded, plain, stable
from tests.parity.requests import requests, tool_requests

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]

# Of so many requests, as many again with tools or thoughts, in each of the other formats.
TOOL_SHARE = 10
AT_ONCE = 16
# Log-probabilities differ by rounding.
ROUNDING = 1e-3
STREAM = {"stream": True, "stream_options": {"include_usage": True}}
Request = tuple[str, dict[str, Any]]


def corpus(count: int, kinds: st.SearchStrategy[Request]) -> list[Request]:
    """Always the same ones; those that would draw at random are not among them."""
    made: list[Request] = []

    @settings(
        max_examples=2 * count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(kinds)
    def collect(request: Request) -> None:
        if request not in made:
            made.append(request)

    collect()
    assert len(made) >= count
    return made[:count]


async def post_all(client: httpx.AsyncClient, bodies: list[Request]) -> list[httpx.Response]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(path: str, body: dict[str, Any]) -> httpx.Response:
        async with gate:
            return await client.post(path, json=body)

    return list(await asyncio.gather(*(one(path, body) for path, body in bodies)))


def alike(left: Any, right: Any) -> bool:
    """Equal, but for the rounding of numbers that are not whole."""
    if isinstance(left, float) and isinstance(right, float):
        return abs(left - right) <= ROUNDING
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(alike(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(alike, left, right))
    return bool(left == right)


async def differences(pair: Pair, made: list[Request]) -> list[str]:
    """Of all four answers to each request: both engines, plain and streamed."""
    streams = [(path, body | STREAM) for path, body in made]
    ours, theirs = await post_all(pair.llama, made), await post_all(pair.vllm, made)
    our_streams, their_streams = (
        await post_all(pair.llama, streams),
        await post_all(pair.vllm, streams),
    )
    statuses = [response.status_code for response in ours]
    assert set(statuses) <= {200, 400}
    assert 0.5 < statuses.count(200) / len(made) < 0.97
    different: list[str] = []
    for request, *found in zip(made, ours, theirs, our_streams, their_streams, strict=True):
        if len({response.status_code for response in found}) != 1:
            different.append(f"{request}: {[(r.status_code, r.text[:300]) for r in found]}")
            continue
        whole = [stable(response.json()) for response in found[:2]]
        folds = [plain(whole[0]), *map(folded, found[2:])]
        if not alike(*whole) or not all(alike(folds[0], fold) for fold in folds[1:]):
            different.append(f"{request}:\n" + "\n".join(map(str, [*whole, *folds])))
    return different


async def test_every_response_is_the_same(pairs: dict[str, Pair], num_requests: int) -> None:
    different = await differences(pairs["chatml"], corpus(num_requests, requests()))
    assert not different, f"{len(different)} differ; the first:\n{different[0]}"


@pytest.mark.parametrize("name", ["llama3", "mistral", "thinking", "fallback"])
async def test_tools_and_thoughts_are_the_same(
    pairs: dict[str, Pair], name: str, num_requests: int
) -> None:
    made = corpus(max(num_requests // TOOL_SHARE, 20), tool_requests())
    different = await differences(pairs[name], made)
    assert not different, f"{len(different)} differ; the first:\n{different[0]}"
