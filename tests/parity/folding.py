"""What a stream said, as the plain answer would have said it."""

import json
from typing import Any

import httpx

# Ids and times, what binds an engine's build, and the one figure that tells engines apart.
VOLATILE = {"id", "created", "system_fingerprint", "cached_tokens"}


def stable(body: Any) -> Any:
    """A body without what may differ."""
    if isinstance(body, dict):
        return {key: stable(value) for key, value in body.items() if key not in VOLATILE}
    return [stable(item) for item in body] if isinstance(body, list) else body


def folded(response: httpx.Response) -> Any:
    """Raises AssertionError for a stream that is not as it should be."""
    if response.headers["content-type"] == "application/json":
        return stable(response.json())
    *lines, done, _ = response.text.split("\n\n")
    assert done == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert len({chunk["id"] for chunk in chunks}) == 1
    *parts, last = chunks
    assert last["choices"] == []
    whole: dict[int, dict[str, Any]] = {}
    top: dict[str, Any] = {}
    for chunk in parts:
        top |= {k: v for k, v in chunk.items() if k == "prompt_logprobs"}
        for choice in chunk["choices"]:
            _add(whole.setdefault(choice["index"], {"index": choice["index"]}), choice)
    choices = [whole[index] for index in sorted(whole)]
    return stable({"choices": choices, "usage": last["usage"], **top})


def plain(body: Any) -> Any:
    """The same of a plain answer: text, scores, ends and usage."""
    if "choices" not in body:
        return body
    choices = []
    for choice in body["choices"]:
        known: dict[str, Any] = {"index": choice["index"]}
        delta = {"delta": choice["message"]} if "message" in choice else {}
        _add(known, {**choice, **delta})
        choices.append(known)
    top = {k: v for k, v in body.items() if k == "prompt_logprobs"}
    return {"choices": choices, "usage": body["usage"], **top}


def _add(whole: dict[str, Any], choice: dict[str, Any]) -> None:
    assert whole.get("finish_reason") is None, "nothing follows a choice's end"
    text = choice["text"] if "text" in choice else choice["delta"].get("content") or ""
    whole["text"] = whole.get("text", "") + text
    delta = choice.get("delta", {})
    assert delta.get("reasoning") == delta.get("reasoning_content")
    whole["thought"] = whole.get("thought", "") + (delta.get("reasoning") or "")
    for number, call in enumerate(delta.get("tool_calls") or []):
        calls, function = whole.setdefault("calls", []), call["function"]
        if "name" in function:
            assert call.get("index", number) == len(calls), "calls begin in their order"
            calls.append([function["name"], ""])
        calls[call.get("index", number)][1] += function["arguments"]
    whole["finish_reason"] = choice["finish_reason"]
    if "prompt_logprobs" in choice:
        whole["prompt_logprobs"] = choice["prompt_logprobs"]
    for name, values in (choice["logprobs"] or {}).items():
        if values:
            whole.setdefault("logprobs", {}).setdefault(name, []).extend(values)
