"""Owns whether a body asks for more than the operator allows: how many of each, how large schemas.

Looks at counts alone, before anything else does: what the fields mean, and whether they are right,
is their schemas' business. One rule for bodies that are answered here and those that go on to
other servers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from starlette.requests import Request

from core.bounds import RequestBounds
from core.errors import InvalidValue

_DEFAULT = RequestBounds()
_Shallow = list[msgspec.Raw] | dict[str, msgspec.Raw] | str | bool | int | float | None
_decode_shallow = msgspec.json.Decoder(_Shallow).decode
_TOOLS = ("tools", "functions")
# Where a tool's own schema stands, in the words of one API or another.
_PARAMETERS = ("parameters", "input_schema")
_STRUCTURES = (
    "response_format",
    "structured_outputs",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "json_schema",
    "grammar",
    "text",
    "output_config",
    "output_format",
)


def bounds_of(request: Request) -> RequestBounds:
    """What the application was made with."""
    bounds: RequestBounds = getattr(request.app.state, "bounds", _DEFAULT)
    return bounds


def check_bounds(
    given: Mapping[str, Any], bounds: RequestBounds, num_bytes: int | None = None
) -> None:
    """Raises InvalidValue that names the field, what it has and what is allowed.

    `num_bytes` is the body's length, where it is known: one that is shorter than schemas may be
    is spared their measuring.
    """
    for name in given:
        check = _CHECKS.get(name)
        if check is not None:
            check(name, given[name], bounds)
    if "prompt" in given:
        _check_choices(given, bounds)
    if num_bytes is None or num_bytes > bounds.schema_bytes:
        _check_schemas(given, bounds)


def check_num_items(items: Sequence[object], bounds: RequestBounds) -> None:
    """Of a conversation that a request goes on with, its own among them. Raises InvalidValue."""
    if len(items) > bounds.messages:
        raise InvalidValue(
            f"input and the conversation before it have {len(items)} entries; allowed are at most"
            f" {bounds.messages}",
            param="input",
        )


def check_raw_bounds(
    fields: Mapping[str, msgspec.Raw], bounds: RequestBounds, num_bytes: int
) -> None:
    """`check_bounds` for a body that was opened at its top alone."""
    known = {name: _opened(fields[name]) for name in fields if name in _NAMES}
    check_bounds(known, bounds, num_bytes)


def _check_messages(name: str, value: object, bounds: RequestBounds) -> None:
    if isinstance(value, list):
        _check_count(name, len(value), "entries", bounds.messages)


def _check_input(name: str, value: object, bounds: RequestBounds) -> None:
    """Of the Responses API these are items of a conversation, of others texts to work on."""
    if isinstance(value, list) and value and isinstance(_opened(value[0]), dict):
        return _check_messages(name, value, bounds)
    return _check_prompts(name, value, bounds)


def _check_prompts(name: str, value: object, bounds: RequestBounds) -> None:
    _check_count(name, _num_prompts(value), "entries", bounds.prompts)


def _check_tools(name: str, value: object, bounds: RequestBounds) -> None:
    if isinstance(value, list):
        _check_count(name, len(value), "tools", bounds.tools)


def _check_stop(name: str, value: object, bounds: RequestBounds) -> None:
    if isinstance(value, list):
        _check_count(name, len(value), "strings", bounds.stop)


def _check_bias(name: str, value: object, bounds: RequestBounds) -> None:
    if isinstance(value, dict):
        _check_count(name, len(value), "token ids", bounds.logit_bias)


def _check_number(name: str, value: object, bounds: RequestBounds) -> None:
    if isinstance(value, int | float) and value > bounds.n:
        raise InvalidValue(
            f"{name} is {value}; allowed is a value of at most {bounds.n}", param=name
        )


def _check_count(name: str, count: int, what: str, most: int) -> None:
    if count > most:
        raise InvalidValue(f"{name} has {count} {what}; allowed are at most {most}", param=name)


def _check_choices(given: Mapping[str, Any], bounds: RequestBounds) -> None:
    """Each choice of each prompt is a sequence of its own."""
    num_prompts, n = _num_prompts(given["prompt"]), given.get("n")
    per_prompt = n if type(n) is int else 1
    if num_prompts * per_prompt > bounds.n:
        raise InvalidValue(
            f"n is {per_prompt} for {num_prompts} prompts, {num_prompts * per_prompt} choices in"
            f" all; allowed are at most {bounds.n}",
            param="n" if per_prompt > 1 else "prompt",
        )


def _num_prompts(value: object) -> int:
    """A text is one, and so is a list of ids."""
    if not isinstance(value, list) or not value or isinstance(_opened(value[0]), int):
        return 1
    return len(value)


def _check_schemas(given: Mapping[str, Any], bounds: RequestBounds) -> None:
    total = 0
    for name, size in _schema_sizes(given):
        total += size
        if total > bounds.schema_bytes:
            raise InvalidValue(
                f"{name}: the request's schemas, grammars and patterns have {total} bytes or more;"
                f" allowed are at most {bounds.schema_bytes}",
                param=name,
            )


def _schema_sizes(given: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for name in _STRUCTURES:
        if given.get(name) is not None:
            yield name, len(msgspec.json.encode(given[name]))
    for name in _TOOLS:
        tools = given.get(name)
        for tool in tools if isinstance(tools, list) else ():
            yield name, _parameters_size(tool)


def _parameters_size(tool: object) -> int:
    fields = _opened(tool)
    if not isinstance(fields, dict):
        return 0
    function = _opened(fields.get("function"))
    holders = (fields, function if isinstance(function, dict) else {})
    found = [holder[key] for holder in holders for key in _PARAMETERS if key in holder]
    return sum(len(msgspec.json.encode(schema)) for schema in found)


def _opened(value: object) -> object:
    """What came as JSON text, opened by one level."""
    return _decode_shallow(value) if isinstance(value, msgspec.Raw) else value


_CHECKS: dict[str, Callable[[str, object, RequestBounds], None]] = {
    "messages": _check_messages,
    "input": _check_input,
    **dict.fromkeys(("prompt", "documents", "text_1", "text_2"), _check_prompts),
    **dict.fromkeys(_TOOLS, _check_tools),
    **dict.fromkeys(("stop", "stop_sequences"), _check_stop),
    "logit_bias": _check_bias,
    **dict.fromkeys(("n", "best_of"), _check_number),
}
_NAMES = frozenset((*_CHECKS, *_STRUCTURES))
