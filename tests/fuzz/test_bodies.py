"""Bodies that are right but for a few places, for every route that takes one: answered or refused,
on the scripted backend and on a real one. Those of `tests/api/test_hostile_bodies.py` are few of
each route; these are as many as the options say.
"""

import asyncio
import json
from collections import Counter
from random import Random

import httpx
import pytest

from tests.api.example_bodies import EXAMPLES
from tests.api.mutations import as_json, mutated
from tests.fuzz.conftest import Attacked
from tests.threats.oracle import canary, refusal, tells_nothing

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

_AT_ONCE = 16
_SEED = 11
_ENDS = (b"data: [DONE]", b"event: message_stop", b"response.completed", b"response.incomplete")
_REFUSALS = (400, 404, 413, 415)


async def test_spoiled_bodies_are_answered_or_refused(attacked: Attacked, num_spoiled: int) -> None:
    alone = await canary(attacked.client)
    random, seen = Random(_SEED), Counter[int]()
    attacks = (spoiled(random) for _ in range(num_spoiled))

    async def attack() -> None:
        for path, data in attacks:
            head = {"content-type": "application/json"}
            response = await attacked.client.post(path, content=data, headers=head)
            judge(data, response)
            seen[response.status_code] += 1

    await asyncio.gather(*(attack() for _ in range(_AT_ONCE)))
    await attacked.is_idle()
    assert sum(seen.values()) == num_spoiled
    assert seen[200]
    assert seen[400]
    assert await canary(attacked.client) == alone
    assert (await attacked.client.get("/health")).status_code == 200


def spoiled(random: Random) -> tuple[str, bytes]:
    path = random.choice(list(EXAMPLES))
    return path, as_json(mutated(random.choice(EXAMPLES[path]), random), random)


def judge(data: bytes, response: httpx.Response) -> None:
    told = f"{response.request.url.path} {data[:2000]!r} {response.status_code} {response.text}"
    assert response.status_code < 500, told[:4000]
    if response.status_code >= 400:
        assert refusal(response, *_REFUSALS)["message"], told
    elif response.headers["content-type"].startswith("text/event-stream"):
        assert any(end in response.content for end in _ENDS), told
    else:
        assert isinstance(json.loads(response.content), dict), told
    tells_nothing(response)


async def test_every_route_that_takes_a_body_has_an_example(attacked: Attacked) -> None:
    described = (await attacked.client.get("/openapi.json")).json()["paths"]
    assert {path for path, each in described.items() if "requestBody" in each.get("post", {})} == (
        EXAMPLES.keys()
    )
