"""Owns every call into llguidance above the seam: a grammar is compiled and walked a little here.

With ids that are bytes and half the limits that engines have, so that what passes here does not
fail there. Knows no schema and no request.
"""

import json
import random
from typing import Any

import llguidance
from llguidance.gbnf_to_lark import gbnf_to_lark, is_lark_syntax

from core.grammar import Grammar, GrammarKind

_NUM_WALKS = 4
_NUM_STEPS = 32
_END_ID = 256
_NO_TEXT = "no text can match it"


class _Bytes:
    """A vocabulary of the 256 bytes, and one id to end with."""

    eos_token_id = _END_ID
    bos_token_id = None
    tokens = (*(bytes([byte]) for byte in range(256)), b"<end>")
    special_token_ids = (_END_ID,)

    def __call__(self, text: str | bytes) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)


class Rehearsal:
    """Compiles grammars as the engines do. Blocking; safe from several threads."""

    def __init__(self) -> None:
        wrapped = llguidance.TokenizerWrapper(_Bytes())
        self._tokenizer = llguidance.LLTokenizer(wrapped, slices=[])

    def fault_of(self, grammar: Grammar) -> str | None:
        """Why no engine could follow the grammar, in one line; None where it can.

        Takes some random steps: what has no text at all, or grows too large, shows at once.
        """
        try:
            matcher = self.matcher(grammar)
        except ValueError as error:
            return _line(str(error))
        for seed in range(_NUM_WALKS):
            fault = _fault_on_the_way(matcher, random.Random(seed))
            if fault is not None:
                return fault
            matcher.reset()
        return None

    def is_cut_short(self, grammar: Grammar, text: bytes) -> bool:
        """Whether the text could go on, but can't end here. False where that can't be told."""
        try:
            matcher = self.matcher(grammar)
        except ValueError:
            return False
        matcher.consume_tokens(list(text))
        return not matcher.is_error() and not matcher.is_accepting()

    def matcher(self, grammar: Grammar) -> llguidance.LLMatcher:
        """At the start of a text of bytes. Raises ValueError."""
        matcher = llguidance.LLMatcher(
            self._tokenizer, compiled(grammar), log_level=0, limits=_limits()
        )
        if matcher.is_error():
            raise ValueError(matcher.get_error())
        return matcher


def _fault_on_the_way(matcher: llguidance.LLMatcher, draws: random.Random) -> str | None:
    for _ in range(_NUM_STEPS):
        mask = matcher.compute_bitmask()
        if matcher.is_error():
            return _line(matcher.get_error())
        ids = [each for each in range(_END_ID + 1) if mask[each >> 3] >> (each & 7) & 1]
        if not ids or ids == [_END_ID]:
            return None if matcher.is_accepting() else _NO_TEXT
        if not matcher.consume_token(draws.choice(ids)):
            return _line(matcher.get_error())
    return None


def compiled(grammar: Grammar) -> str:
    """What llguidance is given, by the same calls as in the engines. Raises ValueError."""
    if grammar.kind is GrammarKind.REGEX:
        return llguidance.LLMatcher.grammar_from_regex(grammar.text)
    if grammar.kind is GrammarKind.LARK:
        return llguidance.LLMatcher.grammar_from_lark(grammar.text)
    return llguidance.LLMatcher.grammar_from_json_schema(
        grammar.text, defaults={"whitespace_flexible": True}
    )


def with_ascii_classes(pattern: str) -> str:
    r"""The pattern with \d and \w of ASCII, as JSON Schema's patterns have them."""
    return llguidance.regex_to_lark(pattern, "dw")


def as_lark(text: str) -> str:
    """A grammar in Lark, from GBNF where it is none. Raises ValueError."""
    if is_lark_syntax(text):
        return text
    try:
        return gbnf_to_lark(text)
    except Exception as error:  # its own kinds, and IndexError and RecursionError
        raise ValueError(_line(str(error)) or type(error).__name__) from None


def schema_grammar(schema: dict[str, Any], *, is_compact: bool) -> Grammar:
    """`schema` is translated. At most one space where there may be any: a model can't run on."""
    space = "" if is_compact else " ?"
    options = {
        "whitespace_flexible": False,
        "item_separator": f",{space}",
        "key_separator": f":{space}",
    }
    text = json.dumps({"x-guidance": options, **schema}, ensure_ascii=False)
    return Grammar(GrammarKind.JSON_SCHEMA, text)


def _limits() -> llguidance.LLParserLimits:
    return llguidance.LLParserLimits(
        max_items_in_row=1000,
        initial_lexer_fuel=400_000,
        step_lexer_fuel=100_000,
        step_max_items=25_000,
        max_lexer_states=125_000,
        max_grammar_size=250_000,
        verbose_errors=False,
    )


def _line(message: str) -> str:
    """The library's reason without its dump of states."""
    for dump in ("<state>", "<backtrace>", "<non-verbose/>"):
        message = message.split(dump)[0]
    if message.startswith("NoExtension"):
        return _NO_TEXT
    text = " ".join(message.split())
    return text if len(text) <= 200 else text[:200] + "…"
