"""Owns who may ask for what: roles, and the limits of a key. Knows no key itself, and no HTTP."""

from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """USE: everything about models and answers. METRICS: /metrics. ADMIN: what tells of the
    server itself.
    """

    USE = "use"
    METRICS = "metrics"
    ADMIN = "admin"


ALL_ROLES = frozenset(Role)


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """The most that one key is allowed; None is no limit. Tokens are those of prompts and answers
    together. `max_tokens` is an answer's length, `models` the names that may be asked for.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    concurrent_requests: int | None = None
    max_tokens: int | None = None
    models: frozenset[str] | None = None

    @property
    def counts_tokens(self) -> bool:
        return self.tokens_per_minute is not None or self.tokens_per_day is not None


NO_LIMITS = KeyLimits()


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a request counts for: the name of its key, with what that allows."""

    name: str
    roles: frozenset[Role] = ALL_ROLES
    limits: KeyLimits = field(default_factory=KeyLimits)


# Whom all requests count for where no keys are set.
EVERYBODY = Account("")
