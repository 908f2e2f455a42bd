"""Owns a wire whose documents are given by a test, for what only looks at servers."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from backends.upstream import UpstreamCall, UpstreamReply, WholeReply
from core.errors import UpstreamFailed, UpstreamFailure, UpstreamFault

Document = bytes | int | UpstreamFailed | Callable[[], Awaitable[bytes]]


def failure(name: str = "box", message: str = "it can't be reached") -> UpstreamFailed:
    return UpstreamFailed(message, UpstreamFailure(name, UpstreamFault.CONNECTION))


def listing(*names: str, **facts: Any) -> bytes:
    """A list of models as OpenAI's API writes it."""
    return json.dumps({"object": "list", "data": [{"id": n, **facts} for n in names]}).encode()


class DocumentWire:
    """Answers `get` with what is in `documents` by then: a body, a status, a failure, or what is
    to be waited for. `asked` holds the paths.
    """

    def __init__(self, url: str = "http://box/v1", **documents: Document) -> None:
        self.url = url
        self.documents: dict[str, Document] = dict(documents)
        self.asked: list[str] = []
        self.is_answering = False
        self.num_closed = 0
        self.changed = asyncio.Condition()

    async def get(self, path: str) -> WholeReply:
        self.asked.append(path)
        async with self.changed:
            self.changed.notify_all()
        document = self.documents.get(path.strip("/"), 404)
        if isinstance(document, UpstreamFailed):
            raise document
        if callable(document):
            document = await document()
        status, body = (document, b"") if isinstance(document, int) else (200, document)
        return WholeReply("box", status, "application/json", body)

    async def asked_for(self, path: str, times: int) -> None:
        """Returns when a path was asked for so often."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.asked.count(path) >= times)

    async def ask(self, call: UpstreamCall, model: str) -> UpstreamReply:
        if not self.is_answering:
            raise failure()
        return WholeReply("box", 200, "application/json", b"{}")

    async def close(self) -> None:
        self.num_closed += 1
