"""Owns one HTTP connection: uvicorn's, with bounds on what a client may send, how long it may take
and how long it may read nothing. Knows no route.
"""

import asyncio
import logging
from enum import Enum, auto
from typing import Any

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from core.request_context import request_id as current_request_id
from core.request_scope import EarlyAnswer, new_request_id, put_early_answer, request_id_of
from hosting.connection_limits import ConnectionLimits, ConnectionStats
from hosting.reading import reading_mark, reset, unread_bytes
from hosting.refusal import (
    FULL,
    HOSTS,
    INVALID,
    PIPELINED,
    SLOW_BODY,
    SLOW_HEAD,
    TUNNEL,
    Refusal,
    Refused,
    large_head,
    long_url,
    many_headers,
    path_of,
)

logger = logging.getLogger(__name__)

_MAX_HEADERS = 256
_MAX_PIPELINED = 8
# How long a refused client may go on sending: a socket that closes with unread bytes resets the
# connection, and the client might never see the answer.
_LINGER_S = 2.0
# So many more get an answer that says so; beyond, a connection is closed without one.
_NUM_TOLD = 64
# What asks for another protocol, and goes with it.
_UPGRADE_HEADERS = frozenset((b"connection", b"upgrade", b"http2-settings"))


class _Phase(Enum):
    """What the client's next byte belongs to. BETWEEN: nothing of the next message has come."""

    BETWEEN = auto()
    HEAD = auto()
    BODY = auto()


# An Enum's attributes are slow to look up, for something that is asked at each header.
_BETWEEN, _HEAD, _BODY = _Phase.BETWEEN, _Phase.HEAD, _Phase.BODY


