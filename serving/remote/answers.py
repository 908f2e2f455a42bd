"""Owns the answers of other servers to requests that this one understands, as events.

What passes through as it came is not made here. Knows no HTTP library.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import SecretStr

from backends.upstream import (
    Place,
    StreamedReply,
    UpstreamCall,
    UpstreamHost,
    WholeReply,
)
from core.errors import RequestError, UpstreamFailed, UpstreamRefused
from core.events import GenerationEnd, GenerationEvent
from core.messages import Conversation
from core.requests import GenerationRequest
from core.upstreams import UpstreamKind
from serving.remote.chat_events import AskedFor, ChatEvents, broken_answer
from serving.remote.chunks import DONE, event_data
from serving.remote.prompt_start import conversation_start, plain_start
from serving.remote.request_body import chat_body, completion_body, encoded
from serving.remote.targets import RemoteTarget
from serving.remote.written_messages import Body

_MAX_MESSAGE = 2000
# A server may send events by thousands at once: others run between them.
_EVENTS_IN_A_ROW = 64


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who may be asked, and what servers of each kind among them are sent."""

    places: tuple[Place, ...]
    bodies: Mapping[UpstreamKind, Body]


class RemoteAnswers:
    """Makes answers of all upstreams."""

    def __init__(self, host: UpstreamHost) -> None:
        self._host = host

    def prepare(
        self,
        request: GenerationRequest,
        target: RemoteTarget,
        on_begin: Callable[[str], None],
        client_key: SecretStr | None = None,
    ) -> "RemoteAnswer":
        """`on_begin` is told the upstream's name when its answer has begun.

        Places whose kind of server can't honour the request are left out. Raises UnsupportedField
        or InvalidValue where none can.
        """
        kinds = {place: self._host.kind_of(place.upstream) for place in target.places}
        bodies: dict[UpstreamKind, Body] = {}
        refusals: list[RequestError] = []
        for kind in dict.fromkeys(kinds.values()):
            try:
                bodies[kind] = _body(request, kind)
            except RequestError as error:
                refusals.append(error)
        if not bodies:
            raise refusals[0]
        asked = _Asked(tuple(place for place in kinds if kinds[place] in bodies), bodies)
        return RemoteAnswer(self._host, request, asked, on_begin, client_key)


class RemoteAnswer:
    """One choice. Nothing is sent before `events` is iterated; closing that ends the request."""

    choice = 0

    def __init__(
        self,
        host: UpstreamHost,
        request: GenerationRequest,
        asked: _Asked,
        on_begin: Callable[[str], None],
        client_key: SecretStr | None,
    ) -> None:
        self._host = host
        self._request = request
        self._asked = asked
        self._on_begin = on_begin
        self._client_key = client_key
        self._read: ChatEvents | None = None
        self._num_sent_bytes = 0

    @property
    def max_tokens(self) -> int | None:
        return self._request.max_tokens

    @property
    def num_prompt_tokens(self) -> int:
        return 0 if self._read is None else self._read.num_prompt_tokens

    @property
    def num_completion_tokens(self) -> int:
        return 0 if self._read is None else self._read.num_completion_tokens

    @property
    def queue_s(self) -> float | None:
        return None

    @property
    def num_sent_bytes(self) -> int:
        return self._num_sent_bytes

    async def events(self) -> AsyncGenerator[GenerationEvent, None]:
        """As AnswerSource has it. Raises UpstreamRefused too, before the first event."""
        call = self._call()
        reply = await self._host.send(call, self._asked.places)
        asked = AskedFor(self._request.ending.stop, self._request.tool_choice)
        read = self._read = ChatEvents(reply.upstream, asked)
        if isinstance(reply, WholeReply):
            _check(reply)
            self._begin(call, reply.upstream)
            for event in [*read.feed(reply.body), *read.end()]:
                yield event
            return
        async with aclosing(reply.events):
            self._begin(call, reply.upstream)
            async with aclosing(_events(reply, read)) as events:
                async for event in events:
                    yield event

    def _begin(self, call: UpstreamCall, upstream: str) -> None:
        bodies = call.fields_of_kinds.values()
        self._num_sent_bytes = min(
            sum(memoryview(field).nbytes for field in body.values()) for body in bodies
        )
        self._on_begin(upstream)

    def _call(self) -> UpstreamCall:
        of_kinds = {kind: encoded(body) for kind, body in self._asked.bodies.items()}
        prompt = self._request.prompt
        is_chat = isinstance(prompt, Conversation)
        start = (
            conversation_start(prompt) if isinstance(prompt, Conversation) else plain_start(prompt)
        )
        return UpstreamCall(
            id=self._request.id,
            path="chat/completions" if is_chat else "completions",
            fields={},
            is_stream=True,
            prompt_start=start,
            client_key=self._client_key,
            fields_of_kinds=of_kinds,
        )


def _body(request: GenerationRequest, kind: UpstreamKind) -> Body:
    if isinstance(request.prompt, Conversation):
        return chat_body(request, request.prompt, kind)
    return completion_body(request, kind)


async def _events(reply: StreamedReply, read: ChatEvents) -> AsyncGenerator[GenerationEvent, None]:
    """Those of a whole stream."""
    async for item in reply.events:
        for count, data in enumerate(event_data(item), 1):
            told = _told(data, read)
            is_end = bool(told) and isinstance(told[-1], GenerationEnd)
            if is_end:
                await _let_end(reply)
            for event in told:
                yield event
            if is_end:
                return
            if count % _EVENTS_IN_A_ROW == 0:
                await asyncio.sleep(0)
    raise broken_answer(reply.upstream, "its stream ended without saying so")


def _told(data: bytes, read: ChatEvents) -> Sequence[GenerationEvent]:
    return read.end() if data.strip() == DONE else read.feed(data)


async def _let_end(reply: StreamedReply) -> None:
    """A stream that is read to its end was a good one, and its connection can be used again; but
    nothing behind the answer is waited for more than once, or spoils it.
    """
    with suppress(UpstreamFailed):
        await anext(reply.events, None)


def _check(reply: WholeReply) -> None:
    """Raises UpstreamRefused, or UpstreamFailed for a status that tells nothing."""
    if 400 <= reply.status < 500:
        raise UpstreamRefused(
            f"the upstream {reply.upstream} refused the request: {_message(reply)}",
            upstream=reply.upstream,
            status=reply.status,
            media_type=reply.media_type,
            body=reply.body,
        )
    if not 200 <= reply.status < 300:
        raise broken_answer(reply.upstream, f"its status is {reply.status}")


def _message(reply: WholeReply) -> str:
    """The server's own words, wherever it puts them."""
    try:
        body: Any = msgspec.json.decode(reply.body)
    except (msgspec.MsgspecError, RecursionError):
        body = None
    for _ in range(2):
        fields = body if isinstance(body, dict) else {}
        found = fields.get("message") or fields.get("error") or fields.get("detail")
        if isinstance(found, str):
            return found[:_MAX_MESSAGE]
        body = found
    return f"status {reply.status}"
