"""Owns one answer of HTTP/1.1 while it is read: its status, its headers, its body in pieces.

Knows no connection: what came is fed to it, and its reader waits here.
"""

import asyncio

import httpcore2
import httptools

# What may wait for a slow reader before the server is made to wait too.
MAX_PENDING = 256 * 1024
# Bytes in a row that are no part of a body: headers, what stands around chunks.
MAX_BESIDE_BODY = 100 * 1024
_SWITCHING = 101


class Unanswered(httpcore2.ReadError):
    """The connection ended before anything of an answer came."""


class Answer:
    """Belongs to one event loop and has one reader. `flow` is where the bytes come from; `read_s`
    is the longest wait for more of them.
    """

    def __init__(self, flow: asyncio.ReadTransport, read_s: float) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.has_begun = False
        self._flow = flow
        self._read_s = read_s
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._num_pending = 0
        self._num_beside_body = 0
        self._has_received = False
        self._is_paused = False
        self._is_over = False
        self._is_reusable = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def begun(self) -> None:
        """Waits for the headers. Raises httpcore2's ReadError, ReadTimeout or RemoteProtocolError,
        as `next_piece` does.
        """
        while not self.has_begun:
            await self._more()

    async def next_piece(self) -> bytes | None:
        """What has come of the body since it was asked for last; None at its end."""
        while not self._pieces:
            if self._is_over:
                return None
            await self._more()
        pieces, self._pieces, self._num_pending = self._pieces, [], 0
        if self._is_paused:
            self._is_paused = False
            self._flow.resume_reading()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    @property
    def leaves_connection_clean(self) -> bool:
        """Whether it was read to its end, and the server goes on with the connection."""
        return self._is_over and self._is_reusable and not self._pieces and not self._is_paused

    def feed(self, data: bytes) -> None:
        """Takes what came. What is no answer of HTTP is an error for the reader."""
        self._has_received = True
        self._num_beside_body += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._is_reusable = False
            self._break(error)
        if self._num_beside_body > MAX_BESIDE_BODY:
            self._break(ValueError("headers without end"))
        if self._num_pending > MAX_PENDING and not self._is_paused:
            self._is_paused = True
            self._flow.pause_reading()
        self._wake()

    def end(self) -> None:
        """The server has closed the connection, which is the end of some answers."""
        if not self.has_begun:
            self.lose()
        elif self._is_until_close:
            self._is_over = True
        else:
            self._break(EOFError("the connection ended within a body"))
        self._wake()

    def lose(self) -> None:
        """The connection broke."""
        self.fail(httpcore2.ReadError() if self._has_received else Unanswered())

    def fail(self, error: Exception) -> None:
        """What came before stays to be read. An answer that is over stays as it is."""
        if not self._is_over and self._error is None:
            self._error = error
        self._is_reusable = False
        self._wake()

    # What the parser calls.

    def on_message_begin(self) -> None:
        # One more answer than was asked for: whose it is can't be known.
        self._is_reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.has_begun:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self.has_begun:
            return
        if status < 200 and status != _SWITCHING:
            self.headers.clear()
            return
        self.status = status
        self.has_begun = True

    def on_body(self, body: bytes) -> None:
        if not self._is_over:
            self._num_beside_body = 0
            self._num_pending += len(body)
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        if self.has_begun and not self._is_over:
            self._is_over = True
            self._is_reusable = self._parser.should_keep_alive()

    @property
    def _is_until_close(self) -> bool:
        """Whether nothing else says where its body ends."""
        names = {name.lower() for name, _ in self.headers}
        return not names & {b"content-length", b"transfer-encoding"}

    def _break(self, cause: Exception) -> None:
        error = httpcore2.RemoteProtocolError("no valid HTTP")
        error.__cause__ = cause
        self.fail(error)

    async def _more(self) -> None:
        """Until anything has come, or what was there is an error."""
        if self._error is not None:
            raise self._error
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(self._read_s, self.fail, httpcore2.ReadTimeout())
        try:
            await self._waiter
        finally:
            self._waiter = None
            timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
