"""Owns what requests have in common that are to go to the same server: how their prompts begin.

It is the system text's start and that of the first user turn, so that it stays the same over the
turns of a conversation, while other conversations under the same system text differ.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from pydantic_core import from_json

from core.messages import Conversation

MAX_BYTES = 2048
# Of a raw body no more than this is looked at: a few microseconds' work.
_WINDOW_BYTES = 1 << 16
_SYSTEM_ROLES = ("system", "developer")


def conversation_start(conversation: Conversation) -> bytes:
    """The same as that of the raw messages, for texts of no more than 64 KiB."""
    return _start((message.role, message.content or "") for message in conversation.messages)


def plain_start(prompt: str | Sequence[int]) -> bytes:
    if isinstance(prompt, str):
        return _bytes(prompt, MAX_BYTES)
    return b",".join(b"%d" % token_id for token_id in prompt[:MAX_BYTES])[:MAX_BYTES]


def prompt_start_of(fields: Mapping[str, msgspec.Raw]) -> bytes:
    """Of a body as the client wrote it, of which only the beginning is read. Never raises: what
    can't be read begins with nothing.
    """
    if "messages" in fields:
        messages = _beginning(fields["messages"])
        return _start(map(_role_and_text, messages if isinstance(messages, list) else ()))
    prompt = _beginning(fields["prompt"]) if "prompt" in fields else None
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, str):
        return plain_start(prompt)
    ids = prompt if isinstance(prompt, list) else []
    return plain_start([each for each in ids[:MAX_BYTES] if type(each) is int])


def _role_and_text(message: object) -> tuple[str, str]:
    fields = message if isinstance(message, dict) else {}
    content = fields.get("content")
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "\n".join(text for text in texts if isinstance(text, str))
    role = fields.get("role")
    return role if isinstance(role, str) else "", content if isinstance(content, str) else ""


def _start(turns: Iterable[tuple[str, str]]) -> bytes:
    """Half of the bytes at most are the system's, so that there is room for the user's."""
    system = b""
    for role, text in turns:
        if role in _SYSTEM_ROLES and not system:
            system = _bytes(text, MAX_BYTES // 2)
        elif role == "user":
            return system + b"\n" + _bytes(text, MAX_BYTES // 2 - 1)
    return system


def _bytes(text: str, limit: int) -> bytes:
    return text[:limit].encode("utf-8", "surrogatepass")[:limit]


def _beginning(raw: msgspec.Raw) -> Any:
    """What the first bytes of a value hold; None for what is no JSON."""
    try:
        # A character that is cut is no JSON: it goes.
        text = bytes(memoryview(raw)[:_WINDOW_BYTES]).decode("utf-8", "ignore")
        return from_json(text, allow_partial="trailing-strings")
    except (ValueError, RecursionError):
        return None
