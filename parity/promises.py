"""Owns what a chat request is promised besides its text: calls that must come, budgets kept."""

import json
from typing import Any

from parity.parts import Question
from parity.said import Said, said_by
from parity.transcript import Reply

# Thoughts end with a whole character: its first byte may be the budget's last token.
_REST_OF_CHARACTER = 3


def broken_promise(question: Question, reply: Reply) -> str | None:
    """In words, or None where all was kept. Errors promise nothing."""
    said = said_by(reply)
    if said is None:
        return None
    return _about_calls(question.body, said) or _about_thoughts(question.body, reply)


def _about_calls(body: dict[str, Any], said: Said) -> str | None:
    choice = body.get("tool_choice", "auto")
    is_cut = said.ending == "length"
    if choice == "none":
        return "calls, where none were to come" if said.calls else None
    must_call = choice != "auto"
    if must_call and not said.calls and not is_cut:
        return "no call, where one had to come"
    if len(said.calls) > 1 and not body.get("parallel_tool_calls", True):
        return "several calls, where one was allowed"
    if isinstance(choice, dict) and {call.name for call in said.calls} - {_name(choice)}:
        return "a call of another tool than the one that was named"
    functions = {_name(tool): tool["function"] for tool in body.get("tools", ())}
    is_held = must_call or any(function.get("strict") for function in functions.values())
    for call in said.calls[: -1 if is_cut else None] if is_held else ():
        if call.name not in functions:
            return f"a call of {call.name}, which is no tool"
        if not _is_valid(call.arguments, _schema(functions[call.name], is_forced=must_call)):
            return f"arguments of {call.name} that its schema does not accept"
    return None


def _schema(function: dict[str, Any], *, is_forced: bool) -> dict[str, Any]:
    """Of a tool that is called freely and is not strict, arguments are any object."""
    if is_forced or function.get("strict"):
        return dict(function.get("parameters", {}))
    return {"type": "object"}


def _about_thoughts(body: dict[str, Any], reply: Reply) -> str | None:
    budget = body.get("thinking_token_budget")
    if budget is None or not isinstance(reply.body, dict):
        return None
    details = (reply.body.get("usage") or {}).get("completion_tokens_details") or {}
    thought = details.get("reasoning_tokens") or 0
    most = budget + _REST_OF_CHARACTER if budget else 0
    return f"{thought} tokens of thoughts, of {budget}" if thought > most else None


def _name(tool: dict[str, Any]) -> str:
    return str(tool["function"]["name"])


def _is_valid(arguments: str, schema: dict[str, Any]) -> bool:
    # It comes with vLLM: an engine alone is asked without it.
    import jsonschema

    try:
        jsonschema.validate(json.loads(arguments), schema)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True
