"""Turns what a client wants an answer to match into a grammar, or says what is wrong with it.

Every check is made here, above the seam: engines compile a grammar that has been compiled before.
Knows no model and no vocabulary.
"""

import json
from hashlib import sha256

from core.errors import InvalidValue
from core.grammar import Grammar, GrammarKind
from core.structures import Choice, JsonObject, JsonSchema, LarkGrammar, Regex, Structure
from serving.structures.grammars import lark_grammar
from serving.structures.limits import refused
from serving.structures.names import literal
from serving.structures.recent import Recent
from serving.structures.regexes import pattern_fault
from serving.structures.rehearsal import Rehearsal, schema_grammar, with_ascii_classes
from serving.structures.schemas import Translation

MAX_CHOICE_CHARACTERS = 1 << 16
_NUM_KEPT = 256
_MAX_KEPT_CHARACTERS = 1 << 15


class StructureCompiler:
    """Blocking: some milliseconds for what people send, below a second for what they make up."""

    def __init__(self) -> None:
        self._rehearsal = Rehearsal()
        self._schemas: Recent[Grammar] = Recent(_NUM_KEPT)
        self._faults: Recent[str | None] = Recent(_NUM_KEPT)

    def compile(self, structure: Structure) -> Grammar:
        """Raises InvalidValue, with the request's field as its param."""
        if isinstance(structure, JsonSchema):
            key = _schema_key(structure)
            if key is not None:
                return self._schemas.get(key, lambda: self._compile(structure))
        return self._compile(structure)

    def _compile(self, structure: Structure) -> Grammar:
        if isinstance(structure, JsonObject):
            return schema_grammar({"type": "object"}, is_compact=structure.is_compact)
        if isinstance(structure, JsonSchema):
            return self._schema(structure)
        if isinstance(structure, Regex):
            return self._regex(structure)
        if isinstance(structure, Choice):
            return self._choice(structure)
        return self._lark(structure)

    def rehearse(self, grammar: Grammar, param: str, words: str) -> None:
        """For grammars that were written here. Raises InvalidValue where no engine could follow it;
        `words` say what can't be done then.
        """
        self._rehearsed(grammar, param, words)

    def is_cut_short(self, grammar: Grammar, text: bytes) -> bool:
        """Whether an answer that its engine ended is only the beginning of a match. Blocking."""
        return self._rehearsal.is_cut_short(grammar, text)

    def _schema(self, wanted: JsonSchema) -> Grammar:
        translation = Translation(wanted.schema, wanted.param, is_strict=wanted.is_strict)
        schema = translation.run()
        for pattern, path in translation.patterns.items():
            text = json.dumps({"type": "string", "pattern": pattern}, ensure_ascii=False)
            fault = self._rehearsal.fault_of(Grammar(GrammarKind.JSON_SCHEMA, text))
            if fault is not None:
                raise refused(wanted.param, f"at {path}: the pattern can't be used: {fault}")
        grammar = schema_grammar(schema, is_compact=wanted.is_compact)
        return self._rehearsed(grammar, wanted.param, "the schema can't be used")

    def _regex(self, wanted: Regex) -> Grammar:
        _refuse_unwritable(wanted.pattern, wanted.param)
        fault = pattern_fault(wanted.pattern)
        if fault is not None:
            raise refused(wanted.param, f"regex {fault}")
        grammar = Grammar(GrammarKind.REGEX, with_ascii_classes(wanted.pattern))
        return self._rehearsed(grammar, wanted.param, "regex can't be used")

    def _choice(self, wanted: Choice) -> Grammar:
        """As one expression, which costs less than a rule with as many branches."""
        options = tuple(dict.fromkeys(wanted.options))
        if sum(map(len, options)) > MAX_CHOICE_CHARACTERS:
            raise refused(
                wanted.param,
                f"choice has more than {MAX_CHOICE_CHARACTERS} characters in all",
            )
        for option in options:
            _refuse_unwritable(option, wanted.param)
        text = "|".join(literal(option) for option in options)
        return self._rehearsed(
            Grammar(GrammarKind.REGEX, text), wanted.param, "choice can't be used"
        )

    def _lark(self, wanted: LarkGrammar) -> Grammar:
        _refuse_unwritable(wanted.text, wanted.param)
        return self._rehearsed(lark_grammar(wanted), wanted.param, "grammar can't be used")

    def _rehearsed(self, grammar: Grammar, param: str, words: str) -> Grammar:
        # By its digest: grammars may be large, and verdicts are small.
        key = (grammar.kind, sha256(grammar.text.encode()).digest())
        fault = self._faults.get(key, lambda: self._rehearsal.fault_of(grammar))
        if fault is not None:
            raise refused(param, f"{words}: {fault}")
        return grammar


def _schema_key(wanted: JsonSchema) -> tuple[object, ...] | None:
    """What the grammar of a schema depends on; None for one that is not worth keeping."""
    try:
        text = json.dumps(wanted.schema)
    except (TypeError, ValueError, RecursionError):
        return None
    is_small = len(text) <= _MAX_KEPT_CHARACTERS
    return (text, wanted.is_strict, wanted.is_compact) if is_small else None


def _refuse_unwritable(text: str, param: str) -> None:
    """Raises InvalidValue for half of a surrogate pair, which JSON can spell."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidValue(
            f"{param}: half of a surrogate pair at character {error.start} is no text", param=param
        ) from None
