"""Owns the way of a request to who answers it: here, at other servers, and to what stands in."""

import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response

from api.claims import check_allowed, limit_time, passed_fields, salted
from api.disconnect import CLIENT_CLOSED_REQUEST, ClientGone
from api.known_models import known_model
from api.reading import read_json_bytes
from api.remote.attempts import LOCAL, UPSTREAM_HEADER, attempts_header, note_attempt
from api.remote.fields import PassedBody, check_sendable, is_stream, model_of, passed_body
from api.remote.pass_watch import AnswerKind, PassWatch
from api.remote.relay import reply_for, response_to_reply
from api.request_bounds import bounds_of
from api.request_watch import WatchLabels
from api.visit import account_of, visit_of
from backends.upstream import UpstreamCall, UpstreamHost
from core.errors import (
    DeadlineExceeded,
    InvalidValue,
    JarvisError,
    ModelNotServed,
    RequestError,
    ServerStopping,
    UnsupportedField,
    UpstreamFailed,
)
from core.observation import Outcome
from core.upstreams import UpstreamKind
from serving.remote.chain import PASSED_ON
from serving.remote.prompt_start import prompt_start_of
from serving.remote.targets import LocalNames, LocalTarget, ModelRouter, RemoteTarget, Target

logger = logging.getLogger(__name__)

FALLBACKS_HEADER = "x-jarvis-fallbacks"

AnswerHere = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Passage:
    """Where a kind of request goes at another server: a path as `UpstreamCall.path`, and the kinds
    of server that have it, all where None. `is_generated` where a model writes the answer,
    `is_vectors` where it computes numbers: else there is no answer to tell of.
    """

    path: str
    kinds: frozenset[UpstreamKind] | None = None
    is_generated: bool = False
    is_vectors: bool = False

    @property
    def answer_kind(self) -> AnswerKind:
        if self.is_generated:
            return AnswerKind.TEXT
        return AnswerKind.VECTORS if self.is_vectors else AnswerKind.NONE


async def routed(
    request: Request, passage: Passage, local: LocalNames | None, answer_here: AnswerHere
) -> Response:
    """What the first target answers that can. `local`: the names of the model that `answer_here`
    asks, None where there is none here.

    Raises what `answer_here` does, and ModelNotServed, InvalidValue, UnsupportedField or
    UpstreamFailed.
    """
    router = router_of(request)
    if router is None:
        return await answer_here(request)
    body = await passed_body(await read_json_bytes(request), bounds_of(request))
    limit_time(request, body.fields)
    targets = await targets_of(request, router, model_of(body.fields), local)
    journey = _Journey(request, passage, router.host, answer_here, body)
    return await journey.first_answer(targets)


def router_of(request: Request) -> ModelRouter | None:
    """None where there are no upstreams."""
    router: ModelRouter | None = request.app.state.router
    return router


async def targets_of(
    request: Request, router: ModelRouter, name: str | None, local: LocalNames | None
) -> tuple[Target, ...]:
    """At least one. Raises ModelNotServed, or InvalidValue for the header."""
    # What names no model is held against the account by who answers it here.
    if name or request.app.state.service is None:
        check_allowed(request, name)
    targets = await router.targets(name, local, has_fallbacks=_has_fallbacks(request))
    if not targets:
        said = "no model is named" if not name else f"the model {name[:200]!r} is not served"
        raise ModelNotServed(f"{said}; /v1/models lists those that are", param="model")
    return targets


