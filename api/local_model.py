"""Owns the models in this process as a request sees them: services and names, or that there is
none.
"""

from dataclasses import dataclass

from starlette.requests import Request

from api.claims import check_allowed
from api.embedding_calls import ServedEmbedding
from api.served_names import ServedNames
from core.errors import ModelNotServed
from serving.remote.targets import LocalNames
from serving.service import GenerationService


def local_service(request: Request) -> GenerationService:
    """Raises ModelNotServed where the process holds no model, and other servers alone answer."""
    service: GenerationService | None = request.app.state.service
    if service is None:
        raise ModelNotServed(
            "no model is held here: JARVIS_INFERENCE_ENGINE is remote", param="model"
        )
    return service


def local_names(request: Request) -> ServedNames:
    """Those of the chat model. Not to be asked for where there is none."""
    names: ServedNames = request.app.state.names
    return names


def check_local(request: Request, name: str | None) -> None:
    """Raises ModelNotServed for a name that is not the chat model's, or not for this account."""
    check_allowed(request, name)
    local_names(request).check(name)


def chat_names(request: Request) -> LocalNames | None:
    """None where the process holds no model."""
    return None if request.app.state.service is None else local_names(request)


def embedding_names(request: Request) -> LocalNames | None:
    """Those that a request for vectors or scores is answered by here: the chat model's too, which
    are refused in words of their own. None where the process holds no model.
    """
    if request.app.state.service is None:
        return None
    embedding: ServedEmbedding | None = request.app.state.embedding
    return _EmbeddingNames(local_names(request), None if embedding is None else embedding.names)


@dataclass(frozen=True, slots=True)
class _EmbeddingNames:
    chat: ServedNames
    embedding: ServedNames | None

    @property
    def accepts_any(self) -> bool:
        return self.embedding is not None and self.embedding.accepts_any

    def lists(self, name: str) -> bool:
        own = self.embedding is not None and self.embedding.lists(name)
        return own or self.chat.lists(name)
