"""Owns which Lark grammars are passed on, and what becomes of GBNF and of schemas inside them.

Refused is what would let a grammar draw control tokens, what hides or cuts text, and what is large.
Compiles nothing.
"""

import json
import re
from collections.abc import Callable

from core.errors import InvalidValue
from core.grammar import Grammar, GrammarKind
from core.structures import LarkGrammar
from serving.structures.limits import refused, shortened
from serving.structures.regexes import pattern_fault
from serving.structures.rehearsal import as_lark, schema_grammar
from serving.structures.schemas import Translation

MAX_GRAMMAR_CHARACTERS = 32_768
MAX_RULES = 300
# Rules and parentheses nest natively; 3000 overflow the stack.
MAX_NESTING_PARTS = 1200
MAX_COUNT = 1000
_PART = re.compile(
    r"""(?P<comment>(?://|\#)[^\n]*)
    |(?P<string>"(?:\\.|[^"\\])*"i?)
    |(?P<regex>/(?:\\.|[^/\\])+/[a-z]*)
    |(?P<token><[^<>\s]+>)
    |(?P<option>%[a-z]+)
    |(?P<attributes>\[[^\]\n]*\](?=\s*:))
    |(?P<count>\{[0-9, ]*\}|~[ ]*[0-9]+)
    |(?P<rule>:)
    |(?P<nesting>[(\[~])
    |(?P<other>[^\s"/<%\[{~:(]+|.)""",
    re.DOTALL | re.VERBOSE,
)
_ATTRIBUTES = re.compile(r"\[\s*(lazy|capture|capture\s*=\s*\"[^\"]*\")?\s*\]")
_OPTIONS = ("%json", "%regex", "%ignore", "%import", "%llguidance")


def lark_grammar(wanted: LarkGrammar) -> Grammar:
    """Raises InvalidValue."""
    if len(wanted.text) > MAX_GRAMMAR_CHARACTERS:
        raise refused(
            wanted.param,
            f"grammar has {len(wanted.text)} characters; allowed are at most"
            f" {MAX_GRAMMAR_CHARACTERS}",
        )
    try:
        text = as_lark(wanted.text)
    except ValueError as error:
        raise refused(
            wanted.param, f"grammar is neither Lark nor GBNF: no conversion: {error}"
        ) from None
    return Grammar(GrammarKind.LARK, _Screen(text, wanted.param).run())


class _Screen:
    """Reads a grammar part by part, as llguidance cuts it."""

    def __init__(self, text: str, param: str) -> None:
        self._text = text
        self._param = param
        self._at = 0
        self._num_rules = 0
        self._num_nesting = 0
        self._written: list[str] = []
        self._checks: dict[str, Callable[[str], None]] = {
            "regex": self._regex,
            "token": self._token,
            "option": self._option,
            "attributes": self._attributes,
            "count": self._count,
            "rule": self._rule,
            "nesting": self._nesting,
        }

    def run(self) -> str:
        """The grammar to pass on. Raises InvalidValue."""
        while self._at < len(self._text):
            match = _PART.match(self._text, self._at)
            assert match is not None, "every character is some part"
            part, kind = match.group(), match.lastgroup or ""
            self._at = match.end()
            self._written.append(part)
            self._checks.get(kind, _pass)(part)
        return "".join(self._written)

    def _fault(self, message: str) -> InvalidValue:
        line = self._text.count("\n", 0, self._at) + 1
        return refused(self._param, f"grammar, line {line}: {message}")

    def _regex(self, part: str) -> None:
        fault = pattern_fault(part)
        if fault is not None:
            raise self._fault(f"the regular expression {shortened(part)} {fault}")

    def _token(self, part: str) -> None:
        raise self._fault(
            f"{shortened(part)} is a special token, which answers can't hold; write text in quotes"
        )

    def _attributes(self, part: str) -> None:
        if _ATTRIBUTES.fullmatch(part) is None:
            raise self._fault(
                f"{shortened(part)} is not supported; allowed after a rule's name are [lazy] and"
                " [capture]"
            )

    def _count(self, part: str) -> None:
        if any(int(number[:9]) > MAX_COUNT for number in re.findall("[0-9]+", part)):
            raise self._fault(
                f"{shortened(part)} repeats too often; allowed are at most {MAX_COUNT} times"
            )
        self._nesting(part)

    def _rule(self, part: str) -> None:
        self._num_rules += 1
        if self._num_rules > MAX_RULES:
            raise self._fault(f"there are more than {MAX_RULES} rules")

    def _nesting(self, part: str) -> None:
        if part == "~":
            raise self._fault("~ is not supported: what is left over may be no text")
        self._num_nesting += 1
        if self._num_nesting > MAX_NESTING_PARTS:
            raise self._fault(f"there are more than {MAX_NESTING_PARTS} groups and repetitions")

    def _option(self, part: str) -> None:
        if part not in _OPTIONS:
            raise self._fault(
                f"{shortened(part)} is not supported; known are {', '.join(_OPTIONS)}"
            )
        if part not in ("%json", "%regex", "%llguidance"):
            return
        value = self._value(part)
        if part == "%llguidance" and value:
            raise self._fault("%llguidance takes no options here; allowed is {}")
        if part == "%json":
            translation = Translation(value, self._param, is_strict=False)
            value = json.loads(schema_grammar(translation.run(), is_compact=False).text)
        self._written.append(" " + json.dumps(value, ensure_ascii=False))

    def _value(self, part: str) -> dict[str, object]:
        """The object after a word, which is passed over. Raises InvalidValue."""
        start = len(self._text) - len(self._text[self._at :].lstrip())
        try:
            value, self._at = json.JSONDecoder().raw_decode(self._text, start)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise self._fault(f"{part} is followed by no JSON object")
        return value


def _pass(_part: str) -> None:
    """Nothing to check."""
