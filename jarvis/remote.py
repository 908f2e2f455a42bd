"""Owns other servers, as the library's calls see them: one that is asked, or several in order."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from backends.remote.checking import Look, look_at
from backends.remote.host import RemoteHost
from backends.remote.http_wire import HttpWire
from backends.upstream import BreakerState
from core.errors import EngineUnavailable, JarvisError, ModelNotServed, UpstreamRefused
from core.events import GenerationEvent
from core.requests import GenerationRequest
from core.upstreams import Upstream, UpstreamPlan
from jarvis.tool_prompting import explained, with_calls
from serving.answer_source import AnswerSource
from serving.remote.answers import RemoteAnswers
from serving.remote.chain import AnswerChain, Attempt
from serving.remote.targets import ModelRouter, RemoteTarget

_MOST_NAMED = 5
# The key, and the size: without tools it would be the same.
_OTHERWISE_REFUSED = (401, 402, 403, 413)


class RemoteEngine:
    """Implements Answering. A server that is down keeps no start from succeeding: it may be up for
    the next request.
    """

    def __init__(self, plan: UpstreamPlan, model: str | None) -> None:
        """Raises ConfigurationError."""
        self._model = model
        self._host = RemoteHost(plan)
        self._router = ModelRouter(self._host)
        self._answers = RemoteAnswers(self._host)
        # Beside the host's own: nobody waits for its next look, which may be a minute away.
        self._wires = [
            (upstream, HttpWire(upstream, url))
            for upstream in plan.upstreams
            for url in upstream.base_urls
        ]

    async def start(self) -> None:
        self._host.start()

    async def close(self) -> None:
        await asyncio.gather(self._host.close(), *(wire.close() for _, wire in self._wires))

    async def unavailability(self) -> str | None:
        """Looks at the servers, until one of them is well."""
        looks = [asyncio.ensure_future(self._look(*each)) for each in self._wires]
        reasons: list[str] = []
        try:
            for next_look in asyncio.as_completed(looks):
                reason = await next_look
                if reason is None:
                    return None
                reasons.append(reason)
        finally:
            for look in looks:
                look.cancel()
            await asyncio.gather(*looks, return_exceptions=True)
        return "; ".join(reasons)

    async def answer(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        """Where tools are refused, they are explained in the prompt."""
        try:
            async with aclosing(self._asked(request)) as events:
                async for event in events:
                    yield event
            return
        except UpstreamRefused as error:
            refusal, plain = error, explained(request)
            if plain is None or error.status in _OTHERWISE_REFUSED:
                raise
        try:
            async with (
                aclosing(self._asked(plain)) as answered,
                aclosing(with_calls(answered, request)) as events,
            ):
                async for event in events:
                    yield event
        except UpstreamRefused:
            # It was not about the tools, then.
            raise refusal from None

    async def _asked(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        targets = await self._router.targets(self._model, None)
        if not targets:
            raise await self._nobody()
        chain = AnswerChain([self._attempt(t, request) for t in targets], _unheard)
        await chain.prepare()
        async with aclosing(chain.events()) as events:
            async for event in events:
                yield event

    def _attempt(self, target: object, request: GenerationRequest) -> Attempt:
        assert isinstance(target, RemoteTarget), "there is no engine here"

        async def attempt() -> AnswerSource:
            return self._answers.prepare(request, target, _unheard)

        return attempt

    async def _nobody(self) -> JarvisError:
        reason = await self.unavailability()
        if reason is not None:
            return EngineUnavailable(reason)
        names = _listed([model.name for model in self._host.models()])
        if self._model is None:
            return ModelNotServed(f"model is missing: there are {names}", param="model")
        return ModelNotServed(
            f"no server has the model {self._model!r}: there are {names}", param="model"
        )

    async def _look(self, upstream: Upstream, wire: HttpWire) -> str | None:
        look: Look = await look_at(wire, upstream.kind)
        if not look.can_serve:
            return look.check.error or f"{wire.url} does not answer"
        if self._is_left_alone(upstream, wire):
            return f"upstream {upstream.name} answers, but its requests failed of late"
        return None

    def _is_left_alone(self, upstream: Upstream, wire: HttpWire) -> bool:
        """Whether the breaker lets no request pass."""
        states = (state for state in self._host.states() if state.name == upstream.name)
        endpoints = (each for state in states for each in state.endpoints)
        return any(e.url == wire.url and e.breaker is BreakerState.OPEN for e in endpoints)


def _unheard(_: object) -> None:
    """Of who answered, and who did not, the library tells nobody."""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more if names else "none"
