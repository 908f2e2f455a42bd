"""Owns where server-sent events end in the bytes of a stream. Knows nothing of what they hold."""

import re
from itertools import accumulate, takewhile

# A line's end is \n, \r\n or \r, and two of them in a row end an event. The \r of \r\n alone is
# none: it would be taken for two.
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_LINE = re.compile(rb"\r\n|\n|\r")
# So many bytes before new ones can be the beginning of a blank line that these complete.
_MAX_BEGUN = 3
# As long as an answer's longest part can reasonably be: a call with a whole file as an argument,
# or the scores of a prompt's ids, which one event holds.
MAX_EVENT = 16 * 1024 * 1024


class EventTooLong(Exception):
    """More than MAX_EVENT bytes came without an event's end."""


class EventCutter:
    """Takes pieces as they come and gives whole events as soon as they are there, unchanged."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, piece: bytes) -> bytes:
        """All events that `piece` completes, joined; empty where it completes none."""
        if not self._rest and piece.endswith(b"\n\n"):
            return piece
        start = max(len(self._rest) - _MAX_BEGUN, 0)
        self._rest += piece
        end = self._last_end(start)
        whole = bytes(self._rest[:end])
        del self._rest[:end]
        if len(self._rest) > MAX_EVENT:
            raise EventTooLong
        return whole

    @property
    def has_rest(self) -> bool:
        """Whether an event has begun that is not whole. An odd line's end is none."""
        return bool(self._rest.strip(b"\r\n"))

    def _last_end(self, start: int) -> int:
        """Behind the last blank line that ends behind `start`; 0 where there is none."""
        if self._rest.find(b"\r", start) < 0:
            found = self._rest.rfind(b"\n\n", start)
            return 0 if found < 0 else found + 2
        end = 0
        for match in _BLANK_LINE.finditer(self._rest, start):
            end = match.end()
        return end


def split_events(whole: bytes) -> list[bytes]:
    """One item an event; joined they are what was given."""
    if b"\r" not in whole:
        *events, _ = whole.split(b"\n\n")
        return [event + b"\n\n" for event in events]
    ends = [match.end() for match in _BLANK_LINE.finditer(whole)]
    return [whole[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def end_before(whole: bytes, index: int) -> int:
    """Where the event begins that holds the byte at `index`."""
    ends = accumulate(map(len, split_events(whole)))
    return max(takewhile(lambda end: end <= index, ends), default=0)


def num_line_ends(event: bytes) -> int:
    """At least as many as there are."""
    return event.count(b"\n") + event.count(b"\r")


def event_fields(event: bytes) -> dict[bytes, bytes]:
    """Fields by name, as the standard reads them; lines of one name are joined."""
    fields: dict[bytes, list[bytes]] = {}
    for line in event.split(b"\n") if b"\r" not in event else _LINE.split(event):
        name, _, value = line.partition(b":")
        if name:
            fields.setdefault(name, []).append(value.removeprefix(b" "))
    return {name: b"\n".join(values) for name, values in fields.items()}
