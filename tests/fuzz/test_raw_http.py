"""Whatever bytes come over a connection: whole answers of ours, or a closed connection; no 5xx."""

import asyncio
from collections import Counter
from random import Random

import pytest

from tests.fuzz.conftest import Attacked
from tests.fuzz.raw_client import RawResponse, exchange
from tests.fuzz.raw_requests import spoiled_bytes
from tests.threats.oracle import canary

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

_AT_ONCE = 32
_SEED = 7


async def test_spoiled_bytes_get_whole_answers_or_a_closed_connection(
    attacked: Attacked, num_spoiled: int
) -> None:
    alone = await canary(attacked.client)
    random, seen = Random(_SEED), Counter[int]()
    attacks = (spoiled_bytes(random) for _ in range(num_spoiled // 2))

    async def attack() -> None:
        for data in attacks:
            for response in (await exchange(attacked.port, data)).responses:
                judge(data, response)
                seen[response.status] += 1

    await asyncio.gather(*(attack() for _ in range(_AT_ONCE)))
    await attacked.is_idle()
    assert seen[200]
    assert seen[400]
    assert await canary(attacked.client) == alone
    assert (await attacked.client.get("/health")).status_code == 200


def judge(data: bytes, response: RawResponse) -> None:
    told = f"{data[:1500]!r} {response}"
    assert response.is_whole, told
    assert response.status < 500, told
    assert b"Traceback" not in response.body, told
    if response.status >= 400:
        assert len(response.body) < 2000, told


async def test_a_request_in_single_bytes_is_one_request(attacked: Attacked) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", attacked.port)
    for byte in b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n":
        writer.write(bytes([byte]))
        await writer.drain()
    assert (await reader.read()).endswith(b'{"status":"ok"}')
    writer.close()
    await writer.wait_closed()
