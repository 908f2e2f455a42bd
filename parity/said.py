"""Owns what an answer says, whichever API said it, in one body or as a stream of events."""

import json
from dataclasses import dataclass, field
from typing import Any

from parity.transcript import Reply

Body = dict[str, Any]
_ENDINGS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
}


@dataclass(frozen=True, slots=True)
class Call:
    """`arguments` are JSON as it was written, or of an API that has objects, such an object."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Said:
    """`ending` is in the words of chats. Counts are of tokens."""

    thoughts: str
    text: str
    calls: tuple[Call, ...]
    ending: str
    num_prompt: int | None
    num_answer: int | None

    @property
    def line(self) -> str:
        thoughts = [f"(thinks: {self.thoughts})"] if self.thoughts else []
        calls = [f"{call.name}({call.arguments})" for call in self.calls]
        return " ".join(
            [*thoughts, *([self.text] if self.text else []), *calls, f"[{self.ending}]"]
        )


@dataclass(slots=True)
class _Gathered:
    """What has been read so far of one answer."""

    thoughts: str = ""
    text: str = ""
    calls: list[list[str]] = field(default_factory=list)
    ending: str = ""
    usage: Body = field(default_factory=dict)

    def said(self) -> Said:
        usage = self.usage
        prompt = usage.get("prompt_tokens", usage.get("input_tokens"))
        if prompt is not None:
            # Anthropic counts those that were reused apart from the others.
            prompt += usage.get("cache_read_input_tokens", 0)
        answer = usage.get("completion_tokens", usage.get("output_tokens"))
        calls = tuple(Call(name, _written(arguments)) for name, arguments in self.calls)
        return Said(self.thoughts, self.text, calls, self.ending, prompt, answer)


def said_by(reply: Reply) -> Said | None:
    """None where it is no answer: an error, or nothing of a kind that is known here."""
    found = _Gathered()
    if reply.status != 200:
        return None
    if isinstance(reply.body, list):
        for event in reply.body:
            _add_event(found, event)
    elif "choices" in reply.body:
        _add_chat(found, reply.body, "message")
    elif reply.body.get("object") == "response":
        _add_response(found, reply.body)
    elif reply.body.get("type") == "message":
        _add_message(found, reply.body)
    else:
        return None
    return found.said()


def _add_event(found: _Gathered, event: Body) -> None:
    kind = event.get("type", "")
    if "choices" in event:
        _add_chat(found, event, "delta")
    elif kind.startswith("response."):
        _add_response_event(found, kind, event)
    else:
        _add_message_event(found, kind, event)


def _add_chat(found: _Gathered, body: Body, name: str) -> None:
    found.usage = body.get("usage") or found.usage
    for choice in body["choices"][:1]:
        told = choice[name]
        found.thoughts += told.get("reasoning") or ""
        found.text += told.get("content") or ""
        for call in told.get("tool_calls") or []:
            function = call["function"]
            if "name" in function:
                found.calls.append([function["name"], ""])
            found.calls[-1][1] += function.get("arguments", "")
        found.ending = choice.get("finish_reason") or found.ending


def _add_response(found: _Gathered, body: Body) -> None:
    for item in body["output"]:
        if item["type"] == "function_call":
            found.calls.append([item["name"], item["arguments"]])
        elif item["type"] == "reasoning":
            found.thoughts += "".join(part["text"] for part in item["content"] or [])
        else:
            found.text += "".join(part["text"] for part in item["content"])
    _end_response(found, body)


def _end_response(found: _Gathered, body: Body) -> None:
    found.usage = body.get("usage") or {}
    ended = "tool_calls" if found.calls else "stop"
    found.ending = {"completed": ended, "incomplete": "length"}.get(body["status"], "failed")


def _add_response_event(found: _Gathered, kind: str, event: Body) -> None:
    if kind == "response.reasoning_text.delta":
        found.thoughts += event["delta"]
    elif kind == "response.output_text.delta":
        found.text += event["delta"]
    elif kind == "response.output_item.added" and event["item"]["type"] == "function_call":
        found.calls.append([event["item"]["name"], ""])
    elif kind == "response.function_call_arguments.delta":
        found.calls[-1][1] += event["delta"]
    elif kind in ("response.completed", "response.incomplete", "response.failed"):
        _end_response(found, event["response"])


def _add_message(found: _Gathered, body: Body) -> None:
    for block in body["content"]:
        found.thoughts += block.get("thinking", "")
        found.text += block.get("text", "")
        if block["type"] == "tool_use":
            found.calls.append([block["name"], json.dumps(block["input"])])
    found.ending = _ENDINGS.get(body["stop_reason"], "failed")
    found.usage = body["usage"]


def _add_message_event(found: _Gathered, kind: str, event: Body) -> None:
    if kind == "content_block_start" and event["content_block"]["type"] == "tool_use":
        found.calls.append([event["content_block"]["name"], ""])
    elif kind == "content_block_delta":
        delta = event["delta"]
        found.thoughts += delta.get("thinking", "")
        found.text += delta.get("text", "")
        if "partial_json" in delta:
            found.calls[-1][1] += delta["partial_json"]
    elif kind == "message_delta":
        found.ending = _ENDINGS.get(event["delta"]["stop_reason"], "failed")
        found.usage = event["usage"]


def _written(arguments: str) -> str:
    """Whole JSON in one way of writing it; a part of some as it is."""
    try:
        return json.dumps(json.loads(arguments), ensure_ascii=False, sort_keys=True)
    except ValueError:
        return arguments
