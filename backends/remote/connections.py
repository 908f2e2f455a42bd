"""Owns connections to one server: pooled, one request at a time on each, encrypted as it was set.

HTTP/2 is spoken where a server of https offers it, without several requests on one connection:
httpcore2 neither tells a server that a stream was given up, nor keeps one stream's time-out from
ending its neighbours. Closing a connection does both. Knows nothing of what is asked.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterable
from typing import Any, Protocol

import httpcore2
import httpx2

from backends.remote.plain_pool import PlainPool
from core.errors import ConfigurationError
from core.upstreams import Upstream

# Servers close idle connections after 5 s (uvicorn) to 75 s (nginx): ours go before that.
KEEPALIVE_S = 4.0
# Each idle connection is looked at for every request, which costs a system call.
MAX_IDLE = 32
# Marks a request whose connection was closed before it was answered.
_RESENT = "jarvis_resent"


class Pool(Protocol):
    """Connections to one server."""

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        """Returns when an answer's headers have come; it has to be closed. Raises httpcore2's
        TimeoutException, NetworkError or ProtocolError.
        """
        ...

    async def aclose(self) -> None: ...


def open_pool(upstream: Upstream, *, is_encrypted: bool) -> Pool:
    """Raises ConfigurationError where the authority's file can't be read.

    There is no limit to connections: how much is under way at once is decided where requests are
    admitted, and a second queue here would only hide it.
    """
    if not is_encrypted:
        return PlainPool(KEEPALIVE_S, MAX_IDLE)
    # It writes all headers to its log, keys among them.
    logging.getLogger("hpack").setLevel(logging.INFO)
    return _Pool(
        ssl_context=_tls_context(upstream),
        max_connections=None,
        max_keepalive_connections=MAX_IDLE,
        keepalive_expiry=KEEPALIVE_S,
        http2=True,
        network_backend=_EncryptedBackend(),
    )


def _tls_context(upstream: Upstream) -> ssl.SSLContext:
    """The environment has no say (SSL_CERT_FILE): who is trusted with a key stands in one place."""
    if not upstream.verify_ssl:
        return httpx2.create_ssl_context(verify=False, trust_env=False)
    if upstream.ca_file is None:
        return httpx2.create_ssl_context(trust_env=False)
    try:
        return ssl.create_default_context(cafile=str(upstream.ca_file))
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"upstream {upstream.name}: ca_file {upstream.ca_file} can't be read as certificates:"
            f" {error.strerror or error}"
        ) from error


class _Pool(httpcore2.AsyncConnectionPool):
    """A pool of connections that carry one request at a time."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._options = {
            name: options[name]
            for name in ("ssl_context", "keepalive_expiry", "http2", "network_backend")
        }

    def create_connection(self, origin: httpcore2.Origin) -> httpcore2.AsyncConnectionInterface:
        return _Connection(origin, **self._options)


class _Connection(httpcore2.AsyncHTTPConnection):
    """Closed as soon as a request on it was not answered to its end."""

    _was_used = False

    def is_available(self) -> bool:
        return super().is_available() and self.is_idle()

    def can_multiplex(self) -> bool:
        return False

    def has_expired(self) -> bool:
        """Also where more has come than was asked for: it would be taken for the next request's."""
        return super().has_expired() or (self.is_idle() and self._has_rest)

    @property
    def _has_rest(self) -> bool:
        inner = self._connection
        return isinstance(inner, httpcore2.AsyncHTTP11Connection) and bool(
            inner._h11_state.trailing_data[0]
        )

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        is_first, self._was_used = not self._was_used, True
        try:
            response = await super().handle_async_request(request)
        except httpcore2.ConnectionNotAvailable:
            raise
        except BaseException as error:
            await self.aclose()
            if not _was_closed_unanswered(error):
                raise
            if is_first or _RESENT in request.extensions:
                raise httpcore2.ReadError("closed without an answer") from error
            request.extensions[_RESENT] = True
            # The server was about to close it when the request came. The pool takes this as a word
            # to send the request on another connection. Once: it may be the request that it can't
            # stand.
            raise httpcore2.ConnectionNotAvailable from error
        if response.extensions["http_version"] != b"HTTP/2":
            return response
        content = _ClosingBody(response, self)
        return httpcore2.Response(
            response.status,
            headers=response.headers,
            content=content,
            extensions=response.extensions,
        )


def _was_closed_unanswered(error: BaseException) -> bool:
    """Whether a connection ended before the first line of an answer. An answer that is no HTTP is
    the same kind of error, with the parser's own as its cause.
    """
    if isinstance(error, httpcore2.RemoteProtocolError):
        return error.__cause__ is None
    return isinstance(error, httpcore2.ReadError | httpcore2.WriteError)


class _ClosingBody:
    """A body over HTTP/2. The library itself would keep a connection whose answer was given up, and
    the server would work on.
    """

    def __init__(self, response: httpcore2.Response, connection: _Connection) -> None:
        self._response = response
        self._connection = connection
        self._was_read = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        stream = self._response.stream
        assert not isinstance(stream, Iterable)
        pieces = aiter(stream)
        try:
            async for piece in pieces:
                yield piece
            self._was_read = True
        finally:
            await pieces.aclose()  # type: ignore[attr-defined]

    async def aclose(self) -> None:
        await self._response.aclose()
        if not self._was_read:
            await self._connection.aclose()


class _EncryptedBackend(httpcore2.AnyIOBackend):
    """Connects so that a cancelled handshake leaves nothing open."""

    async def connect_tcp(self, *args: Any, **options: Any) -> httpcore2.AsyncNetworkStream:
        return _BeforeTls(await super().connect_tcp(*args, **options))


class _BeforeTls(httpcore2.AsyncNetworkStream):
    """A connection that will be encrypted; nothing is read or written on it before."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            return _Encrypted(await self._stream.start_tls(ssl_context, server_hostname, timeout))
        except BaseException:
            await self._stream.aclose()
            raise

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Encrypted(httpcore2.AsyncNetworkStream):
    """What was decrypted already is read without a wait: a server that sends thousands of small
    pieces at once would let nobody else run.
    """

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        await asyncio.sleep(0)
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
