"""Owns the response that server-sent events go out in. Knows nothing of what they say."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

from sse_starlette import EventSourceResponse
from starlette.types import Message, Receive, Scope, Send

PING_INTERVAL_S = 15
_STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class EventStreamResponse(EventSourceResponse):
    """Ends its answer however it ends, and as soon as the client is known to have gone.

    A body that was never begun runs no `finally` of its own; and the cancellation of one that
    always has something to send may come late. `end` is told an outcome, and may be told again.
    """

    def __init__(
        self,
        frames: AsyncIterator[bytes],
        end: Callable[[str], None],
        headers: Mapping[str, str],
        *,
        is_ready: bool = False,
    ) -> None:
        """`is_ready`: the first of `frames` is there, and can go out before all else is set up."""
        super().__init__(
            frames,
            headers={**_STREAM_HEADERS, **headers},
            ping=PING_INTERVAL_S,
            sep="\n",
            client_close_handler_callable=self._on_gone,
        )
        self._end = end
        self._is_ready = is_ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, await self._begun(send))
        finally:
            self._end("gone")

    async def _begun(self, send: Send) -> Send:
        """Where the rest is sent to. Setting up the tasks around a stream takes a fifth of what a
        first token needs here.
        """
        if not self._is_ready:
            return send
        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(head)
        async for frame in self.body_iterator:
            await send({"type": "http.response.body", "body": frame, "more_body": True})
            break
        # What was sent leaves with the event loop's next turn.
        await asyncio.sleep(0)

        async def send_rest(message: Message) -> None:
            if message["type"] != "http.response.start":
                await send(message)

        return send_rest

    async def _send_with_timeout(self, send: Send, message: Message) -> None:
        """There is no time limit here, and the scope for one costs a fifth of a token's work."""
        await send(message)

    async def _on_gone(self, _: Message) -> None:
        self._end("gone")
