"""Owns whether a stream has come to its one right end. Knows no connection.

Every form has text that grows, one end, and at most one error instead of it.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from soak.ask import Form

_DONE = b"[DONE]"
_ENDS = ("response.completed", "response.incomplete", "message_stop")
_LAST_TEXT = ("response.output_text.done", "message_delta")
_TEXT = ("response.output_text.delta", "content_block_delta")


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    text: str | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Event(msgspec.Struct):
    """The parts of any API's event that are looked at."""

    type: str = ""
    choices: list[_Choice] = []
    error: Any = None
    response: Any = None


_read = msgspec.json.Decoder(_Event).decode


@dataclass(slots=True)
class StreamCheck:
    """One stream as it comes. `fault` says what is wrong with what came so far."""

    form: Form
    num_events: int = 0
    # The last event that carries text or its end has come; the stream's own end may not have.
    is_text_over: bool = False
    is_ended: bool = False
    error_code: str | None = None
    fault: str | None = None
    texts: dict[int, str] = field(default_factory=dict)
    finish_reasons: dict[int, str] = field(default_factory=dict)

    def take(self, data: bytes) -> bool:
        """Whether this event carried text."""
        self.num_events += 1
        if self.is_ended:
            self.fault = "an event came after the end"
        if data == _DONE:
            self._end_chat()
            return False
        try:
            event = _read(data)
        except msgspec.DecodeError as error:
            self.fault = f"an event is no JSON of this API: {error}"
            return False
        if event.error is not None or event.type == "response.failed":
            self._fail(event)
            return False
        return self._take_choices(event) if self.form is Form.CHAT else self._take_typed(event)

    def _take_choices(self, event: _Event) -> bool:
        grew = False
        for choice in event.choices:
            text = choice.text or (choice.delta.content if choice.delta else None) or ""
            grew = grew or bool(text)
            self.texts[choice.index] = self.texts.get(choice.index, "") + text
            if choice.finish_reason is not None:
                self._finish(choice.index, choice.finish_reason)
        return grew

    def _finish(self, index: int, reason: str) -> None:
        if index in self.finish_reasons:
            self.fault = f"choice {index} ended twice"
        self.finish_reasons[index] = reason
        self.is_text_over = len(self.finish_reasons) == len(self.texts)

    def _take_typed(self, event: _Event) -> bool:
        self.is_text_over = self.is_text_over or event.type in _LAST_TEXT
        self.is_ended = event.type in _ENDS
        return event.type in _TEXT

    def _end_chat(self) -> None:
        self.is_ended = True
        if self.form is not Form.CHAT:
            self.fault = "[DONE] in an API that has none"
        elif self.finish_reasons.keys() != self.texts.keys() or not self.texts:
            self.fault = "[DONE] came before every choice had ended"

    def _fail(self, event: _Event) -> None:
        self.is_ended = True
        found = event.error
        if found is None and isinstance(event.response, dict):
            found = event.response.get("error")
        code = found.get("code") or found.get("type") if isinstance(found, dict) else None
        self.error_code = str(code or "unknown")
