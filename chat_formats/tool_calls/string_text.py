"""Reads what a JSON string says while it comes: whole characters only."""

import json
import re

from chat_formats.tool_calls.json_span import Progress

_PLAIN = re.compile(r'[^"\\]*')
_ESCAPE = re.compile(r'\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt])')
_BEGUN_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?")


class StringText:
    """Begins behind the opening quote. `said` is taken text by text."""

    def __init__(self) -> None:
        self.progress = Progress.OPEN
        self.said = ""
        self._escape = ""
        self._high = ""

    def feed(self, text: str, at: int) -> int:
        """Reads on from `at`; gives the place of the first character that was not read."""
        while at < len(text) and self.progress is Progress.OPEN:
            if self._escape or text[at] == "\\":
                at = self._read_escape(text, at)
            elif text[at] == '"':
                self._say("")
                self.progress, at = Progress.DONE, at + 1
            else:
                found = _PLAIN.match(text, at)
                assert found is not None, "it matches nothing at least"
                self._say(found.group())
                at = found.end()
        return at

    def flush(self) -> None:
        """The text ends in the middle."""
        self._say("")

    def _read_escape(self, text: str, at: int) -> int:
        self._escape += text[at]
        if _ESCAPE.fullmatch(self._escape):
            self._take(json.loads(f'"{self._escape}"'))
            self._escape = ""
        elif _BEGUN_ESCAPE.fullmatch(self._escape) is None:
            self._say(self._escape)
            self._escape = ""
        return at + 1

    def _take(self, character: str) -> None:
        """Halves of a pair are joined; half of one is no character."""
        code = ord(character)
        if 0xD800 <= code < 0xDC00:
            self._say("")
            self._high = character
        elif 0xDC00 <= code < 0xE000:
            pair, self._high = self._high + character, ""
            self.said += pair.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        else:
            self._say(character)

    def _say(self, text: str) -> None:
        self.said += ("\ufffd" if self._high else "") + text
        self._high = ""
