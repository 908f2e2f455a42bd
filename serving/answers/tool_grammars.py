"""Writes the grammar of answers that call tools, for each family's way of writing calls.

As Lark, for llguidance. A marker that is a control token of the vocabulary stands in it by its id.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chat_formats.tool_calls.answer_object import CALLS_KEY, TEXT_KEY
from chat_formats.tool_calls.syntax import CallBody, CallSyntax
from core.tool_choice import ToolChoice
from serving.answers.python_grammars import python_rules
from serving.answers.quoting import quoted

# An answer that repeats itself would call without end.
_MAX_CALLS = 64
_QUOTE = '"'
_ID_HEAD = ', "id": "'


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """A tool's name, and the JSON Schema that its arguments are held to, as llguidance reads it."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class AnswerForms:
    """What an answer may be. `structure` is the schema of one that calls nothing, None any text."""

    tools: Sequence[ToolSchema]
    choice: ToolChoice
    structure: str | None = None


def tool_grammar(syntax: CallSyntax, forms: AnswerForms, control_ids: Mapping[str, int]) -> str:
    """`control_ids` are those of the markers; others are written out. To rehearse a grammar over
    bytes, give none.
    """
    return _Writer(syntax, forms, control_ids).text()


class _Writer:
    def __init__(
        self, syntax: CallSyntax, forms: AnswerForms, control_ids: Mapping[str, int]
    ) -> None:
        self._syntax = syntax
        self._forms = forms
        self._control_ids = control_ids

    def text(self) -> str:
        rules = ["%llguidance {}", self._start(), *self._answer(), f"calls: {self._calls()}"]
        rules.append("call: " + " | ".join(f"call_{n}" for n in range(len(self._forms.tools))))
        for number, tool in enumerate(self._forms.tools):
            rules += self._call(f"call_{number}", tool)
        return "\n".join(rules) + "\n"

    def _start(self) -> str:
        """Calls behind text where a marker tells them from it; else one or the other."""
        syntax = self._syntax
        if self._forms.choice.is_forced:
            opening = self._marker(syntax.opening) if syntax.opening else ""
            return f"start: {opening} calls"
        if self._forms.structure is not None or not syntax.opening:
            opening = self._marker(syntax.opening) if syntax.opening else ""
            return f"start: answer | {opening} calls"
        if syntax.opening in self._control_ids:
            return f"start: ANSWER ({self._marker(syntax.opening)} calls)?"
        return "start: ANSWER | until calls"

    def _answer(self) -> list[str]:
        """What stands where nothing is called: no text that a reader would take for a call."""
        syntax = self._syntax
        if self._forms.choice.is_forced:
            return []
        if syntax.body is CallBody.ANSWER:
            value = self._forms.structure or '{"type": "string"}'
            return [f'answer: {quoted(f"{{{json.dumps(TEXT_KEY)}: ")} %json {value} "}}"']
        if self._forms.structure is not None:
            return [f"answer: %json {self._forms.structure}"]
        if not syntax.opening:
            tag = f" & ~/{_pattern(syntax.tag)}(?s:.*)/" if syntax.tag else ""
            return ["answer: ANSWER?", rf"ANSWER: /[^{{\[\s](?s:.*)/{tag}"]
        opening = _pattern(syntax.opening)
        text = f"ANSWER: /(?s:.*)/ & ~/(?s:.*){opening}(?s:.*)/"
        if syntax.opening in self._control_ids:
            return [text]
        return [f"until[lazy]: /(?s:.*){opening}/", text]

    def _calls(self) -> str:
        """Behind the first opening."""
        syntax = self._syntax
        if syntax.body is CallBody.ANSWER:
            head = quoted(f"{{{json.dumps(CALLS_KEY)}: [")
            return f'{head} call {self._repeated(quoted(", "))} "]}}"'
        if syntax.body is CallBody.LIST:
            return f'" "? "[" call {self._repeated(quoted(", "))} "]"'
        if syntax.body is CallBody.PYTHONIC:
            return f'"[" call {self._repeated(quoted(", "))} "]"'
        if not syntax.opening:
            return f"call {self._repeated(quoted('; '))}"
        between = "" if syntax.body is CallBody.NAMED else quoted("\n")
        return f"call {self._repeated(f'{between} {self._marker(syntax.opening)}')}"

    def _repeated(self, between: str) -> str:
        is_single = not self._forms.choice.is_parallel
        return "" if is_single else f"({between} call){{0,{_MAX_CALLS - 1}}}"

    def _call(self, rule: str, tool: ToolSchema) -> list[str]:
        """The rules of a call of one tool, the first of which is `rule`."""
        if self._syntax.body is CallBody.PYTHONIC:
            return python_rules(rule, tool.name, tool.arguments)
        return [f"{rule}: {self._json_call(tool)}"]

    def _json_call(self, tool: ToolSchema) -> str:
        syntax = self._syntax
        if syntax.body is CallBody.NAMED:
            sign = self._marker("[ARGS]")
            return f"{quoted(tool.name)} {sign} %json {tool.arguments}"
        head = f'{{"name": {json.dumps(tool.name)}, "{syntax.arguments_key}": '
        call = f'{quoted(head)} %json {tool.arguments} {self._tail()} "}}"'
        if not syntax.closing:
            return call
        space = quoted("\n")
        return f"{space} {call} {space} {self._marker(syntax.closing)}"

    def _tail(self) -> str:
        """Mistral's models write an id behind the arguments, as their templates do."""
        if self._syntax.body is not CallBody.LIST:
            return ""
        return f"({quoted(_ID_HEAD)} /[a-zA-Z0-9]{{9}}/ {quoted(_QUOTE)})?"

    def _marker(self, marker: str) -> str:
        token_id = self._control_ids.get(marker)
        return quoted(marker) if token_id is None else f"<[{token_id}]>"


def _pattern(text: str) -> str:
    return "".join(f"\\x{{{ord(c):x}}}" if not c.isalnum() else c for c in text)
