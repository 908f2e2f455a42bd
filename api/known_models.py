"""Owns how a model is called where a client's own words must not be repeated: in metrics."""

from itertools import islice

from starlette.requests import Request

from api.embedding_calls import ServedEmbedding
from api.served_names import ServedNames
from serving.remote.targets import ModelRouter

OTHER_MODEL = "other"
# Lists of other servers may be long, and change.
_MOST_ELSEWHERE = 256


def known_model(request: Request, name: str) -> str:
    """The name, where it is one that is listed; else `other`."""
    names: ServedNames = request.app.state.names
    embedding: ServedEmbedding | None = request.app.state.embedding
    if name in names.listed or (embedding is not None and name in embedding.names.listed):
        return name
    router: ModelRouter | None = request.app.state.router
    listed = () if router is None else router.host.models()
    is_listed = any(model.name == name for model in islice(listed, _MOST_ELSEWHERE))
    return name if is_listed else OTHER_MODEL
