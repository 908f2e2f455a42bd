"""Owns what of a body may be compared: ids, times, and what tells engines apart are left out."""

import json
from typing import Any

from parity.findings import Difference
from parity.parts import Question
from parity.transcript import Reply

_VOLATILE = {
    *("id", "item_id", "call_id", "request_id", "created", "created_at", "completed_at"),
    *("system_fingerprint", "cached_tokens", "cache_read_input_tokens", "sequence_number"),
}


def stable(body: Any) -> Any:
    """A body without what may differ. Anthropic counts cached tokens apart from the others."""
    if isinstance(body, list):
        return [stable(item) for item in body]
    if not isinstance(body, dict):
        return body
    if "cache_read_input_tokens" in body:
        read = body["cache_read_input_tokens"]
        body = {**body, "input_tokens": body["input_tokens"] + read}
    return {key: stable(value) for key, value in body.items() if key not in _VOLATILE}


def whole(question: Question, left: Reply, right: Reply, why: str) -> Difference:
    """The difference of two replies, all that they hold shown."""
    ours, theirs = (_shown(reply) for reply in (left, right))
    pairs = enumerate(zip(ours, theirs, strict=False))
    at = next((place for place, (a, b) in pairs if a != b), min(len(ours), len(theirs)))
    return Difference(asked(question), ours, theirs, f"character {at}", why)


def asked(question: Question) -> str:
    """A request in a line."""
    return f"{question.path} {json.dumps(question.body, ensure_ascii=False)}"


def _shown(reply: Reply) -> str:
    told = json.dumps(stable(reply.body), ensure_ascii=False)
    return told if reply.status == 200 else f"{reply.status}: {told}"
