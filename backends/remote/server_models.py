"""Owns how a server's list of models is read. It is another program's: nothing in it is trusted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

# Far above what any provider lists; a list beyond it would fill memory, and every list of ours.
MOST_MODELS = 10_000
LONGEST_NAME = 512
_LARGEST_ENTRY = 2**16
_MOST_VALUES = 500_000
_DEEPEST = 12


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model by the server's own name. `facts` are its entry, without the name."""

    name: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ServerModels:
    """Each name once, in the server's order. `skipped` tells of entries that are none, as a line;
    it is empty where there were none.
    """

    models: tuple[ListedModel, ...]
    skipped: str = ""


class _Body(msgspec.Struct):
    data: list[msgspec.Raw]


def read_models(body: bytes) -> ServerModels:
    """Raises ValueError where this is no list of models at all; strange entries are left out."""
    # Each value becomes an object: a body of commas alone would take sixty times its size.
    if body.count(b",") > _MOST_VALUES:
        raise ValueError("its list of models is too large")
    try:
        entries = msgspec.json.decode(body, type=_Body).data
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ValueError("what it gives as its list of models is none") from None
    models: dict[str, ListedModel] = {}
    strange: list[str] = []
    for entry in entries:
        try:
            model = _model_of(entry)
        except ValueError as error:
            strange.append(str(error))
            continue
        if len(models) == MOST_MODELS and model.name not in models:
            strange.append(f"more than {MOST_MODELS} models")
        else:
            models.setdefault(model.name, model)
    return ServerModels(tuple(models.values()), _said_of(strange))


def _model_of(entry: msgspec.Raw) -> ListedModel:
    if len(memoryview(entry)) > _LARGEST_ENTRY:
        raise ValueError("an entry larger than 64 KiB")
    try:
        fields = msgspec.json.decode(entry)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ValueError("an entry that can't be read") from None
    if not isinstance(fields, dict) or _depth(fields) > _DEEPEST:
        raise ValueError("an entry that is no flat object")
    name = fields.pop("id", None)
    is_text = isinstance(name, str) and 0 < len(name) <= LONGEST_NAME
    if not is_text or not name.isprintable() or name != name.strip():
        raise ValueError(f"an id that is no printable text of 1 to {LONGEST_NAME} characters")
    return ListedModel(name, fields)


def _depth(value: Any) -> int:
    """Bounded by the decoder, which refuses what would exceed the stack."""
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def _said_of(strange: list[str]) -> str:
    return f"{len(strange)} left out, the first for {strange[0]}" if strange else ""
