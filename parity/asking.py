"""Asks a running server everything, some requests at a time. Compares nothing."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2

from parity.parts import Part, Question
from parity.questions import questions
from parity.transcript import Reply, Size, Transcript

_AT_ONCE = 8
_TIMEOUT_S = 600

# Called for each answer that has come.
Progress = Callable[[], None]


async def ask(url: str, label: str, size: Size, parts: set[Part], tell: Progress) -> Transcript:
    """Raises httpx2.HTTPError where the server goes away."""
    limits = httpx2.Limits(max_connections=_AT_ONCE)
    async with httpx2.AsyncClient(base_url=url, timeout=_TIMEOUT_S, limits=limits) as client:
        capabilities: dict[str, Any] = (await client.get("/v1/capabilities")).json()
        replies: dict[str, list[Reply]] = {}
        for part, asked in questions(size).items():
            if part in parts:
                replies[part] = await _ask_all(client, asked, tell)
    return Transcript(label, size, capabilities, replies)


def count(size: Size, parts: set[Part]) -> int:
    """How many requests that is."""
    return sum(len(asked) for part, asked in questions(size).items() if part in parts)


async def _ask_all(
    client: httpx2.AsyncClient, asked: list[Question], tell: Progress
) -> list[Reply]:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(question: Question) -> Reply:
        async with gate:
            response = await client.post(question.path, json=question.body)
        tell()
        return Reply(response.status_code, _told(response))

    return list(await asyncio.gather(*map(one, asked)))


def _told(response: httpx2.Response) -> Any:
    """The JSON of a body, the events of a stream, or what else there is, as an object's text."""
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        data = [line for line in response.text.split("\n") if line.startswith("data: ")]
        return [json.loads(line[6:]) for line in data if line != "data: [DONE]"]
    try:
        told = response.json()
    except ValueError:
        told = None
    return told if isinstance(told, dict) else {"text": response.text}
