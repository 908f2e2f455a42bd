"""Owns one URL of an upstream over HTTP: one request, one answer or one failure.

Does not repeat requests, and knows no other URL.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import httpcore2

from backends.remote.beginnings import error_status
from backends.remote.blanking import Blanking
from backends.remote.connections import open_pool
from backends.remote.event_relay import EventRelay
from backends.remote.failures import (
    TRANSPORT_ERRORS,
    StatusAnswer,
    error_failed,
    failed,
    status_failed,
    transport_failed,
)
from backends.remote.request_parts import Address, Headers, RequestHeaders, body_of
from backends.remote.response_bodies import (
    MAX_ANSWER,
    MAX_DOCUMENT,
    MAX_ERROR,
    MAX_REFUSAL,
    BodyTooLarge,
    Incoming,
    error_of,
    is_json,
)
from backends.upstream import StreamedReply, UpstreamCall, UpstreamReply, WholeReply
from core.errors import UpstreamFailed, UpstreamFault
from core.upstreams import Upstream

# Of those below 500 these say that it is not the request's fault.
_ASK_OTHERS = (408, 429)
# No client could be told a higher one.
_FIRST_ERROR_STATUS = 400
_LAST_STATUS = 599
_CLOSED = "is no longer used: this process closes, or its settings changed"


@dataclass(frozen=True, slots=True)
class WireLimits:
    """What is read at most, in bytes, and how long documents and the bodies of errors may take, in
    seconds. Such a body is not worth a long wait: its status says what is to be done.
    """

    max_answer: int = MAX_ANSWER
    max_document: int = MAX_DOCUMENT
    document_s: float = 10.0
    error_body_s: float = 5.0


class HttpWire:
    """A Wire. `base_url` is one of the upstream's."""

    def __init__(self, upstream: Upstream, base_url: str, limits: WireLimits | None = None) -> None:
        """Connects to nothing. Raises ConfigurationError for what no request could be made with."""
        self._name, self._kind = upstream.name, upstream.kind
        self._limits = limits or WireLimits()
        self._address = Address(base_url, upstream.kind)
        self._headers = RequestHeaders(upstream, self._address.host)
        self._blanking = Blanking(upstream)
        self._pool = open_pool(upstream, is_encrypted=self._address.is_encrypted)
        timeouts = upstream.timeouts
        self._timeouts = {
            "connect": timeouts.connect_s,
            "read": timeouts.read_s,
            "write": timeouts.read_s,
        }
        # A server that sends its headers letter by letter is bounded as well.
        self._headers_s = timeouts.connect_s + timeouts.read_s
        self._under_way: set[asyncio.Timeout] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @property
    def url(self) -> str:
        return self._address.shown

    async def ask(self, call: UpstreamCall, model: str) -> UpstreamReply:
        try:
            reply = await self._ask(call, model)
        except UpstreamFailed as error:
            raise self._blanking.of_failure(error) from None
        if isinstance(reply, WholeReply) and reply.status >= _FIRST_ERROR_STATUS:
            return replace(reply, body=self._blanking.of(reply.body))
        return reply

    async def _ask(self, call: UpstreamCall, model: str) -> UpstreamReply:
        body = body_of(call, model, self._kind)
        headers = self._headers.of(call.client_key, body)
        async with self._bounded(self._headers_s) as limit:
            incoming = await self._send("POST", call.path, headers, body)
            try:
                if not limit.expired():
                    limit.reschedule(None)
                reply = await self._reply(incoming, call)
            except BaseException:
                # Whoever is cancelled meanwhile must not leave half of a connection in the pool.
                await asyncio.wait([self._run_in_background(incoming.close())])
                raise
            if isinstance(reply, WholeReply):
                await incoming.close()
            return reply

    async def get(self, path: str) -> WholeReply:
        async with self._bounded(self._limits.document_s):
            incoming = await self._send("GET", path, self._headers.of(None, None), None)
            try:
                reply = await self._whole(incoming, self._limits.max_document)
            finally:
                await incoming.close()
        return replace(reply, body=self._blanking.of(reply.body))

    async def close(self) -> None:
        self._is_closed = True
        for limit in self._under_way:
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())
        for task in self._endings:
            task.cancel()
        await asyncio.gather(*self._endings, return_exceptions=True)
        await self._pool.aclose()

    @asynccontextmanager
    async def _bounded(self, seconds: float) -> AsyncIterator[asyncio.Timeout]:
        """Ends what is done in it after `seconds`, or when this wire closes."""
        if self._is_closed:
            raise self._failed(UpstreamFault.UNAVAILABLE, _CLOSED)
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                self._under_way.add(limit)
                yield limit
        except TRANSPORT_ERRORS as error:  # TimeoutError is one
            if self._is_closed:
                raise self._failed(UpstreamFault.UNAVAILABLE, _CLOSED) from None
            if isinstance(error, TimeoutError):
                raise self._failed(UpstreamFault.TIMEOUT, "took too long to answer") from None
            raise transport_failed(self._name, error) from error
        finally:
            self._under_way.discard(limit)

    async def _send(self, method: str, path: str, headers: Headers, body: bytes | None) -> Incoming:
        request = httpcore2.Request(
            method,
            self._address.url_of(path),
            headers=headers,
            content=body,
            extensions={"timeout": self._timeouts},
        )
        return Incoming(await self._pool.handle_async_request(request))

    async def _reply(self, incoming: Incoming, call: UpstreamCall) -> UpstreamReply:
        status = incoming.status
        if status > _LAST_STATUS:
            raise self._failed(
                UpstreamFault.BROKEN, f"answered with status {status}, which is none"
            )
        if not (200 <= status < 300 or _is_refusal(status)):
            raise await self._status_failed(incoming)
        try:
            return await self._answer(incoming, call)
        except UpstreamFailed as error:
            failure = error.failure
            if failure.status is None or not _is_refusal(failure.status):
                raise
            # Some servers say success before they have looked at the request.
            return WholeReply(self._name, failure.status, failure.media_type, failure.body)

    async def _answer(self, incoming: Incoming, call: UpstreamCall) -> UpstreamReply:
        status = incoming.status
        if call.is_stream and status < 300 and incoming.is_event_stream and not incoming.is_encoded:
            relay = EventRelay(self._name, incoming, self._run_in_background, self._blanking)
            await relay.begin()
            return StreamedReply(self._name, relay)
        if _is_refusal(status):
            body = b"" if incoming.is_encoded else await incoming.read_start(MAX_REFUSAL)
            return WholeReply(self._name, status, incoming.media_type, body)
        reply = await self._whole(incoming, self._limits.max_answer)
        self._check_json(reply)
        return reply

    async def _whole(self, incoming: Incoming, max_bytes: int) -> WholeReply:
        if incoming.is_encoded:
            raise self._failed(UpstreamFault.BROKEN, "compressed its answer, which was declined")
        try:
            body = await incoming.read(max_bytes)
        except BodyTooLarge:
            what = f"sent an answer of more than {max_bytes} bytes"
            raise self._failed(UpstreamFault.BROKEN, what) from None
        return WholeReply(self._name, incoming.status, incoming.media_type, body)

    async def _status_failed(self, incoming: Incoming) -> UpstreamFailed:
        body = b""
        with suppress(TimeoutError, *TRANSPORT_ERRORS):
            if not incoming.is_encoded:
                async with asyncio.timeout(self._limits.error_body_s):
                    body = await incoming.read_start(MAX_ERROR)
        return status_failed(self._name, StatusAnswer(incoming.status, incoming.headers, body))

    def _check_json(self, reply: WholeReply) -> None:
        if not is_json(reply.body):
            raise self._failed(UpstreamFault.BROKEN, "sent an answer that is not JSON")
        error = error_of(reply.body)
        if error is not None:
            raise error_failed(self._name, error_status(error), reply.body)

    def _failed(self, fault: UpstreamFault, what: str) -> UpstreamFailed:
        return failed(self._name, fault, what)

    def _run_in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
        return task


def _is_refusal(status: int) -> bool:
    """Whether it is the request's fault: others would say the same."""
    return 400 <= status < 500 and status not in _ASK_OTHERS
