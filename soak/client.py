"""Owns one client of the crowd: its key, its chance, and its requests, one after another."""

import asyncio
import time
from dataclasses import dataclass

from soak.ask import Ask
from soak.drawing import Draw
from soak.exchange import Connection, Reply
from soak.judging import fault_of
from soak.tally import Tally

_LONGEST_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the clients are, until when (of time.monotonic), and who counts."""

    port: int
    ends_s: float
    tally: Tally
    seed: str


class Client:
    """Sends `key` as one of the two headers that it may come in."""

    def __init__(self, place: Place, name: str, key: str, draw: Draw) -> None:
        self.draw = draw
        self.tally = place.tally
        self._place = place
        self._name = name
        self._key = key
        self._num_asked = 0
        self._connection = Connection(place.port)
        self._is_bearer = draw.one_of(True, False)

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._place.ends_s

    async def ask(self, ask: Ask) -> Reply:
        """Counted and judged. After a 429 a while passes, less than was asked for: the queue is
        to be full.
        """
        self._num_asked += 1
        reply = await self._connection.ask(ask, self._headers(ask))
        self.tally.add(ask, reply)
        fault = fault_of(ask, reply)
        if fault is not None:
            self.tally.add_fault(ask.kind, fault)
        if reply.status == 429:
            await self.rest(self.draw.seconds(0.1, _LONGEST_WAIT_S))
        return reply

    async def rest(self, seconds: float) -> None:
        """Or until the end, where that is sooner."""
        await asyncio.sleep(max(0.0, min(seconds, self._place.ends_s - time.monotonic())))

    def close(self) -> None:
        self._connection.close()

    def _headers(self, ask: Ask) -> dict[str, str]:
        request_id = f"soak-{self._place.seed}-{self._name}-{self._num_asked}"
        key = self._key if ask.key is None else ask.key
        if not key:
            return {"x-request-id": request_id}
        if self._is_bearer:
            return {"x-request-id": request_id, "authorization": f"Bearer {key}"}
        return {"x-request-id": request_id, "x-api-key": key}
