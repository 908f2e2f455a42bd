"""Owns how the file of upstreams is read and what is said of its mistakes. Connects to nothing."""

import logging
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from backends.remote.upstream_table import (
    BreakerTable,
    ModelName,
    Seconds,
    Surroundings,
    Table,
    TimeoutsTable,
    UpstreamTable,
    upstream_of,
)
from core.errors import ConfigurationError
from core.upstreams import UpstreamPlan

_LARGEST_FILE = 2**20
_MOST_PROBLEMS = 12
_LONGEST_SHOWN = 80
_DEFAULT_LIST = "default"
_READABLE_BY_OTHERS = 0o044
# Their values are secrets, or may hold one; or be one, in the wrong place.
_HIDDEN_FIELDS = ("api_key", "api_key_env", "extra_headers", "base_url")
_logger = logging.getLogger(__name__)


def _each_once(names: list[str]) -> list[str]:
    if len(set(names)) != len(names):
        raise ValueError("a name is listed twice")
    return names


_Fallbacks = Annotated[list[ModelName], AfterValidator(_each_once)]


class _FileTable(Table):
    upstreams: list[UpstreamTable] = Field(default=[], max_length=256)
    refresh_s: Seconds = UpstreamPlan().refresh_s
    model_fallbacks: dict[ModelName, _Fallbacks] = Field(default={})


# The fields of the table that a location in the file leads to.
_TABLES: Mapping[tuple[str, ...], type[BaseModel]] = {
    (): _FileTable,
    ("upstreams",): UpstreamTable,
    ("upstreams", "timeouts"): TimeoutsTable,
    ("upstreams", "breaker"): BreakerTable,
}


@dataclass(frozen=True, slots=True)
class _Problem:
    """Where in the file something is wrong, and what."""

    location: tuple[str | int, ...]
    reason: str


def read_upstreams(path: Path, environ: Mapping[str, str]) -> UpstreamPlan:
    """Raises ConfigurationError that names every problem, in a line that holds no secret.

    Keys come from the file, or from the variables in `environ` that it names.
    """
    document = _parsed(path)
    surroundings = Surroundings(environ, path.parent)
    try:
        table = _FileTable.model_validate(document, context=surroundings)
    except ValidationError as error:
        problems = [_Problem(each["loc"], _reason(each)) for each in error.errors()]
        raise _refusal(path, problems, document) from None
    problems = _contradictions(table)
    if problems:
        raise _refusal(path, problems, document)
    _warn_of_readable_keys(path, document)
    fallbacks = {name: tuple(names) for name, names in table.model_fallbacks.items()}
    return UpstreamPlan(
        upstreams=tuple(upstream_of(each, environ) for each in table.upstreams),
        default_fallbacks=fallbacks.pop(_DEFAULT_LIST, ()),
        fallbacks=fallbacks,
        refresh_s=table.refresh_s,
    )


def _parsed(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its name is no path"
        raise ConfigurationError(f"{path}: it can't be read: {reason}") from None
    if len(content) > _LARGEST_FILE:
        raise ConfigurationError(f"{path}: it is larger than 1 MiB, and so no file of upstreams")
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: byte {error.start} is not UTF-8") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: it nests too deep") from None
    # A number with too many digits is a plain ValueError.
    except ValueError as error:
        raise ConfigurationError(f"{path}: it is not valid TOML: {_line(str(error))}") from None


def _contradictions(table: _FileTable) -> list[_Problem]:
    """What is wrong of tables that are right each by itself."""
    problems = []
    names = [upstream.name for upstream in table.upstreams]
    for index, name in enumerate(names):
        if name in names[:index]:
            problems.append(_Problem(("upstreams", index, "name"), "another one has this name"))
    for name, fallbacks in table.model_fallbacks.items():
        if name in fallbacks:
            problems.append(_Problem(("model_fallbacks", name), "a model can't replace itself"))
    return problems


def _refusal(
    path: Path, problems: Sequence[_Problem], document: Mapping[str, Any]
) -> ConfigurationError:
    lines = [_described(each, document) for each in problems[:_MOST_PROBLEMS]]
    if len(problems) > _MOST_PROBLEMS:
        lines.append(f"and {len(problems) - _MOST_PROBLEMS} more")
    return ConfigurationError(f"{path}: {'; '.join(lines)}")


def _described(problem: _Problem, document: Mapping[str, Any]) -> str:
    location = problem.location
    where, names = "", [str(part) for part in location if part != "[key]"]
    if location[:1] == ("upstreams",) and len(location) > 1:
        where, names = f"{_upstream_at(location[1], document)}: ", names[2:]
    field = _line(".".join(names))
    if not field:
        return f"{where}{problem.reason}"
    return f"{where}{field}{_shown_value(location, document)}: {problem.reason}"


def _upstream_at(index: str | int, document: Mapping[str, Any]) -> str:
    name = _value_at(("upstreams", index, "name"), document)
    number = f"upstream {int(index) + 1}"
    return f"{number} ({_line(name)})" if isinstance(name, str) else number


def _shown_value(location: tuple[str | int, ...], document: Mapping[str, Any]) -> str:
    if any(part in _HIDDEN_FIELDS for part in location):
        return ""
    # What an unknown field holds may be a key whose name is misspelt.
    if location[-1] not in _fields_at(location) and "model_fallbacks" not in location:
        return ""
    value = _value_at(location, document)
    return "" if value is None or isinstance(value, dict | list) else f"={_line(repr(value))}"


def _value_at(location: tuple[str | int, ...], document: Mapping[str, Any]) -> Any:
    value: Any = document
    for part in location:
        is_there = part in value if isinstance(value, dict) else _has_index(value, part)
        if not is_there:
            return None
        value = value[part]
    return value


def _has_index(value: object, part: str | int) -> bool:
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _fields_at(location: tuple[str | int, ...]) -> tuple[str, ...]:
    """The fields of the table in which `location` ends."""
    table = _TABLES.get(tuple(part for part in location[:-1] if isinstance(part, str)))
    return tuple(table.model_fields) if table else ()


def _reason(error: ErrorDetails) -> str:
    location, kind = error["loc"], error["type"]
    if kind == "missing":
        return "it is missing"
    # Where pydantic would name classes of ours.
    if kind in ("model_type", "dict_type"):
        return "allowed: a table"
    if kind != "extra_forbidden":
        return error["msg"].removeprefix("Value error, ").replace("Input should be", "allowed:")
    fields = _fields_at(location)
    near = get_close_matches(str(location[-1]).lower(), fields, n=1, cutoff=0.6)
    hint = f": did you mean {near[0]}?" if near else f"; allowed: {', '.join(fields)}"
    return f"no such field{hint}"


def _line(text: str) -> str:
    """Bounded, and without what would make it more than one line."""
    shown = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
    return "".join(sign if sign.isprintable() else "?" for sign in shown)


def _warn_of_readable_keys(path: Path, document: Mapping[str, Any]) -> None:
    holds_key = any(
        "api_key" in table
        or any(isinstance(v, str) for v in table.get("extra_headers", {}).values())
        for table in document.get("upstreams", [])
    )
    if holds_key and os.name == "posix" and path.stat().st_mode & _READABLE_BY_OTHERS:
        _logger.warning("file=%s keys_readable_by=others remedy='chmod 600 or api_key_env'", path)
