"""Answers that no engine made: the same one in the words of each API, plain and streamed."""

from typing import Any

from parity import parts
from parity.parts import Question
from parity.transcript import Reply

USAGE = {"prompt_tokens": 9, "completion_tokens": 3}
TOLD = {"input_tokens": 9, "output_tokens": 3}
SAID = "Paris."
ADDED = '{"a": 1, "b": 2}'
ASKED = '{"city": "Rome"}'
Body = dict[str, Any]


def answered(question: Question) -> Reply:
    """With a call where one has to come."""
    name = called(question.body.get("tool_choice"))
    is_stream = question.body.get("stream", False)
    if question.path == parts.COUNT:
        return Reply(200, {"input_tokens": 9})
    if question.path == parts.RESPOND:
        return Reply(200, response_events(name) if is_stream else response(name))
    if question.path == parts.MESSAGES:
        return Reply(200, message_events(name) if is_stream else message(name))
    return Reply(200, chat_events(name) if is_stream else chat(name))


def called(choice: Any) -> str | None:
    """The tool that has to be called, in any API's words."""
    if isinstance(choice, str):
        return "get_weather" if choice == "required" else None
    if not choice or choice.get("type") in ("auto", "none"):
        return None
    return str(choice.get("name") or choice.get("function", {"name": "get_weather"})["name"])


def arguments(name: str) -> str:
    return ADDED if name == "add" else ASKED


def chat(name: str | None = None) -> Body:
    """Its scores are of other tokens than its text: only their leads matter."""
    calls = [{"id": "c", "function": {"name": name, "arguments": arguments(name)}}] if name else []
    message = {"role": "assistant", "content": None if name else SAID, "tool_calls": calls}
    tops = [{"bytes": [at], "logprob": -0.1 - 2 * at} for at in range(2)]
    token = {"token": "x", "bytes": [0], "logprob": -0.1, "top_logprobs": tops}
    choice = {
        "message": message,
        "logprobs": {"content": [token]},
        "finish_reason": "tool_calls" if name else "stop",
    }
    return {"choices": [choice], "usage": USAGE}


def chat_events(name: str | None = None) -> list[Body]:
    deltas: list[Body] = [{"content": SAID[:2]}, {"content": SAID[2:]}]
    if name:
        begin = {"index": 0, "id": "c", "function": {"name": name, "arguments": ""}}
        rest = {"index": 0, "function": {"arguments": arguments(name)}}
        deltas = [{"tool_calls": [begin]}, {"tool_calls": [rest]}]
    chunks: list[Body] = [
        {"choices": [{"delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    end: Body = {"choices": [{"delta": {}, "finish_reason": "tool_calls" if name else "stop"}]}
    return [*chunks, end, {"choices": [], "usage": USAGE}]


def response(name: str | None = None) -> Body:
    item: Body = {"type": "message", "content": [{"type": "output_text", "text": SAID}]}
    if name:
        item = {"type": "function_call", "name": name, "arguments": arguments(name)}
    return {"object": "response", "status": "completed", "output": [item], "usage": TOLD}


def response_events(name: str | None = None) -> list[Body]:
    whole = response(name)
    text = "response.output_text.delta"
    deltas: list[Body] = [{"type": text, "delta": part} for part in (SAID[:3], SAID[3:])]
    if name:
        item = {"type": "function_call", "name": name, "arguments": ""}
        deltas = [
            {"type": "response.output_item.added", "item": item},
            {"type": "response.function_call_arguments.delta", "delta": arguments(name)},
        ]
    return [
        {"type": "response.created"},
        *deltas,
        {"type": "response.completed", "response": whole},
    ]


def message(name: str | None = None) -> Body:
    block: Body = {"type": "text", "text": SAID}
    if name:
        given = {"a": 1, "b": 2} if name == "add" else {"city": "Rome"}
        block = {"type": "tool_use", "id": "t", "name": name, "input": given}
    reason = "tool_use" if name else "end_turn"
    return {"type": "message", "content": [block], "stop_reason": reason, "usage": TOLD}


def message_events(name: str | None = None) -> list[Body]:
    block: Body = {"type": "text", "text": ""}
    delta: Body = {"type": "text_delta", "text": SAID}
    if name:
        block = {"type": "tool_use", "id": "t", "name": name, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": arguments(name)}
    ended = {"stop_reason": "tool_use" if name else "end_turn"}
    cached = {"input_tokens": 4, "cache_read_input_tokens": 5, "output_tokens": 3}
    return [
        {"type": "message_start", "message": {"usage": TOLD}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "ping"},
        {"type": "message_delta", "delta": ended, "usage": cached},
        {"type": "message_stop"},
    ]
