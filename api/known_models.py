"""Owns how a model is called where a client's own words must not be repeated: in metrics."""

from itertools import islice

from starlette.requests import Request

from api.embedding_calls import ServedEmbedding
from api.served_names import ServedNames
from backends.upstream import UpstreamHost
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
    return OTHER_MODEL if router is None else _known_elsewhere(router.host, name)


def _known_elsewhere(host: UpstreamHost, name: str) -> str:
    """By the name alone, or behind that of an upstream or its kind."""
    listed = tuple(islice(host.models(), _MOST_ELSEWHERE))
    if any(model.name == name for model in listed):
        return name
    for separator in ("://", "/"):
        prefix, _, rest = name.partition(separator)
        there = [
            (model.name, place.model)
            for model in listed
            for place in model.places
            if prefix in (place.upstream, host.kind_of(place.upstream))
        ]
        # Behind a prefix too, a name of ours goes before the server's own.
        found = [own for own, _ in there if own == rest]
        found += [own for own, inner in there if inner == rest]
        if found:
            return found[0]
    return OTHER_MODEL
