"""Owns how upstreams and their models are shown. No key, no header: only what states hold."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from backends.upstream import RemoteModel, UpstreamState
from core.lifecycle import EngineState, EngineStatus

_ENGINE = "remote"
# What servers list of a model that is not for other servers' clients: where its files are on their
# disk, how they were started, and what they allow whom.
_PRIVATE_FACTS = frozenset({"root", "path", "status", "permission", "permissions"})


def shown_upstreams(states: Sequence[UpstreamState]) -> list[dict[str, Any]]:
    """Each with its URLs, and the models by which it can be asked."""
    return [
        {
            "name": state.name,
            "kind": state.kind,
            "is_usable": state.is_usable,
            "endpoints": [asdict(endpoint) for endpoint in state.endpoints],
            "models": [_shown_place(model, state.name) for model in state.models],
        }
        for state in states
    ]


def shown_models(models: Iterable[RemoteModel], created: int) -> dict[str, dict[str, Any]]:
    """By name, as /v1/models has them: what the servers say, with who is asked first as owner.
    `created` is said of those that a server tells no such time of.
    """
    return {model.name: _shown_model(model, created) for model in models}


def remote_status(states: Sequence[UpstreamState]) -> EngineStatus:
    """READY where a server can be asked, LOADING until any was looked at."""
    endpoints = [endpoint for state in states for endpoint in state.endpoints]
    if any(state.is_usable for state in states) and any(
        endpoint.is_reachable is not None for endpoint in endpoints
    ):
        return EngineStatus(EngineState.READY, _ENGINE)
    if all(endpoint.is_reachable is None for endpoint in endpoints):
        return EngineStatus(EngineState.LOADING, _ENGINE)
    return EngineStatus(EngineState.FAILED, _ENGINE, reason="no upstream can be asked now")


def _shown_model(model: RemoteModel, created: int) -> dict[str, Any]:
    told = model.facts.get("created")
    return {
        **{name: each for name, each in model.facts.items() if name not in _PRIVATE_FACTS},
        "id": model.name,
        "object": "model",
        "created": told if type(told) is int else created,
        "owned_by": model.places[0].upstream,
        "upstreams": list(dict.fromkeys(place.upstream for place in model.places)),
    }


def _shown_place(model: RemoteModel, upstream: str) -> dict[str, Any]:
    own = next((place.model for place in model.places if place.upstream == upstream), model.name)
    return {
        "id": model.name,
        "upstream_model": own,
        "max_model_len": model.facts.get("max_model_len"),
    }
