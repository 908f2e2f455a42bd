"""Owns what each path needs: nothing for health, a key for all else, known path or not. Decides by
the path that is routed, never by one that is put together from headers.
"""

from collections.abc import Mapping
from typing import Any

from core.access import Role

_OPEN_METHODS = ("GET", "HEAD")
_OPEN_PATHS = ("/health", "/health/ready")
_USE = frozenset({Role.USE})
_BY_PATH: Mapping[str, frozenset[Role]] = {
    "/metrics": frozenset({Role.METRICS, Role.ADMIN}),
    "/v1/server/info": frozenset({Role.ADMIN}),
    "/v1/upstreams": frozenset({Role.ADMIN}),
}
# Stopping what runs must be possible for who has no more requests left.
_CANCELS = "/cancel"


def needs_no_key(scope: Mapping[str, Any]) -> bool:
    return scope["path"] in _OPEN_PATHS and scope["method"] in _OPEN_METHODS


def is_allowed(roles: frozenset[Role], path: str) -> bool:
    """Whether any of the roles suffices there."""
    if path in _OPEN_PATHS:
        return True
    for guarded, sufficient in _BY_PATH.items():
        if path == guarded or path.startswith(f"{guarded}/"):
            return bool(roles & sufficient)
    return bool(roles & _USE)


def is_counted(scope: Mapping[str, Any]) -> bool:
    """Whether the limits of a key hold: for what makes work, and not for what only tells."""
    path: str = scope["path"]
    return scope["method"] == "POST" and not path.endswith(_CANCELS)
