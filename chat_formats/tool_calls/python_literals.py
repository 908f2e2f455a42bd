"""Turns the arguments of a call written as Python into JSON text. Runs nothing, evaluates nothing.

Linear in the text. Numbers stay as they are written.
"""

import json
import re

_MAX_DEPTH = 64
_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[^\s=,()\[\]{}'\"]+")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])", re.ASCII)
_WORD = re.compile(r"(?:True|true|False|false|None|null)(?!\w)")
_WORDS = {"True": "true", "False": "false", "None": "null"}
_PLAIN = {'"': re.compile(r'[^"\\\n]*'), "'": re.compile(r"[^'\\\n]*")}
_ESCAPE = re.compile(
    r"\\(?:(?P<simple>[nrtbfav0\\'\"/])|x(?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})"
    r"|U(?P<U>[0-9a-fA-F]{8}))"
)
_SIMPLE = dict(zip("nrtbfav0\\'\"/", "\n\r\t\b\f\a\v\0\\'\"/", strict=True))


class NotLiteral(Exception):
    """The text is no list of keyword arguments with literal values."""


def arguments_as_json(text: str) -> str:
    """`a=1, b=['x']` as `{"a": 1, "b": ["x"]}`. Raises NotLiteral."""
    return _Reader(text).arguments()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def arguments(self) -> str:
        written: dict[str, str] = {}
        self._skip()
        while self._at < len(self._text):
            name = self._match(_NAME)
            self._expect("=")
            if name in written or not name.isidentifier():
                raise NotLiteral
            written[name] = self._value()
            if self._at < len(self._text):
                self._expect(",")
        pairs = (f"{json.dumps(name, ensure_ascii=False)}: {v}" for name, v in written.items())
        return "{" + ", ".join(pairs) + "}"

    def _value(self) -> str:
        """The value's JSON, and the white space behind it."""
        self._depth += 1
        if self._depth > _MAX_DEPTH or self._at >= len(self._text):
            raise NotLiteral
        first = self._text[self._at]
        if first in "'\"":
            value = json.dumps(self._string(first), ensure_ascii=False)
        elif first in "[(":
            value = "[" + ", ".join(self._items("]" if first == "[" else ")")) + "]"
        elif first == "{":
            value = "{" + ", ".join(self._pairs()) + "}"
        else:
            value = self._scalar()
        self._depth -= 1
        self._skip()
        return value

    def _scalar(self) -> str:
        found = _WORD.match(self._text, self._at) or _NUMBER.match(self._text, self._at)
        if found is None:
            raise NotLiteral
        self._at = found.end()
        return _WORDS.get(found.group(), found.group())

    def _items(self, closer: str) -> list[str]:
        items: list[str] = []
        self._at += 1
        self._skip()
        while not self._ends(closer):
            items.append(self._value())
            if not self._text.startswith(closer, self._at):
                self._expect(",")
        return items

    def _pairs(self) -> list[str]:
        pairs: list[str] = []
        self._at += 1
        self._skip()
        while not self._ends("}"):
            quote = self._text[self._at : self._at + 1]
            if quote not in ("'", '"'):
                raise NotLiteral
            key = json.dumps(self._string(quote), ensure_ascii=False)
            self._skip()
            self._expect(":")
            pairs.append(f"{key}: {self._value()}")
            if not self._text.startswith("}", self._at):
                self._expect(",")
        return pairs

    def _string(self, quote: str) -> str:
        self._at += 1
        parts: list[str] = []
        while True:
            parts.append(self._match(_PLAIN[quote]))
            if self._text.startswith(quote, self._at):
                self._at += 1
                return _whole("".join(parts))
            parts.append(self._escape())

    def _escape(self) -> str:
        found = _ESCAPE.match(self._text, self._at)
        if found is None:
            raise NotLiteral
        self._at = found.end()
        if found["simple"]:
            return _SIMPLE[found["simple"]]
        code = int(found["x"] or found["u"] or found["U"], 16)
        if code > 0x10FFFF:
            raise NotLiteral
        return chr(code)

    def _ends(self, closer: str) -> bool:
        if not self._text.startswith(closer, self._at):
            return False
        self._at += len(closer)
        return True

    def _expect(self, sign: str) -> None:
        """The sign, and white space around it."""
        self._skip()
        if not self._text.startswith(sign, self._at):
            raise NotLiteral
        self._at += len(sign)
        self._skip()

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise NotLiteral
        self._at = found.end()
        return found.group()

    def _skip(self) -> None:
        self._match(_SPACE)


def _whole(text: str) -> str:
    """Two escapes that make one character are joined. Raises NotLiteral for half of one."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise NotLiteral from None
