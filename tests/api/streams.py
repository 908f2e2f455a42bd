"""What tests of streams need: a gate for the engine's steps, and a stream's frames read."""

import asyncio
import json
from typing import Any

import httpx

from tests.api.served import Served


class Gate:
    """Lets a number of steps pass; tells when one is waited for, and when one was given up."""

    def __init__(self, num_open: int = 0) -> None:
        self._passes = asyncio.Semaphore(num_open)
        self.is_waited_for = asyncio.Event()
        self.is_left = asyncio.Event()

    async def __call__(self) -> None:
        if self._passes.locked():
            self.is_waited_for.set()
        try:
            await self._passes.acquire()
        except asyncio.CancelledError:
            self.is_left.set()
            raise

    def passed(self) -> Any:
        """For a backend's `gate`."""
        return self()

    def open(self, count: int = 1000) -> None:
        for _ in range(count):
            self._passes.release()


async def frames(response: httpx.Response) -> list[str]:
    text = "".join([part async for part in response.aiter_text()])
    return [frame for frame in text.split("\n\n") if frame]


def payloads(received: list[str]) -> list[dict[str, Any]]:
    lines = [frame.split("data: ", 1)[1] for frame in received if "data: " in frame]
    return [json.loads(line) for line in lines if line != "[DONE]"]


async def chunks_of(app: Served, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """All chunks of a stream that ends well."""
    async with app.client.stream("POST", path, json=body | {"stream": True}) as response:
        assert response.status_code == 200
        received = await frames(response)
    assert received[-1] == "data: [DONE]"
    return payloads(received)
