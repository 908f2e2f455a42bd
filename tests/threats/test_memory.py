"""What hostile requests leave in the server's memory: nothing that grows with them."""

import asyncio
import ctypes
import gc
import json
from collections.abc import Iterable, Iterator

import psutil
import pytest

from tests.threats import test_media, test_refused_requests, test_structures, test_unknown_fields
from tests.threats.conftest import EngineTarget, Scripted
from tests.threats.oracle import (
    REFUSED_WITHIN_S,
    Attack,
    Target,
    chat_attack,
    completion_attack,
    refusal,
    resident_bytes,
)

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

MIB = 1 << 20
# Of twice as much that was sent, or more.
MAX_LEFT_BYTES = 32 * MIB
NUM_ROUNDS = 4
NUM_SCHEMAS = 10_000
NUM_FIRST_SCHEMAS = 1000
NUM_AT_ONCE = 16


def known() -> list[Attack]:
    """Those of the other tests: each is refused by a rule of its own."""
    cases = (
        *test_refused_requests.TOO_MANY,
        *test_refused_requests.NO_SUCH_ID,
        *test_structures.REFUSED,
    )
    parts = [{"role": "user", "content": [part]} for part in test_media.PARTS.values()]
    return [
        *(each for case in cases for each in case.values if isinstance(each, Attack)),
        *(chat_attack(**{name: value}) for name, value in test_unknown_fields.IGNORED.values()),
        *(chat_attack(messages=[message]) for message in parts),
    ]


def padded(attack: Attack) -> Attack:
    """A MiB longer, and the same: whoever keeps the body, keeps that."""
    body = attack.body if isinstance(attack.body, bytes) else json.dumps(attack.body).encode()
    return Attack(attack.path, b" " * MIB + body)


def large(number: int) -> Iterator[Attack]:
    """A MiB where each field takes a text or a list, none like that of another number."""
    text = f"{number} " + "ж" * (MIB // 2)
    hello = [{"role": "user", "content": "hi"}]
    yield chat_attack(messages=[{"role": "user", "content": text}])
    yield chat_attack(messages=hello * 20_000)
    yield chat_attack(cache_salt=text)
    yield chat_attack(model=text)
    yield chat_attack(user=[text])
    yield chat_attack(stop=[text])
    yield chat_attack(metadata={text: text})
    yield chat_attack(chat_template=text)
    yield chat_attack(logit_bias={str(key): number for key in range(50_000)})
    yield chat_attack(tools=[{"type": "function", "function": {"name": text}}])
    yield test_structures.schema({"const": text})
    yield test_structures.structured(regex=text)
    yield test_structures.structured(grammar=f'root ::= "{text}"')
    yield completion_attack(prompt=text)
    yield completion_attack(prompt=[number] * 100_000)
    yield Attack("/v1/embeddings", {"input": [text]})
    yield Attack("/v1/responses", {"input": "hi", "previous_response_id": text})
    yield Attack("/v1/messages", {"max_tokens": 1, "messages": hello, "system": [text]})
    yield Attack("/v1/chat/completions", b"[" * MIB)
    yield Attack(f"/no/{number}", {"text": text})


async def sent(target: Target, attacks: Iterable[Attack]) -> None:
    for attack in attacks:
        async with asyncio.timeout(REFUSED_WITHIN_S):
            refusal(await target.post(attack.path, attack.body), 400, 404, 413)


def held_bytes() -> int:
    """What is resident, the engine's processes included, when all that was freed here is given
    back: it would hide what is kept.
    """
    gc.collect()
    # Of glibc alone.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    children = psutil.Process().children(recursive=True)
    return resident_bytes() + sum(each.memory_info().rss for each in children)


async def test_no_body_of_a_refused_request_is_kept(scripted_target: Scripted) -> None:
    attacks = known()
    assert len(attacks) * MIB > 2 * MAX_LEFT_BYTES
    # What is made once, on the first request of a kind, is no growth.
    await sent(scripted_target, attacks)
    before = held_bytes()
    await sent(scripted_target, map(padded, attacks))
    assert held_bytes() - before < MAX_LEFT_BYTES
    await scripted_target.is_unharmed()


async def test_no_large_value_of_a_refused_request_is_kept(scripted_target: Scripted) -> None:
    await sent(scripted_target, large(0))
    before = held_bytes()
    for number in range(1, NUM_ROUNDS + 1):
        await sent(scripted_target, large(number))
    assert held_bytes() - before < MAX_LEFT_BYTES
    await scripted_target.is_unharmed()


async def answered(target: Target, numbers: Iterator[int]) -> None:
    """One request after the other, a schema each that nobody has sent before."""
    for number in numbers:
        own = {"type": "object", "properties": {f"name{number}": {"const": f"value {number}"}}}
        attack = test_structures.schema(own)
        response = await target.post(attack.path, attack.body)
        assert response.status_code == 200, response.text


@pytest.mark.long
@pytest.mark.engine
@pytest.mark.timeout(1800)
async def test_cve_2025_29770_no_schema_of_very_many_is_kept(engine_target: EngineTarget) -> None:
    numbers = iter(range(NUM_FIRST_SCHEMAS))
    await asyncio.gather(*(answered(engine_target, numbers) for _ in range(NUM_AT_ONCE)))
    before = held_bytes()
    numbers = iter(range(NUM_FIRST_SCHEMAS, NUM_SCHEMAS))
    await asyncio.gather(*(answered(engine_target, numbers) for _ in range(NUM_AT_ONCE)))
    assert held_bytes() - before < MAX_LEFT_BYTES
    await engine_target.is_unharmed()
