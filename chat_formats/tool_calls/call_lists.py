"""Reads what may follow an opening: one call object, a list of them, or a name with arguments.

Knows no opening and no closing.
"""

from collections.abc import Callable
from typing import Protocol

from chat_formats.tool_calls.call_object import SPACE, CallObject
from chat_formats.tool_calls.emitter import Emitter
from chat_formats.tool_calls.json_span import JsonSpan, Progress

_MAX_NAME_CHARACTERS = 1000
_ID_SIGN = "[CALL_ID]"
_ARGUMENTS_SIGN = "[ARGS]"


class CallReader(Protocol):
    """Reads calls until it has all, or meets what can't be one."""

    progress: Progress

    @property
    def has_begun(self) -> bool:
        """Whether a call was told of."""
        ...

    @property
    def unsaid(self) -> str:
        """What was read and told nobody: text, where the reader fails or the answer ends."""
        ...

    def feed(self, text: str, at: int) -> int: ...


class CallList:
    """`[object, object]`. Each call is told of as it begins, and is complete with its object."""

    def __init__(self, emitter: Emitter, make_object: Callable[[], CallObject]) -> None:
        self.progress = Progress.OPEN
        self.has_begun = False
        self._emitter = emitter
        self._make_object = make_object
        self._object: CallObject | None = None
        self._wanted = "["
        self._read: list[str] = []

    @property
    def unsaid(self) -> str:
        inner = self._object.unsaid if self._object is not None else ""
        return "".join(self._read) + inner

    def feed(self, text: str, at: int) -> int:
        while at < len(text) and self.progress is Progress.OPEN:
            if self._object is not None:
                at = self._read_object(self._object, text, at)
            elif text[at] in SPACE:
                at = self._keep(text, at)
            elif text[at] in self._wanted:
                at = self._sign(text, at)
            else:
                self.progress = Progress.FAILED
        return at

    def _sign(self, text: str, at: int) -> int:
        sign = text[at]
        if sign == "]":
            self.progress = Progress.DONE
        elif sign == "{":
            self._object = self._make_object()
            return at
        else:
            self._wanted = "{"
        return self._keep(text, at)

    def _read_object(self, call: CallObject, text: str, at: int) -> int:
        at = call.feed(text, at)
        if call.has_begun:
            self.has_begun, self._read = True, []
        if call.progress is Progress.DONE:
            self._object, self._wanted = None, ",]"
            self._emitter.complete()
        elif call.progress is Progress.FAILED:
            self.progress = Progress.FAILED
        return at

    def _keep(self, text: str, at: int) -> int:
        self._read.append(text[at])
        return at + 1


class NamedCall:
    """`name[ARGS]{…}`, `name[CALL_ID]id[ARGS]{…}` or `name{…}`."""

    def __init__(self, emitter: Emitter) -> None:
        self.progress = Progress.OPEN
        self._emitter = emitter
        self._head = ""
        self._span: JsonSpan | None = None

    @property
    def has_begun(self) -> bool:
        return self._span is not None

    @property
    def unsaid(self) -> str:
        return "" if self.has_begun else self._head

    def feed(self, text: str, at: int) -> int:
        if self._span is None:
            at = self._read_head(text, at)
        if self._span is None or at >= len(text):
            return at
        start, at = at, self._span.feed(text, at)
        self._emitter.arguments(text[start:at])
        self.progress = self._span.progress
        return at

    def _read_head(self, text: str, at: int) -> int:
        """Up to the brace that opens the arguments: until then, it may be no call."""
        end = text.find("{", at)
        limit = _MAX_NAME_CHARACTERS - len(self._head)
        if (end if end >= 0 else len(text)) - at > limit:
            self._head += text[at : at + limit]
            self.progress = Progress.FAILED
            return at + limit
        self._head += text[at : end if end >= 0 else len(text)]
        if end < 0:
            return len(text)
        name = self._head.rstrip().removesuffix(_ARGUMENTS_SIGN).partition(_ID_SIGN)[0].strip()
        if not name or any(sign in SPACE + '"[]' for sign in name):
            self.progress = Progress.FAILED
            return end
        self._span = JsonSpan()
        self._emitter.call(name)
        return end


class ChosenCall:
    """What comes first, past white space, tells what it is."""

    def __init__(self, choose: Callable[[str], CallReader | None]) -> None:
        self.progress = Progress.OPEN
        self._choose = choose
        self._reader: CallReader | None = None
        self._space: list[str] = []

    @property
    def has_begun(self) -> bool:
        return self._reader is not None and self._reader.has_begun

    @property
    def unsaid(self) -> str:
        inner = self._reader.unsaid if self._reader is not None else ""
        return inner if self.has_begun else "".join(self._space) + inner

    def feed(self, text: str, at: int) -> int:
        start = at
        while self._reader is None and at < len(text) and text[at] in SPACE:
            at += 1
        self._space.append(text[start:at])
        if at >= len(text):
            return at
        if self._reader is None:
            self._reader = self._choose(text[at])
        if self._reader is None:
            self.progress = Progress.FAILED
            return at
        at = self._reader.feed(text, at)
        self.progress = self._reader.progress
        return at
