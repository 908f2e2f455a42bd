"""Owns one stream of events on its way: whole events out, as they came in, until [DONE].

Nothing is parsed after the first part of an answer: this is the path of every token.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from backends.remote.beginnings import EventReading, EventSense, read_event
from backends.remote.blanking import Blanking
from backends.remote.event_cutting import EventCutter, EventTooLong, end_before, split_events
from backends.remote.failures import TRANSPORT_ERRORS, error_failed, failed, transport_failed
from backends.remote.response_bodies import Incoming
from core.errors import UpstreamFailed, UpstreamFailure, UpstreamFault

# What is held back before the first part of an answer. More is given out: then the client waits
# for something that is worth to be seen.
MAX_HELD = 1024 * 1024
# How long, and for how many bytes, an answer's end is waited for behind [DONE].
END_S = 1.0
MAX_BEHIND_END = 64 * 1024
# A server may send events by thousands at once, which take a while to read.
_EVENTS_IN_A_ROW = 256
_FAULTS = (EventSense.ERROR, EventSense.UNREADABLE)

RunInBackground = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class EventRelay:
    """An EventStream over a response. `run_in_background` takes what is left to do at its end."""

    def __init__(
        self,
        upstream: str,
        incoming: Incoming,
        run_in_background: RunInBackground,
        blanking: Blanking,
    ) -> None:
        self._upstream = upstream
        self._incoming = incoming
        self._run_in_background = run_in_background
        self._blanking = blanking
        self._cutter = EventCutter()
        self._ready = b""
        self._failure: UpstreamFailed | None = None
        self._told_error: UpstreamFailure | None = None
        self._has_ended = False
        self._is_closed = False

    @property
    def told_error(self) -> UpstreamFailure | None:
        """What the server itself said went wrong, after which it said nothing more."""
        return self._told_error

    async def begin(self) -> None:
        """Waits for the first event with a part of the answer. Raises UpstreamFailed."""
        held = bytearray()
        has_begun = False
        while not has_begun and len(held) <= MAX_HELD:
            piece = await self._read()
            num_opening = await self._num_opening_bytes(piece)
            has_begun = num_opening < len(piece)
            answer = piece[num_opening:]
            held += piece[:num_opening]
            held += await self._until_end(answer) if _may_be_the_end(answer) else answer
        self._ready = bytes(held)

    def __aiter__(self) -> "EventRelay":
        return self

    async def __anext__(self) -> bytes:
        if self._ready:
            ready, self._ready = self._ready, b""
            return ready
        if self._has_ended or self._is_closed:
            raise StopAsyncIteration
        piece = await self._read()
        return await self._until_end(piece) if _may_be_the_end(piece) else piece

    async def aclose(self) -> None:
        if self._is_closed:
            return
        self._is_closed, self._ready = True, b""
        if self._has_ended:
            self._run_in_background(self._read_to_the_end())
        else:
            # Whoever is cancelled while closing must not leave half of a connection in the pool.
            await asyncio.wait([self._run_in_background(self._incoming.close())])

    async def _read(self) -> bytes:
        """One or more whole events in valid UTF-8."""
        if self._failure is not None:
            raise self._failure
        try:
            piece = await self._next_events()
        except UpstreamFailed as failure:
            self._failure = failure
            raise
        return piece if piece.isascii() else self._valid(piece)

    async def _next_events(self) -> bytes:
        try:
            while (piece := await self._incoming.next_piece()) is not None:
                if whole := self._cutter.feed(piece):
                    return whole
        except EventTooLong:
            raise self._broken("sent an event that does not end") from None
        except TRANSPORT_ERRORS as error:
            raise transport_failed(self._upstream, error) from error
        where = "in the middle of an event" if self._cutter.has_rest else "before it was done"
        raise self._broken(f"ended its answer {where}")

    def _valid(self, piece: bytes) -> bytes:
        """Those events before one that is not UTF-8; that one is a failure."""
        try:
            piece.decode()
        except UnicodeDecodeError as error:
            self._failure = self._broken("sent an event that is not UTF-8")
            valid = piece[: end_before(piece, error.start)]
            if not valid:
                raise self._failure from None
            return valid
        return piece

    async def _num_opening_bytes(self, piece: bytes) -> int:
        """Up to the first event with a part of the answer. Raises UpstreamFailed for an error."""
        length = 0
        async for event in _in_turns(split_events(piece)):
            reading = read_event(event)
            if reading.sense in _FAULTS:
                self._failure = self._event_failed(reading)
                raise self._failure
            if reading.sense is not EventSense.OPENING:
                break
            length += len(event)
        return length

    async def _until_end(self, piece: bytes) -> bytes:
        """Up to [DONE], or to an error of the server's own, which ends its stream as well."""
        length = 0
        async for event in _in_turns(split_events(piece)):
            reading = read_event(event)
            if reading.sense in (EventSense.DONE, EventSense.ERROR):
                self._has_ended = True
                return piece[:length] + self._last(event, reading)
            length += len(event)
        return piece

    def _last(self, event: bytes, reading: EventReading) -> bytes:
        """As the client gets it."""
        if reading.sense is EventSense.DONE:
            return event
        self._told_error = self._event_failed(reading).failure
        return self._blanking.of(event)

    def _event_failed(self, reading: EventReading) -> UpstreamFailed:
        if reading.sense is EventSense.UNREADABLE:
            return self._broken("sent an event that is not JSON")
        return error_failed(self._upstream, reading.status, reading.body)

    def _broken(self, what: str) -> UpstreamFailed:
        return failed(self._upstream, UpstreamFault.BROKEN, what)

    async def _read_to_the_end(self) -> None:
        """So that the connection can take another request; one that stays open is closed."""
        try:
            with suppress(TimeoutError, *TRANSPORT_ERRORS):
                async with asyncio.timeout(END_S):
                    await self._incoming.read_start(MAX_BEHIND_END)
        finally:
            await self._incoming.close()


def _may_be_the_end(piece: bytes) -> bool:
    """Whether its events are worth reading: to read each of them would cost most of a token."""
    return b"error" in piece or b"[DONE]" in piece


async def _in_turns(events: Sequence[bytes]) -> AsyncIterator[bytes]:
    """Lets others run between many of them."""
    for index, event in enumerate(events, 1):
        yield event
        if index % _EVENTS_IN_A_ROW == 0:
            await asyncio.sleep(0)