class _Journey:
    """One request on its way from target to target."""

    def __init__(
        self,
        request: Request,
        passage: Passage,
        host: UpstreamHost,
        answer_here: AnswerHere,
        body: PassedBody,
    ) -> None:
        self._request = request
        self._passage = passage
        self._host = host
        self._answer_here = answer_here
        self._body = body
        self._id = uuid.uuid4().hex
        labels = _labels(request, self._id, body)
        self._watch = PassWatch(request, labels, len(body.text), passage.answer_kind)

    async def first_answer(self, targets: Sequence[Target]) -> Response:
        failure: JarvisError | None = None
        for target in targets:
            try:
                return await self._ask(target)
            except ServerStopping:
                self._watch.end("-", Outcome.FAILED)
                raise
            except PASSED_ON as error:
                failure = error
                note_failure(self._request, target.model, error)
            except RequestError:
                # Who stands in can't take it; the next one may.
                if failure is None:
                    raise
        assert failure is not None, "there was a target"
        if isinstance(failure, UpstreamFailed):
            self._watch.end(failure.failure.upstream, Outcome.FAILED)
        raise failure

    async def _ask(self, target: Target) -> Response:
        if isinstance(target, LocalTarget):
            return await self._ask_here(target)
        try:
            return await self._pass_on(target)
        except DeadlineExceeded:
            self._watch.end("-", Outcome.EXPIRED)
            raise
        except ClientGone:
            self._watch.end("-", Outcome.GONE)
            return Response(status_code=CLIENT_CLOSED_REQUEST)

    async def _ask_here(self, target: LocalTarget) -> Response:
        self._request.state.body = self._body.with_model(target.model)
        response = await self._answer_here(self._request)
        response.headers.update({UPSTREAM_HEADER: LOCAL, **attempts_header(self._request)})
        return response

    async def _pass_on(self, target: RemoteTarget) -> Response:
        check_sendable(self._body.fields)
        check_passage(self._passage, target, self._host)
        reply = await reply_for(self._request, self._host.send(self._call(target), target.places))
        return response_to_reply(self._request, reply, self._watch, attempts_header(self._request))

    def _call(self, target: RemoteTarget) -> UpstreamCall:
        is_generated = self._passage.is_generated
        fields = passed_fields(self._request, self._body.fields, is_generated=is_generated)
        if is_generated:
            fields = salted(self._request, fields, kinds_of(target, self._host))
        return UpstreamCall(
            id=self._id,
            path=self._passage.path,
            fields=fields,
            is_stream=is_stream(self._body.fields),
            prompt_start=prompt_start_of(self._body.fields),
            client_key=client_key(self._request),
        )


def _labels(request: Request, answer_id: str, body: PassedBody) -> WatchLabels:
    """Of an answer that passes: its model is one that is known, or `other`."""
    model, account = known_model(request, model_of(body.fields) or ""), account_of(request)
    return WatchLabels(
        answer_id,
        account.name,
        model,
        visit_of(request).arrived_at,
        is_limited=account.limits.counts_tokens,
    )


def note_failure(request: Request, model: str | None, error: JarvisError) -> None:
    """One target could not answer: the response will say so, and a line does."""
    note_attempt(request, error)
    logger.warning("model=%r passed on: %s", (model or "")[:200], error)


def check_passage(passage: Passage, target: RemoteTarget, host: UpstreamHost) -> None:
    """Raises UnsupportedField where no server of the target has the path."""
    kinds = kinds_of(target, host)
    if passage.kinds is not None and not kinds & passage.kinds:
        name = passage.path.strip("/")
        raise UnsupportedField(
            f"the model {target.model!r} is another server's, which has no {name} to ask",
            param="model",
        )


def kinds_of(target: RemoteTarget, host: UpstreamHost) -> frozenset[UpstreamKind]:
    """Of the servers that may answer."""
    return frozenset(host.kind_of(place.upstream) for place in target.places)


def client_key(request: Request) -> SecretStr | None:
    """What the client gave as its key, by either API's header."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return SecretStr(token.strip())
    key = request.headers.get("x-api-key")
    return SecretStr(key) if key else None


def _has_fallbacks(request: Request) -> bool:
    wanted = request.headers.get(FALLBACKS_HEADER, "on").strip().lower()
    if wanted not in ("on", "off"):
        raise InvalidValue(f"the header {FALLBACKS_HEADER} is {wanted[:80]!r}; allowed: on, off")
    return wanted == "on"
