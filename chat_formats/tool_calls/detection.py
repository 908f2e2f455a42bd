"""Tells from a rendered call in which way a template's model writes calls. Renders nothing."""

import re

from chat_formats.tool_calls.syntax import (
    HERMES,
    LLAMA3_JSON,
    MISTRAL_LIST,
    MISTRAL_NAMED,
    PYTHONIC,
    CallBody,
    CallSyntax,
)

PROBE_TOOL = "probetool"
_MISTRAL = re.compile(rf"\[TOOL_CALLS\]\s*(?P<name>{PROBE_TOOL})?")
_OBJECT = re.compile(
    rf'(?P<opening><[^<>\s]{{1,60}}>|\[[A-Z_]{{1,60}}\])?\s*\{{\s*"name":\s*"{PROBE_TOOL}",\s*'
    r'"(?P<key>arguments|parameters)":\s*\{[^{}]*\}\s*\}\s*(?P<closing></[^<>\s]{1,60}>)?'
)
_PYTHON = re.compile(rf"\[{PROBE_TOOL}\(\w+=")
# What ends a header, which is no opening of a call.
_HEADER = re.compile(r"<\|(?:end_header_id|im_start|python_tag|im_sep|assistant)\|>|\[/INST\]")


def detect_calls(rendered: str, prompt: str = "") -> CallSyntax | None:
    """`rendered` is a conversation in which PROBE_TOOL was called once; None if the way is none of
    the known ones. `prompt` is one that an answer follows: what it ends with opens no call."""
    mistral = _MISTRAL.search(rendered)
    if mistral is not None:
        return MISTRAL_NAMED if mistral["name"] else MISTRAL_LIST
    found = _OBJECT.search(rendered)
    if found is not None:
        opening = found["opening"] or ""
        is_header = bool(_HEADER.fullmatch(opening)) or prompt.rstrip().endswith(opening)
        return _object_syntax("" if is_header else opening, found["closing"] or "", found["key"])
    return PYTHONIC if _PYTHON.search(rendered) else None


def _object_syntax(opening: str, closing: str, key: str) -> CallSyntax:
    if closing[2:] != opening[1:]:
        closing = ""  # the end of a turn
    for known in (HERMES, LLAMA3_JSON):
        if (known.opening, known.closing, known.arguments_key) == (opening, closing, key):
            return known
    return CallSyntax("json_object", CallBody.OBJECT, opening, closing, key)
