"""Owns what a key's limits mean for one request's fields. Pure; knows no HTTP."""

from collections.abc import Sequence
from typing import Any

from core.access import Account
from core.errors import InvalidValue, ModelNotServed


def names_shown(account: Account, names: Sequence[str]) -> tuple[str, ...]:
    """Those of the served names that exist for this account."""
    allowed = account.limits.models
    return tuple(name for name in names if allowed is None or name in allowed)


def check_model(account: Account, name: str | None, names: Sequence[str]) -> None:
    """Raises ModelNotServed where the account may not ask for that name, as if there were no such
    model. `names` are all that are served; no name, or an empty one, means the first of them.
    """
    allowed = account.limits.models
    if allowed is None or (name or next(iter(names), None)) in allowed:
        return
    served = ", ".join(names_shown(account, names)) or "none for this key"
    raise ModelNotServed(
        f"the model {(name or '')[:200]!r} is not served here; served: {served}", param="model"
    )


def capped(account: Account, max_tokens: Any, param: str = "max_tokens") -> int | None:
    """An answer's length, in tokens: the ceiling where the request names none. Raises InvalidValue
    above it, and for what some other server might read as no limit: text, fractions, -1.
    """
    ceiling = account.limits.max_tokens
    if max_tokens is None:
        return ceiling
    if ceiling is not None and not (type(max_tokens) is int and 0 <= max_tokens <= ceiling):
        raise InvalidValue(
            f"{param} must be a whole number up to this key's ceiling of {ceiling}", param=param
        )
    length: int = max_tokens
    return length
