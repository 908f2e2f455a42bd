"""Owns the fields of a file of keys. Reads nothing."""

from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from api.access.key_hash import KeyHash, checked_key
from api.access.key_ring import NAME
from core.access import Role

_UNLIMITED = "unlimited"
_ANY = "*"
_LARGEST = 10**15


def _limit(value: Any) -> int | None:
    if value == _UNLIMITED:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _LARGEST:
        raise ValueError(f'allowed: a whole number from 1, or "{_UNLIMITED}"')
    return value


def _models(value: Any) -> frozenset[str] | None:
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise ValueError(f'allowed: a list of names, or ["{_ANY}"] for all')
    if not value:
        raise ValueError("it is empty; leave it out, or name a model")
    if _ANY in value and len(value) > 1:
        raise ValueError(f'"{_ANY}" stands alone')
    return None if _ANY in value else frozenset(value)


def _role(value: Any) -> Role:
    allowed = [role.value for role in Role]
    if isinstance(value, str) and value in allowed:
        return Role(value)
    near = get_close_matches(str(value).lower(), allowed, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(allowed)}"
    raise ValueError(f"no such role: {hint}")


def _checked_hash(text: str) -> str:
    KeyHash.parse(text)
    return text


_Limit = Annotated[int | None, BeforeValidator(_limit)]
_Name = Annotated[str, StringConstraints(pattern=f"^{NAME.pattern}$")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class LimitsTable(_Table):
    """The fields are those of `core.access.KeyLimits`."""

    requests_per_minute: _Limit = None
    tokens_per_minute: _Limit = None
    tokens_per_day: _Limit = None
    concurrent_requests: _Limit = None
    max_tokens: _Limit = None
    models: Annotated[frozenset[str] | None, BeforeValidator(_models)] = None


class KeyTable(LimitsTable):
    """One key, by itself, its hash or a file that holds it."""

    key: Annotated[str, AfterValidator(checked_key)] | None = Field(default=None, repr=False)
    hash: Annotated[str, AfterValidator(_checked_hash)] | None = Field(default=None, repr=False)
    key_file: str | None = Field(default=None, min_length=1)
    roles: list[Annotated[Role, BeforeValidator(_role)]] = Field(default=[Role.USE], min_length=1)

    @model_validator(mode="after")
    def _is_one_key(self) -> "KeyTable":
        if sum(each is not None for each in (self.key, self.hash, self.key_file)) != 1:
            raise ValueError("give exactly one of key, hash, key_file")
        return self


class FileTable(_Table):
    """The whole file."""

    keys: dict[_Name, KeyTable] = Field(default={})
    defaults: LimitsTable = LimitsTable()
