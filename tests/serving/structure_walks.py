"""Random texts of a grammar, byte by byte, without a model; and what judges them."""

import datetime
import ipaddress
import json
import random
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from core.grammar import Grammar
from serving.structures.rehearsal import Rehearsal

END_ID = 256
REHEARSAL = Rehearsal()
# What closes a value, taken often where it may come, so that walks end.
CLOSING = frozenset(b'"}],')
CHECKER = FormatChecker(formats=())


def walk(grammar: Grammar, seed: int, num_steps: int = 1500) -> str | None:
    """A random text that the grammar accepts; None where the walk was not at an end in time."""
    draws = random.Random(seed)
    matcher = REHEARSAL.matcher(grammar)
    text = bytearray()
    for _ in range(num_steps):
        mask = matcher.compute_bitmask()
        assert not matcher.is_error(), matcher.get_error()
        ids = [each for each in range(END_ID + 1) if mask[each >> 3] >> (each & 7) & 1]
        assert ids, f"nothing goes on after {bytes(text)!r}"
        chosen = _chosen(ids, draws)
        if chosen == END_ID:
            return text.decode()
        text.append(chosen)
        assert matcher.consume_token(chosen)
    return None


def _chosen(ids: list[int], draws: random.Random) -> int:
    closing = [each for each in ids if each in CLOSING or each == END_ID]
    return draws.choice(closing if closing and draws.random() < 0.4 else ids)


def accepts(grammar: Grammar, text: str) -> bool:
    matcher = REHEARSAL.matcher(grammar)
    ids = list(text.encode())
    return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()


def refuse_invalid(schema: Any, text: str) -> None:
    """Raises where the text is no JSON that the schema accepts. Decimals are exact, floats not."""
    exact = json.loads(json.dumps(schema), parse_float=Decimal)
    value = json.loads(text, parse_float=Decimal)
    Draft202012Validator(exact, format_checker=CHECKER).validate(value)


def _judges(name: str) -> Callable[[Callable[[str], object]], Callable[[str], object]]:
    """Registers what raises ValueError, or returns None, for a text that is not of the format."""

    def register(judge: Callable[[str], object]) -> Callable[[str], object]:
        def holds(value: object) -> bool:
            return not isinstance(value, str) or judge(value) is not None

        CHECKER.checks(name, raises=ValueError)(holds)
        return judge

    return register


_judges("date")(datetime.date.fromisoformat)
_judges("uuid")(uuid.UUID)
_judges("ipv4")(ipaddress.IPv4Address)
_judges("ipv6")(ipaddress.IPv6Address)
_judges("email")(re.compile(r"[^@]+@[^@]+\Z").match)
_judges("duration")(re.compile(r"P(?=.)(\d+[YMWD])*(T(\d+[HMS])+)?\Z").match)
_judges("hostname")(re.compile(r"(?!-)[a-zA-Z0-9-]{1,63}(\.(?!-)[a-zA-Z0-9-]{1,63})*\Z").match)
_judges("uri")(re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:[!-~]*\Z").match)


@_judges("time")
def _time(text: str) -> object:
    return re.fullmatch(r".+([zZ]|[+-]\d\d:\d\d)", text) and _clock(text)


@_judges("date-time")
def _date_time(text: str) -> object:
    datetime.date.fromisoformat(text[:10])
    return _time(text[11:]) if text[10] in "tT" else None


def _clock(text: str) -> datetime.time:
    """Python knows no leap second, and six digits of one."""
    ordinary = re.sub(r"(\.\d{6})\d+", r"\1", text.upper())
    return datetime.time.fromisoformat(re.sub(r":60(?=[.Z+-])", ":59", ordinary))
