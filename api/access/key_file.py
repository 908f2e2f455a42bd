"""Owns how a file of keys is read and what is said of its mistakes: never a key, or what may be one
in the wrong place.
"""

import logging
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from api.access.key_hash import KeyHash, checked_key
from api.access.key_ring import NAME, ApiKey, GivenKey
from api.access.key_tables import FileTable, KeyTable, LimitsTable
from core.access import Account, KeyLimits

_LARGEST_FILE = 2**20
_MOST_PROBLEMS = 12
_READABLE_BY_OTHERS = 0o044
_FIELD = re.compile(r"[A-Za-z_]{1,32}")
_POSITION = re.compile(r"\(at [^()]{1,60}\)$")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The keys of a file, and the further files that hold some of them."""

    given: tuple[GivenKey, ...]
    further: tuple[Path, ...] = ()


def read_file(path: Path) -> KeyFile:
    """Raises ValueError that names every problem by key and field, in a line."""
    document = _parsed(path)
    try:
        table = FileTable.model_validate(document)
    except ValidationError as error:
        problems = [_described(each, document) for each in error.errors()]
        more = len(problems) - _MOST_PROBLEMS
        shown = problems[:_MOST_PROBLEMS] + ([f"and {more} more"] if more > 0 else [])
        raise ValueError("; ".join(shown)) from None
    if not table.keys:
        raise ValueError("there is no key in it; a key is a table such as [keys.alice]")
    given = tuple(_given(name, each, table.defaults, path) for name, each in table.keys.items())
    further = tuple(_beside(path, each.key_file) for each in table.keys.values() if each.key_file)
    if any(each.key for each in table.keys.values()):
        _warn_if_others_read(path)
    for other in further:
        _warn_if_others_read(other)
    return KeyFile(given, further)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except RecursionError:
        raise ValueError("it nests too deep") from None
    except tomllib.TOMLDecodeError as error:
        # The rest of the message may quote the file.
        position = _POSITION.search(str(error))
        raise ValueError(
            f"it is not valid TOML {position[0] if position else ''}".strip()
        ) from None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ValueError(f"it can't be read: {error.strerror}") from None
    if len(content) > _LARGEST_FILE:
        raise ValueError("it is larger than 1 MiB")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None


def _given(name: str, table: KeyTable, defaults: LimitsTable, path: Path) -> GivenKey:
    account = Account(name, frozenset(table.roles), _limits(table, defaults))
    if table.hash is not None:
        return GivenKey(ApiKey(account, KeyHash.parse(table.hash)))
    plain = table.key
    if table.key_file is not None:
        try:
            plain = checked_key(_text(_beside(path, table.key_file)).strip())
        except ValueError as error:
            raise ValueError(f"keys.{name}.key_file: {error}") from None
    assert plain is not None, "a table has one of the three"
    return GivenKey(ApiKey(account, KeyHash.of(plain)), plain)


def _limits(table: LimitsTable, defaults: LimitsTable) -> KeyLimits:
    """A key's own limits, and the defaults where it says nothing."""
    return KeyLimits(
        **{
            name: getattr(table if name in table.model_fields_set else defaults, name)
            for name in LimitsTable.model_fields
        }
    )


def _beside(path: Path, other: str) -> Path:
    return path.parent / os.path.expanduser(other)


def _warn_if_others_read(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if os.name == "posix" and mode & _READABLE_BY_OTHERS:
        _logger.warning("file=%s keys_readable_by=others remedy='chmod 600, or hashes'", path)


def _described(error: ErrorDetails, document: Mapping[str, Any]) -> str:
    where = ".".join(_shown_parts(error["loc"], document))
    return f"{where}: {_reason(error)}" if where else _reason(error)


def _shown_parts(location: tuple[int | str, ...], document: Mapping[str, Any]) -> Iterator[str]:
    """A key may stand where a name should."""
    for depth, part in enumerate(location):
        is_name = depth == 1 and location[0] == "keys"
        if part == "[key]":
            continue
        if is_name and not NAME.fullmatch(str(part)):
            yield f"(table {list(document['keys']).index(part) + 1})"
        elif is_name or isinstance(part, int) or _FIELD.fullmatch(part):
            yield str(part)
        else:
            yield "(a field)"


def _reason(error: ErrorDetails) -> str:
    kind = error["type"]
    if kind in ("model_type", "dict_type"):
        return "allowed: a table"
    if kind == "string_pattern_mismatch":
        return "its name is none; allowed: letters, digits, '_.-', 64 at most"
    if kind != "extra_forbidden":
        return error["msg"].removeprefix("Value error, ").replace("Input should be", "allowed:")
    fields = tuple(_table_at(error["loc"]).model_fields)
    near = get_close_matches(str(error["loc"][-1]).lower(), fields, n=1, cutoff=0.6)
    return (
        f"no such field{f': did you mean {near[0]}?' if near else f'; allowed: {_listed(fields)}'}"
    )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def _table_at(location: tuple[int | str, ...]) -> type[BaseModel]:
    """The table whose field `location` ends in."""
    if len(location) == 1:
        return FileTable
    return KeyTable if location[0] == "keys" else LimitsTable
