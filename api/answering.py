"""Owns how an accepted request is answered: as one body, or as server-sent events.

Both fold the same events. The response begins when the first event has come, so that an engine
that fails before is told by status; a failure after it is an `error` event, then the end.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from api.bodies import Answer, Labels
from api.disconnect import CLIENT_CLOSED_REQUEST, ClientGone, while_connected
from api.event_stream import EventStreamResponse
from api.frames import Frames, UsageStyle
from api.json_response import JsonResponse
from api.known_models import known_model
from api.local_model import local_service
from api.pump import Arrived, EventPump
from api.request_watch import RequestWatch, WatchLabels, outcome_of
from api.scoring import ChoiceScores
from api.shapes import AnswerShape, ChatShape
from api.visit import account_of, visit_of
from core.errors import JarvisError, RequestError, TooManyRequests
from core.events import PromptScored, TextDelta
from core.observation import Outcome
from serving.answer_source import AnswerSource
from serving.generation import Generation

# Scores of more tokens are shown beside the event loop: each may have 20 best ones.
_INLINE_SCORED = 256


@dataclass(frozen=True, slots=True)
class AnswerStyle:
    """How the client wants the answer, and what it is told beside it."""

    shape: AnswerShape
    labels: Labels
    is_stream: bool
    usage: UsageStyle
    headers: Mapping[str, str]


class Content(Protocol):
    """An answer that grows as events come, in the words of one API."""

    @property
    def id(self) -> str: ...

    @property
    def model_id(self) -> str:
        """As the answer calls its model."""
        ...

    def add(self, arrived: Arrived) -> None: ...

    def whole(self) -> dict[str, Any]:
        """The body of the plain answer, once all choices have ended."""
        ...

    def end(self, outcome: str) -> None:
        """Told once, with `done`, `failed`, or `gone` where the client left or cancelled."""
        ...


class FrameSource(Protocol):
    """The bytes of a stream. Each is asked for after `Content.add` saw the events."""

    def opening(self) -> bytes: ...

    def of(self, arrived: Arrived) -> bytes: ...

    def closing(self) -> bytes: ...

    def error(self, error: JarvisError) -> bytes: ...


async def answer(
    request: Request, generations: Sequence[Generation], style: AnswerStyle
) -> Response:
    """Raises EngineUnavailable or EngineFailed where nothing was sent yet."""
    vocabulary = local_service(request).card.vocabulary
    is_chat = isinstance(style.shape, ChatShape)
    scores = [ChoiceScores(vocabulary, each, is_chat=is_chat) for each in generations]
    content = Answer(style.shape, style.labels, generations, scores)
    frames = Frames(content, style.usage) if style.is_stream else None
    return await reply_with(request, generations, content, frames, style.headers)


async def reply_with(
    request: Request,
    generations: Sequence[AnswerSource],
    content: Content,
    frames: FrameSource | None,
    headers: Mapping[str, str],
) -> Response:
    """A stream of `frames`, or without them the whole content as one body.

    Raises QueueFull, DeadlineExceeded, EngineUnavailable or EngineFailed where nothing was sent
    yet.
    """
    visit = visit_of(request)
    pump = EventPump(generations, request.app.state.running)
    labels = watch_labels(request, content, headers)
    reply = _Reply(content, pump, visit.watched(RequestWatch(labels, generations, visit.observers)))
    visit.cutoff.on_cut(pump.fail)
    try:
        if frames is not None:
            return await reply.streamed(request, frames, headers)
        return await reply.plain(request, headers)
    except ClientGone:
        reply.end(Outcome.GONE)
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    except (RequestError, TooManyRequests) as error:
        if not reply.has_begun:
            # Its status tells it: no answer was begun that could have failed.
            visit.watch = None
        reply.end(outcome_of(error), is_told=reply.has_begun)
        raise
    except BaseException as error:
        reply.end(outcome_of(error))
        raise


def watch_labels(request: Request, content: Content, headers: Mapping[str, str]) -> WatchLabels:
    """How observers are told of an answer."""
    account = account_of(request)
    return WatchLabels(
        content.id,
        account.name,
        known_model(request, content.model_id),
        visit_of(request).arrived_at,
        headers,
        is_limited=account.limits.counts_tokens,
    )


class _Reply:
    """One answer under way, with the pump that feeds it."""

    def __init__(self, content: Content, pump: EventPump, watch: RequestWatch) -> None:
        self._content = content
        self._pump = pump
        self._watch = watch
        self._num_scored = 0
        self._is_over = False
        self.has_begun = False

    def end(self, outcome: str, *, is_told: bool = True) -> None:
        """Aborts what has not ended. The first outcome told is the one that counts; observers are
        told of it where `is_told`.
        """
        if self._is_over:
            return
        self._is_over = True
        self._pump.close()
        self._content.end(outcome)
        if is_told:
            self._watch.end(Outcome(outcome))

    async def plain(self, request: Request, headers: Mapping[str, str]) -> Response:
        await while_connected(request, self._collect())
        self.end(Outcome.DONE)

        def made() -> Response:
            return JsonResponse(self._content.whole(), headers=headers)

        return await asyncio.to_thread(made) if self._num_scored > _INLINE_SCORED else made()

    async def streamed(
        self, request: Request, frames: FrameSource, headers: Mapping[str, str]
    ) -> Response:
        first = await while_connected(request, self._take())
        return EventStreamResponse(self._body(frames, first), self.end, headers)

    async def _take(self) -> Arrived:
        arrived = await self._pump.take()
        self.has_begun = True
        self._num_scored += _num_scored(arrived)
        self._watch.see(arrived)
        if _num_scored(arrived) <= _INLINE_SCORED:
            self._content.add(arrived)
            return arrived
        for index, events in arrived.items():
            for event in events:
                self._content.add({index: [event]})
                # Others' turn: all of them at once could take seconds.
                await asyncio.sleep(0)
        return arrived

    async def _collect(self) -> None:
        while await self._take():
            pass

    async def _body(self, frames: FrameSource, first: Arrived) -> AsyncIterator[bytes]:
        """What came at once goes out at once: sse-starlette passes bytes on as they are."""
        outcome = Outcome.GONE
        try:
            yield frames.opening() + await _framed(frames, first)
            while arrived := await self._take():
                yield await _framed(frames, arrived)
            outcome = Outcome.DONE
            is_large = self._num_scored > _INLINE_SCORED
            yield await asyncio.to_thread(frames.closing) if is_large else frames.closing()
        except JarvisError as error:
            outcome = outcome_of(error)
            yield frames.error(error)
        finally:
            self.end(outcome)


async def _framed(frames: FrameSource, arrived: Arrived) -> bytes:
    if _num_scored(arrived) <= _INLINE_SCORED:
        return frames.of(arrived)
    return await asyncio.to_thread(frames.of, arrived)


def _num_scored(arrived: Arrived) -> int:
    """How many tokens came with scores."""
    scored = (TextDelta, PromptScored)
    return sum(
        len(event.scores)
        for events in arrived.values()
        for event in events
        if isinstance(event, scored)
    )
