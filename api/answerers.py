"""Owns who makes an answer's events for a model's name: the engine here, other servers, or one
where the other can't. Knows no API's fields.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from starlette.requests import Request

from api.claims import check_allowed, claimed, salted_for
from api.local_model import chat_names, check_local, local_names, local_service
from api.remote.attempts import (
    ATTEMPTS_HEADER,
    LOCAL,
    UPSTREAM_HEADER,
    attempts_of,
    header_text,
)
from api.remote.routing import client_key, kinds_of, note_failure, router_of, targets_of
from api.visit import account_of
from core.errors import EngineUnavailable, JarvisError
from core.requests import GenerationRequest
from core.sampling import SamplingPlan
from core.vocabulary import Vocabulary
from serving.answer_source import AnswerSource
from serving.remote.answers import RemoteAnswers
from serving.remote.chain import AnswerChain, Attempt
from serving.remote.counting import count_prompt
from serving.remote.targets import LocalTarget, RemoteTarget, Target
from serving.service import GenerationService

PrepareHere = Callable[[GenerationService, GenerationRequest], Awaitable[AnswerSource]]


@dataclass(frozen=True, slots=True)
class Answerer:
    """Those who can answer a request, in order. `headers` says who did, once the first event has
    come; it is empty where nobody else could have.
    """

    request: Request
    targets: Sequence[Target]
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def model_id(self) -> str:
        """As answers call it: its own id of the model here, else as the client does."""
        first = self.targets[0]
        return local_names(self.request).model_id if isinstance(first, LocalTarget) else first.model

    @property
    def defaults(self) -> SamplingPlan:
        """What is done for a request that says nothing of its sampling: OpenAI's, where it is not
        the engine here that decides, or that is not ready.
        """
        try:
            if isinstance(self.targets[0], LocalTarget):
                return local_service(self.request).facts.defaults.plan
        except EngineUnavailable:
            pass
        return SamplingPlan()

    @property
    def vocabulary(self) -> Vocabulary | None:
        """That of the model here; other servers tell no ids."""
        try:
            return local_service(self.request).card.vocabulary if self._has_local else None
        except EngineUnavailable:
            return None

    @property
    def _has_local(self) -> bool:
        return any(isinstance(target, LocalTarget) for target in self.targets)

    async def prepare(self, wanted: GenerationRequest, prepare_here: PrepareHere) -> AnswerSource:
        """Refuses, or accepts; no engine works yet. Raises RequestError or EngineUnavailable."""
        if router_of(self.request) is None:
            return await prepare_here(local_service(self.request), claimed(self.request, wanted))
        attempts = [self._attempt(target, wanted, prepare_here) for target in self.targets]
        chain = AnswerChain(attempts, self._note)
        await chain.prepare()
        return chain

    async def count(self, wanted: GenerationRequest) -> int:
        """How many tokens the prompt of messages has, for the first that is to answer. Raises
        UnsupportedField where that one can't be asked.
        """
        first, router = self.targets[0], router_of(self.request)
        if isinstance(first, RemoteTarget):
            assert router is not None, "there are other servers"
            return await count_prompt(router.host, wanted, first, client_key(self.request))
        assert not isinstance(wanted.prompt, str | tuple), "rendered from messages"
        service = local_service(self.request)
        account = account_of(self.request).name
        prompt = await service.render(wanted.prompt, wanted.tool_choice, wanted.thinking, account)
        return len(prompt.token_ids)

    def _attempt(
        self, target: Target, wanted: GenerationRequest, prepare_here: PrepareHere
    ) -> Attempt:
        if isinstance(target, RemoteTarget):
            return lambda: self._prepare_there(target, wanted)
        return lambda: self._prepare_here(wanted, prepare_here)

    async def _prepare_here(
        self, wanted: GenerationRequest, prepare_here: PrepareHere
    ) -> AnswerSource:
        claim = claimed(self.request, wanted)
        source = await prepare_here(local_service(self.request), claim)
        self._tell(LOCAL)
        return source

    async def _prepare_there(self, target: RemoteTarget, wanted: GenerationRequest) -> AnswerSource:
        router = router_of(self.request)
        assert router is not None, "there are other servers"
        answers = RemoteAnswers(router.host)
        ceiling = claimed(self.request, wanted).token_ceiling
        if wanted.max_tokens is None:
            wanted = replace(wanted, max_tokens=ceiling)
        wanted = salted_for(self.request, wanted, kinds_of(target, router.host))
        return answers.prepare(wanted, target, self._tell, client_key(self.request))

    def _note(self, error: JarvisError) -> None:
        note_failure(self.request, self.model_id, error)
        self.headers[ATTEMPTS_HEADER] = attempts_of(self.request)

    def _tell(self, upstream: str) -> None:
        self.headers[UPSTREAM_HEADER] = header_text(upstream)


async def answerer_for(request: Request, name: str | None) -> Answerer:
    """Raises ModelNotServed."""
    router = router_of(request)
    if router is None:
        check_local(request, name)
        return Answerer(request, (LocalTarget(name),))
    check_allowed(request, name)
    return Answerer(request, await targets_of(request, router, name, chat_names(request)))


async def prepare_one(service: GenerationService, wanted: GenerationRequest) -> AnswerSource:
    """The only choice of a request that wants one."""
    (generation,) = await service.prepare(wanted)
    return generation
