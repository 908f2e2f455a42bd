"""Owns how families of models write their calls of tools, as values. Parses and renders nothing."""

from dataclasses import dataclass
from enum import Enum, auto


class CallBody(Enum):
    """What a call is written as.

    OBJECT: `{"name": …, "arguments": {…}}`. LIST: several such objects in a list. NAMED: the name,
    `[ARGS]`, the arguments. PYTHONIC: `[name(argument=value), …]`. ANSWER: the whole answer is one
    object, which holds either calls or a text.
    """

    OBJECT = auto()
    LIST = auto()
    NAMED = auto()
    PYTHONIC = auto()
    ANSWER = auto()


@dataclass(frozen=True, slots=True)
class CallSyntax:
    """One family's way.

    `opening` stands before calls and `closing` after each of them; without an opening, calls stand
    at the very beginning of an answer. Where there is no opening to tell calls from other text,
    only the names of tools that were offered make a call, and `tag` may stand before it.
    """

    name: str
    body: CallBody
    opening: str = ""
    closing: str = ""
    arguments_key: str = "arguments"
    tag: str = ""
    end_tag: str = ""

    @property
    def markers(self) -> frozenset[str]:
        """Spellings that may be control tokens of a vocabulary."""
        inner = {"[ARGS]", "[CALL_ID]"} if self.opening == "[TOOL_CALLS]" else set()
        return frozenset({self.opening, self.closing, self.tag, self.end_tag, *inner} - {""})


HERMES = CallSyntax("hermes", CallBody.OBJECT, "<tool_call>", "</tool_call>")
LLAMA3_JSON = CallSyntax(
    "llama3_json", CallBody.OBJECT, arguments_key="parameters", tag="<|python_tag|>"
)
PYTHONIC = CallSyntax(
    "pythonic", CallBody.PYTHONIC, tag="<|python_start|>", end_tag="<|python_end|>"
)
MISTRAL_LIST = CallSyntax("mistral", CallBody.LIST, "[TOOL_CALLS]")
MISTRAL_NAMED = CallSyntax("mistral_v11", CallBody.NAMED, "[TOOL_CALLS]")
JSON_ANSWER = CallSyntax("json", CallBody.ANSWER)
