"""Owns the parts that an item's content is made of: text alone, each kind of part by its name."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from api.schemas.validation import shown
from core.errors import InvalidValue, UnsupportedField

MAX_PARTS = 50_000
# Each kind of text with the field that holds it, and what clients echo beside it.
_TEXT_FIELDS = {
    "input_text": "text",
    "output_text": "text",
    "reasoning_text": "text",
    "summary_text": "text",
    "refusal": "refusal",
}
_ECHOED = frozenset({"type", "annotations", "logprobs"})
_IDLE = frozenset({"prompt_cache_breakpoint", "parsed"})
_MESSAGE_KINDS = ("input_text", "output_text", "refusal")
_TOOL_KINDS = ("input_text", "output_text")


def check_num_parts(items: Sequence[object]) -> None:
    """Of all items of a request together, before any of them is read. Raises InvalidValue."""
    lists = (held for item in items if isinstance(item, dict) for held in item.values())
    num_parts = sum(len(held) for held in lists if isinstance(held, list))
    if num_parts > MAX_PARTS:
        raise InvalidValue(
            f"the items of input hold {num_parts} parts; allowed are at most {MAX_PARTS}",
            param="input",
        )


def message_parts(path: str, content: object, role: str) -> list[dict[str, Any]]:
    """The parts of a message, as they are listed. Raises InvalidValue or UnsupportedField."""
    if isinstance(content, str):
        return [_made("input_text", content, role)]
    read = _parts(path, content, _MESSAGE_KINDS)
    return [_made(kind, text, role) for kind, text in read]


def output_parts(path: str, output: object) -> str | list[dict[str, Any]]:
    """What a tool gave back: a text, or text parts."""
    if isinstance(output, str):
        return output
    return [{"type": "input_text", "text": text} for _, text in _parts(path, output, _TOOL_KINDS)]


def thought_parts(path: str, parts: object, kind: str) -> list[dict[str, Any]]:
    """The thoughts in a reasoning item, or their summary."""
    read = [] if parts is None else _parts(path, parts, (kind,))
    return [{"type": kind, "text": text} for _, text in read]


def _made(kind: str, text: str, role: str) -> dict[str, Any]:
    """Whatever a client called it: an assistant's text was put out, all others' was put in."""
    if role != "assistant":
        return {"type": "input_text", "text": text}
    if kind == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _parts(path: str, parts: object, kinds: tuple[str, ...]) -> list[tuple[str, str]]:
    if not isinstance(parts, list):
        raise InvalidValue(
            f"{path} is {shown(parts)}; allowed is a string or a list of parts of type"
            f" {' or '.join(kinds)}",
            param=path,
        )
    return [_part(f"{path}[{index}]", part, kinds) for index, part in enumerate(parts)]


def _part(path: str, part: object, kinds: tuple[str, ...]) -> tuple[str, str]:
    fields: Mapping[str, Any] = part if isinstance(part, dict) else {}
    kind = fields.get("type")
    if isinstance(kind, str) and kind not in kinds:
        raise UnsupportedField(
            f"{path} is of type {json.dumps(kind[:100])}; this model reads text alone: allowed is"
            f" {' or '.join(kinds)}",
            param=path,
        )
    if not isinstance(kind, str) or not _is_text(fields, _TEXT_FIELDS[kind]):
        raise InvalidValue(
            f'{path} is {shown(part)}; allowed is {{"type": "{kinds[0]}", "text": "…"}}', param=path
        )
    return kind, fields[_TEXT_FIELDS[kind]]


def _is_text(fields: Mapping[str, Any], name: str) -> bool:
    others = [each for each in fields if each != name and each not in _ECHOED]
    idle = all(each in _IDLE and fields[each] is None for each in others)
    return isinstance(fields.get(name), str) and idle
