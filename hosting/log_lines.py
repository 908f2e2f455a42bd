"""Owns how a log record becomes a line, as text or as JSON. Knows not where it goes.

Nothing in a record can make a line look like another: what a client or a model chose is in many.
"""

import json
import logging
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from core.request_context import request_id
from core.setting_types import LogFormat

_MAX_CHARACTERS = 16 << 10
# Control characters, line ends of all kinds, what turns the direction of writing, and halves of
# characters, which can't be encoded.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_BARE_VALUE = re.compile(r"[\w.,:/@+*-]+", re.ASCII)
_CONTINUED = "\n  | "


def formatter_of(form: LogFormat) -> logging.Formatter:
    return JsonLines() if form is LogFormat.JSON else TextLines()


class TextLines(logging.Formatter):
    """`TIME LEVEL logger request=ID message key=value …`; tracebacks follow, marked and indented.

    Whatever a message holds, the first `request=` is ours.
    """

    def format(self, record: logging.LogRecord) -> str:
        parts = [
            _time(record),
            record.levelname,
            record.name,
            f"request={_value(request_id.get())}",
            _shortened(_message(record)),
            *(f"{key}={_value(value)}" for key, value in _facts(record).items()),
        ]
        told = escaped(" ".join(parts))
        lines = _exception(self, record).splitlines()
        return _CONTINUED.join([told, *map(escaped, lines)])


class JsonLines(logging.Formatter):
    """An object a line: time, level, logger, request_id, message, exception, and the facts."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "request_id": request_id.get(),
            "message": _shortened(_message(record)),
        }
        if exception := _exception(self, record):
            fields["exception"] = exception
        facts = {key: _number(value) for key, value in _facts(record).items()}
        return json.dumps({**fields, **facts, **fields}, default=str)


def escaped(text: str) -> str:
    """On one line, whatever was in it."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _time(record: logging.LogRecord) -> str:
    """RFC 3339, in UTC."""
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return moment.replace("+00:00", "Z")


def _message(record: logging.LogRecord) -> str:
    """Other libraries' lines may have arguments that don't fit: they are told all the same."""
    try:
        return record.getMessage()
    except Exception:
        return f"{record.msg} {record.args!r}"


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info:
        parts.append(formatter.formatException(record.exc_info))
    elif record.exc_text:
        parts.append(record.exc_text)
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return _shortened("\n".join(parts))


def _shortened(text: str) -> str:
    """A traceback says the most at its end, and what went wrong at all in its first lines."""
    if len(text) <= _MAX_CHARACTERS:
        return text
    half = _MAX_CHARACTERS // 2
    return f"{text[:half]} … {len(text) - 2 * half} characters … {text[-half:]}"


def _facts(record: logging.LogRecord) -> Mapping[str, Any]:
    facts = getattr(record, "facts", None)
    return facts if isinstance(facts, Mapping) else {}


def _number(value: object) -> object:
    """JSON has no NaN and no infinity; more digits than these are noise."""
    if not isinstance(value, float):
        return value
    return round(value, 6) if math.isfinite(value) else None


def _value(value: object) -> str:
    """Bare where it can't be mistaken for anything else, else quoted."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.3f}"
    text = _shortened(str(value))
    return text if _BARE_VALUE.fullmatch(text) else json.dumps(text, ensure_ascii=False)
