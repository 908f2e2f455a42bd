"""What a right answer to an attack is: refused in words that tell nothing of the inside, while and
after which somebody else's request is answered as if nothing had been, and which is not kept.
"""

import asyncio
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import psutil

from tests.engines import ROOT

JSON = {"content-type": "application/json"}
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")
_INSIDE = ("Traceback", "site-packages", "/proc/", "/home/", str(ROOT), sys.prefix)
_CANARY = {
    "messages": [{"role": "user", "content": "Say where you are."}],
    "temperature": 0,
    "max_tokens": 6,
}
MAX_ERROR_BYTES = 2000
# Who is still asked for an answer then hangs: refusals take milliseconds.
REFUSED_WITHIN_S = 10.0
HONOURED_WITHIN_S = 60.0
# What one attack may leave in the process that serves.
MAX_GROWTH_BYTES = 50 << 20


@dataclass(frozen=True)
class Target:
    """The server under attack. `alone` is what the canary was answered when nobody else asked."""

    client: httpx.AsyncClient
    alone: Mapping[str, Any]

    async def post(self, path: str, body: Mapping[str, Any] | bytes) -> httpx.Response:
        if isinstance(body, bytes):
            return await self.client.post(path, content=body, headers=JSON)
        return await self.client.post(path, json=body)

    async def chat(self, content: str = "hi", **fields: Any) -> httpx.Response:
        messages = [{"role": "user", "content": content}]
        body = {"messages": messages, "temperature": 0, "max_tokens": 6}
        return await self.post("/v1/chat/completions", body | fields)

    async def during(self, attack: "Attack", within_s: float = HONOURED_WITHIN_S) -> httpx.Response:
        """What the attack is answered. The canary and the health are asked meanwhile and
        afterwards; all have come within the time, and no memory is gone.
        """
        before = resident_bytes()
        async with asyncio.timeout(within_s):
            _, response = await asyncio.gather(
                self.is_unharmed(), self.post(attack.path, attack.body)
            )
            await self.is_unharmed()
        assert resident_bytes() - before < MAX_GROWTH_BYTES
        return response

    async def refuses(self, attack: "Attack", *statuses: int) -> dict[str, Any]:
        """The error, told in the shape of the path's API."""
        return refusal(await self.during(attack, REFUSED_WITHIN_S), *statuses)

    async def is_unharmed(self) -> None:
        said, health = await asyncio.gather(canary(self.client), self.client.get("/health"))
        assert said == self.alone
        assert health.status_code == 200


@dataclass(frozen=True)
class Attack:
    """One request."""

    path: str
    body: Mapping[str, Any] | bytes


def chat_attack(**fields: Any) -> Attack:
    hello = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 6}
    return Attack("/v1/chat/completions", hello | fields)


def completion_attack(**fields: Any) -> Attack:
    return Attack("/v1/completions", {"prompt": "hi", "max_tokens": 6} | fields)


async def canary(client: httpx.AsyncClient) -> Mapping[str, Any]:
    response = await client.post("/v1/chat/completions", json=_CANARY)
    assert response.status_code == 200, response.text
    choice: Mapping[str, Any] = response.json()["choices"][0]
    return choice


def resident_bytes() -> int:
    """Of this process, in which servers under attack run: what is theirs and not their engine's
    process'.
    """
    return int(psutil.Process().memory_info().rss)


def refusal(response: httpx.Response, *statuses: int) -> dict[str, Any]:
    """The error of a response with one of these statuses (400 where none is given)."""
    assert response.status_code in (statuses or (400,)), f"{response.status_code} {response.text}"
    tells_nothing(response)
    assert len(response.content) < MAX_ERROR_BYTES
    error: dict[str, Any] = response.json()["error"]
    if not response.request.url.path.startswith("/v1/messages"):
        assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error


def tells_nothing(response: httpx.Response) -> None:
    """No address, no path of this machine, no traceback."""
    assert not _ADDRESS.search(response.text), response.text
    assert not any(word in response.text for word in _INSIDE), response.text
