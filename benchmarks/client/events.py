"""Owns what is read of a streamed chunk, chat or plain. Knows no connection."""

from typing import Any

import msgspec

END = b"[DONE]"


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    text: str | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None

    @property
    def num_cached(self) -> int | None:
        return self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else None


class Chunk(msgspec.Struct):
    """The parts of a chunk that are measured; all else is skipped."""

    choices: list[_Choice] = []
    usage: Usage | None = None
    error: Any = None

    @property
    def text(self) -> str:
        if not self.choices:
            return ""
        choice = self.choices[0]
        return choice.text or (choice.delta.content if choice.delta else None) or ""

    @property
    def finish_reason(self) -> str | None:
        return self.choices[0].finish_reason if self.choices else None


read_chunk = msgspec.json.Decoder(Chunk).decode