class Connection(HttpToolsProtocol):
    """`connection_class` gives it its limits.

    At most one timer waits for the client's bytes and one for its reading. A request whose bytes
    come at once starts none.
    """

    limits: ConnectionLimits
    stats: ConnectionStats

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._phase = _BETWEEN
        # What the parser may hold: bytes since the last message, whole head or piece of body.
        self._held_bytes = 0
        self._num_hosts = 0
        self._is_upgrading = False
        self._is_refusing = False
        self._answered: RequestResponseCycle | None = None
        self._read_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._reading_mark = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=self.limits.write_buffer_bytes)
        num_beyond = len(self.connections) - self.limits.connections
        if num_beyond <= 0:
            self._start_read_timer()
            return
        self.stats.num_beyond += 1
        if num_beyond > _NUM_TOLD:
            transport.abort()
        else:
            self._refuse(FULL)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_read_timer()
        self._stop_stall_timer()
        self._unset_keepalive_if_required()
        # uvicorn tells the newest request alone, which may be waiting behind this one.
        if self._answered is not None and not self._answered.response_complete:
            self._answered.disconnected = True
            self._answered.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refusing:
            return
        self._unset_keepalive_if_required()
        self._held_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._refuse(_refusal_of(error))
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on_without_upgrade(data[upgrade.args[0] :])
        else:
            # Most requests have come whole.
            if self._held_bytes or self._phase is not _BETWEEN or self.pipeline:
                self._look_after_next_bytes()

    def _look_after_next_bytes(self) -> None:
        limits = self.limits
        if self._held_bytes > limits.url_bytes + limits.header_bytes:
            is_url = self._phase is _HEAD and len(self.url) > limits.url_bytes
            url, head = long_url(limits.url_bytes), large_head(limits.header_bytes)
            self._refuse(url if is_url else head)
            return
        if self._read_timer is None:
            self._start_read_timer()
        # Read on behind an answer, or the client's going away would not be seen.
        if self.pipeline and len(self.cycle.body) <= HIGH_WATER_LIMIT:
            self.flow.resume_reading()

    # Called back by the parser.

    def on_message_begin(self) -> None:
        self._phase = _HEAD
        self._num_hosts = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers would become headers of a request that was already checked.
        if self._phase is _BODY:
            return
        name = name.lower()
        if name == b"host":
            self._num_hosts += 1
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._check_head()
        self._held_bytes = 0
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise Refused(TUNNEL)
            self._is_upgrading = True
            return
        self._phase = _BODY
        if self._read_timer is not None:
            self._stop_read_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._held_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._is_upgrading:
            return
        self._phase = _BETWEEN
        self._held_bytes = 0
        if self._read_timer is not None:
            self._stop_read_timer()
        super().on_message_complete()

    def _check_head(self) -> None:
        limits, headers = self.limits, self.headers
        if len(self.url) > limits.url_bytes:
            raise Refused(long_url(limits.url_bytes))
        if len(headers) > _MAX_HEADERS:
            raise Refused(many_headers(_MAX_HEADERS))
        # A head is no larger than the bytes it came in, so that few are measured.
        if self._held_bytes > limits.header_bytes and _size_of(headers) > limits.header_bytes:
            raise Refused(large_head(limits.header_bytes))
        if self._num_hosts != 1 and (self._num_hosts or self.parser.get_http_version() != "1.0"):
            raise Refused(HOSTS)
        if len(self.pipeline) >= _MAX_PIPELINED:
            raise Refused(PIPELINED)

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """A server may ignore the wish for another protocol. The parser would drop the body."""
        version = self.parser.get_http_version().encode()
        head = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        for name, value in self.headers:
            if name not in _UPGRADE_HEADERS:
                head.append(name + b": " + value)
            elif name == b"connection" and b"close" in value.lower():
                head.append(b"connection: close")
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._phase = _BETWEEN
        self._held_bytes = 0
        self._is_upgrading = False
        self.data_received(b"\r\n".join((*head, b"", b"")) + rest)

    # Requests and their answers.

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        if self._is_refusing:
            self._linger()
            return
        super().on_response_complete()
        self._watch_end()

    def shutdown(self) -> None:
        super().shutdown()
        self._watch_end()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._watch_end()

    def _refuse(self, refusal: Refusal) -> None:
        """Reads no further. An answer under way goes on to its end, and the connection closes."""
        self._is_refusing = True
        self._stop_read_timer()
        self._count(refusal)
        if self.transport.is_closing():
            return
        path, request_id = "", new_request_id()
        if self._phase is not _BETWEEN:
            path, request_id = path_of(self.url), request_id_of(self.scope["state"], self.headers)
        owed = self.cycle if self._phase is _BODY else None
        answered = self._answered
        if owed is None or owed is not answered:
            # Of what the application has begun with, it tells itself.
            _tell(refusal, request_id)
        if answered is not None and not answered.response_complete:
            if answered is not owed or answered.response_started:
                self.flow.resume_reading()
                return
            put_early_answer(self.scope["state"], EarlyAnswer(refusal.status, refusal.code))
            answered.disconnected = True
            answered.message_event.set()
        if owed is None or not owed.response_started:
            usual = self.server_state.default_headers
            self.transport.write(refusal.written(usual, path, request_id))
        self._linger()

    def _count(self, refusal: Refusal) -> None:
        if refusal.status == 408:
            self.stats.num_timed_out += 1
        elif refusal is not FULL:
            self.stats.num_refused += 1

    def _linger(self) -> None:
        if self.transport.is_closing():
            self._watch_end()
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._read_timer = self.loop.call_later(_LINGER_S, self.transport.abort)

    # Waiting for the client's bytes.

    def _start_read_timer(self) -> None:
        if self._phase is _BODY:
            timeout_s = self.limits.body_timeout_s
        elif self._phase is _HEAD or not self._is_answering():
            timeout_s = self.limits.header_timeout_s
        else:
            return
        self._read_timer = self.loop.call_later(timeout_s, self._on_slow)

    def _is_answering(self) -> bool:
        return self._answered is not None and not self._answered.response_complete

    def _stop_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _on_slow(self) -> None:
        self._refuse(SLOW_BODY if self._phase is _BODY else SLOW_HEAD)

    # Waiting for the client to read.

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_stall_timer()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_stall_timer()

    def _watch_end(self) -> None:
        """A closing transport waits for its last bytes to be read, for ever if need be. One with
        TLS may hold a whole answer without pausing.
        """
        if self.scheme == "https" or self.transport.is_closing():
            self._start_stall_timer()

    def _start_stall_timer(self) -> None:
        if self._stall_timer is None and unread_bytes(self.transport):
            self._reading_mark = reading_mark(self.transport)
            self._stall_timer = self.loop.call_later(self.limits.stall_timeout_s, self._on_stall)

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _on_stall(self) -> None:
        """Something was unread when the timer began: now that is less, or none of it was read."""
        self._stall_timer = None
        if reading_mark(self.transport) != self._reading_mark:
            self._start_stall_timer()
            return
        self.stats.num_stalled += 1
        logger.debug("stalled bytes=%d", unread_bytes(self.transport))
        reset(self.transport)


def connection_class(limits: ConnectionLimits, stats: ConnectionStats) -> type[Connection]:
    """What `uvicorn.Config(http=...)` takes."""
    return type("LimitedConnection", (Connection,), {"limits": limits, "stats": stats})


def _refusal_of(error: httptools.HttpParserError) -> Refusal:
    cause = error.__context__
    return cause.refusal if isinstance(cause, Refused) else INVALID


def _tell(refusal: Refusal, request_id: str) -> None:
    """The line of a request that no application tells of."""
    token = current_request_id.set(request_id)
    facts = {"status": refusal.status, "error": refusal.code}
    logger.info("refused", extra={"facts": facts})
    current_request_id.reset(token)


def _size_of(headers: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) for name, value in headers)
