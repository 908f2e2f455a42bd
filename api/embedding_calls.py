"""Owns one call to the embedding model: who serves it, a client that goes, what is told of it."""

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from api.claims import check_allowed
from api.disconnect import CLIENT_CLOSED_REQUEST, ClientGone, while_connected
from api.json_response import JsonResponse
from api.served_names import ServedNames
from api.visit import account_of, visit_of
from core.errors import DeadlineExceeded, RequestError
from core.observation import AnswerSummary, Outcome
from serving.embedding import EmbeddingService


@dataclass(frozen=True, slots=True)
class ServedEmbedding:
    """The embedding model's service, and the names it goes by."""

    service: EmbeddingService
    names: ServedNames


class Counted(Protocol):
    """A result that tells how many tokens were read for it."""

    @property
    def num_tokens(self) -> int: ...


Result = TypeVar("Result", bound=Counted)


def embedding_for(request: Request, model: str | None) -> ServedEmbedding:
    """Raises RequestError where there is no embedding model, or the name is the chat model's;
    ModelNotServed for any other name.
    """
    served: ServedEmbedding | None = request.app.state.embedding
    chat_names: ServedNames = request.app.state.names
    check_allowed(request, model or (served.names.model_id if served is not None else None))
    if served is None:
        raise RequestError(
            "no embedding model is served here: JARVIS_EMBEDDING_MODEL names one", param="model"
        )
    if model in chat_names.listed and model not in served.names.listed:
        raise RequestError(
            f"the model {model!r} answers chats; for vectors and scores the model that"
            f" JARVIS_EMBEDDING_MODEL names is served, {served.names.model_id!r}",
            param="model",
        )
    served.names.check(model)
    return served


class EmbeddingCall:
    """One request's work. The id is for the engine, the log and the answer."""

    def __init__(self, request: Request, num_inputs: int) -> None:
        self.id = uuid.uuid4().hex
        self._request = request
        self._num_inputs = num_inputs
        self._num_tokens: int | None = None

    @property
    def account(self) -> str:
        """The name of whom it is for."""
        return account_of(self._request).name

    def count(self, num_tokens: int) -> None:
        """The engine is given them: so many are charged, whatever becomes of them."""
        self._num_tokens = num_tokens

    async def answer(
        self,
        work: Coroutine[Any, Any, Result],
        body_of: Callable[[Result], dict[str, Any]],
        headers: Mapping[str, str],
    ) -> Response:
        """The body made of the work's result, in a thread. Work whose client goes is cancelled.

        Of what was refused before the engine had it, no answer is told: its status tells it.
        """
        outcome = Outcome.FAILED
        try:
            result = await while_connected(self._request, work)
            body = await asyncio.to_thread(body_of, result)
            outcome = Outcome.DONE
            return JsonResponse(body, headers=headers)
        except ClientGone:
            outcome = Outcome.GONE
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        except DeadlineExceeded:
            outcome = Outcome.EXPIRED
            raise
        finally:
            if self._num_tokens is not None or outcome is not Outcome.FAILED:
                visit_of(self._request).tell(self._summary(outcome))

    def _summary(self, outcome: Outcome) -> AnswerSummary:
        served: ServedEmbedding = self._request.app.state.embedding
        return AnswerSummary(
            id=self.id,
            account=self.account,
            model=served.names.model_id,
            outcome=outcome,
            num_prompt_tokens=self._num_tokens or 0,
            total_s=time.monotonic() - visit_of(self._request).arrived_at,
            num_choices=self._num_inputs,
        )


def usage_of(result: Counted) -> dict[str, int]:
    """Nothing is generated: the inputs are all there is."""
    return {"prompt_tokens": result.num_tokens, "total_tokens": result.num_tokens}
