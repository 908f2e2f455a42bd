"""Plans what an answer may hold: the tools that may be called, the thoughts, and its grammar.

For one loaded model. Knows no HTTP and no engine.
"""

from dataclasses import dataclass, replace

from backends.base import ModelCard, Tokenizer
from chat_formats.base import ChatFormat
from chat_formats.thoughts import ThoughtSyntax
from chat_formats.tool_calls.syntax import CallBody, CallSyntax
from core.errors import InvalidValue
from core.grammar import Grammar, GrammarKind
from core.messages import Conversation, Tool
from core.requests import GenerationRequest
from core.structures import JsonObject, JsonSchema, Structure
from core.tool_choice import ToolMode
from serving.answers.python_grammars import can_be_python
from serving.answers.rules import AnswerRules, CallRules, ThoughtRules
from serving.answers.thinking import thinking_budget, with_variables
from serving.answers.tool_grammars import AnswerForms, ToolSchema, tool_grammar
from serving.encoding import EncodedPrompt
from serving.structures.compiler import StructureCompiler

_ANY_OBJECT = JsonObject()
# What may leave no token to draw at all where a grammar holds.
_AGAINST_GRAMMAR = "does not go with tools that a grammar holds the answer to"


@dataclass(frozen=True, slots=True)
class CompiledAnswer:
    """`grammar` is for engines. `spelled` is the same for an answer's text, in which control tokens
    stand as they are spelled.
    """

    grammar: Grammar
    spelled: Grammar


class AnswerPlanner:
    """Safe from any thread."""

    def __init__(
        self,
        card: ModelCard,
        tokenizer: Tokenizer,
        chat_format: ChatFormat,
        compiler: StructureCompiler,
    ) -> None:
        self._tokenizer = tokenizer
        self._variables = chat_format.variables
        self._syntax = chat_format.answers
        self._compiler = compiler
        controls = card.vocabulary.control_tokens()
        markers = self._syntax.markers & controls.keys()
        self._marker_ids = {marker: controls[marker] for marker in markers}

    def adapt(self, request: GenerationRequest) -> GenerationRequest:
        """The request as it is rendered: tools only where they may be called, and the variables of
        the template as the wish for thinking has them. Raises InvalidValue.
        """
        prompt = request.prompt
        if not isinstance(prompt, Conversation):
            return request
        _check_choice(request, prompt)
        shown = () if request.tool_choice.mode is ToolMode.NONE else prompt.tools
        prompt = with_variables(prompt, request.thinking, self._variables)
        return replace(request, prompt=replace(prompt, tools=shown))

    def needs_compiling(self, request: GenerationRequest) -> bool:
        return request.structure is not None or self._holds_calls(request)

    def compile(self, request: GenerationRequest) -> CompiledAnswer | None:
        """What the answer must match. Blocking. Raises InvalidValue, UnsupportedField."""
        calls, prompt = self._calls(request), request.prompt
        if calls is None or not self._needs_calls(request):
            if request.structure is None:
                return None
            grammar = self._compiler.compile(request.structure)
            return CompiledAnswer(grammar, grammar)
        assert isinstance(prompt, Conversation)
        _refuse_beside_grammar(request)
        choice = request.tool_choice
        forms = AnswerForms(
            [
                ToolSchema(tool.name, self._arguments(f"tools[{at}]", tool, calls))
                for at, tool in enumerate(prompt.tools)
                if _may(tool, request)
            ],
            choice,
            None if choice.is_forced else self._text_schema(calls, request.structure),
        )
        grammar, spelled = (
            Grammar(GrammarKind.LARK, tool_grammar(calls, forms, ids))
            for ids in (self._marker_ids, {})
        )
        self._compiler.rehearse(spelled, "tools", "the tools can't be held to their schemas")
        return CompiledAnswer(grammar, spelled)

    def rules(
        self, request: GenerationRequest, prompt: EncodedPrompt, own: Conversation | None
    ) -> AnswerRules:
        """`own` is the conversation as the request has it. `prompt` is its rendering."""
        if own is None or not isinstance(request.prompt, Conversation):
            return AnswerRules()
        thoughts = self._thoughts(request, prompt, own)
        calls = self._calls(request)
        names = frozenset(tool.name for tool in request.prompt.tools)
        may_think = thoughts is not None and (thoughts.is_open or self._syntax.expects_thoughts)
        return AnswerRules(
            thoughts,
            None
            if calls is None
            else CallRules(calls, names, is_parallel=request.tool_choice.is_parallel),
            waits_for_answer=may_think and self.needs_compiling(request),
        )

    def shown_ids(self, rules: AnswerRules) -> frozenset[int]:
        """The control ids whose spelling a reader of the answer must see."""
        markers = rules.calls.syntax.markers if rules.calls is not None else frozenset[str]()
        if rules.thoughts is not None:
            markers |= rules.thoughts.syntax.markers
        return frozenset(id for marker, id in self._marker_ids.items() if marker in markers)

    def _calls(self, request: GenerationRequest) -> CallSyntax | None:
        """How calls may stand in the answer; None where there are none."""
        prompt, syntax = request.prompt, self._syntax.calls
        if syntax is None or not isinstance(prompt, Conversation) or not prompt.tools:
            return None
        is_at_beginning = not syntax.opening
        return None if prompt.continue_final_message and is_at_beginning else syntax

    def _needs_calls(self, request: GenerationRequest) -> bool:
        """Whether a grammar must know of calls."""
        calls = self._calls(request)
        return calls is not None and (request.structure is not None or self._holds_calls(request))

    def _holds_calls(self, request: GenerationRequest) -> bool:
        """Whether calls are held to anything, be there a structure for texts or not."""
        calls, prompt = self._calls(request), request.prompt
        if calls is None or not isinstance(prompt, Conversation):
            return False
        is_strict = any(tool.is_strict for tool in prompt.tools)
        return request.tool_choice.is_forced or is_strict or calls.body is CallBody.ANSWER

    def _arguments(self, param: str, tool: Tool, calls: CallSyntax) -> str:
        """A strict tool's schema must be one that can be held to; others hold to it if it can."""
        try:
            arguments = self._compiler.compile(JsonSchema(tool.parameters, param=param)).text
            if calls.body is not CallBody.PYTHONIC or can_be_python(arguments):
                return arguments
            reason = f"the chat format writes calls as Python, which can't say all of it: {param}"
        except InvalidValue as error:
            reason = str(error)
        if tool.is_strict:
            message = f"the parameters of the tool {tool.name} can't be held to: {reason}"
            raise InvalidValue(message, param=param)
        return self._compiler.compile(_ANY_OBJECT).text

    def _text_schema(self, calls: CallSyntax, structure: Structure | None) -> str | None:
        if structure is None:
            return None
        is_json = isinstance(structure, JsonObject | JsonSchema)
        if not is_json or calls.body is CallBody.ANSWER:
            raise InvalidValue(
                f"{structure.param} does not go with tools here: set tool_choice to none",
                param=structure.param,
            )
        return self._compiler.compile(structure).text

    def _thoughts(
        self, request: GenerationRequest, prompt: EncodedPrompt, own: Conversation
    ) -> ThoughtRules | None:
        syntax = self._syntax.thoughts
        if syntax is None or syntax.is_closed_in(prompt.text):
            return None
        is_open = syntax.is_open_in(prompt.text)
        if own.continue_final_message and not is_open:
            return None
        budget = thinking_budget(own, request.thinking, self._variables)
        gap = syntax.ending.partition(syntax.closing)[2]
        return ThoughtRules(
            syntax,
            is_open,
            budget,
            self._encoded(syntax, syntax.ending),
            self._encoded(syntax, gap),
        )

    def _encoded(self, syntax: ThoughtSyntax, text: str) -> tuple[int, ...]:
        """The markers as control tokens, where the vocabulary has them as such."""
        with_control = syntax.closing in self._marker_ids
        return tuple(self._tokenizer.encode(text, with_control=with_control)) if text else ()


def _may(tool: Tool, request: GenerationRequest) -> bool:
    return request.tool_choice.name in (None, tool.name)


def _check_choice(request: GenerationRequest, prompt: Conversation) -> None:
    choice = request.tool_choice
    if choice.is_forced and not prompt.tools:
        raise InvalidValue("tool_choice wants a call, and there are no tools", param="tool_choice")
    if choice.name is not None and all(tool.name != choice.name for tool in prompt.tools):
        raise InvalidValue(
            f"tool_choice names the tool {choice.name[:100]!r}, which is not among the tools",
            param="tool_choice",
        )
    if choice.is_forced and prompt.continue_final_message:
        raise InvalidValue(
            "tool_choice can't want a call where the last message is continued", param="tool_choice"
        )


def _refuse_beside_grammar(request: GenerationRequest) -> None:
    wish = request.sampling
    beside = {
        "min_tokens": bool(wish.min_tokens),
        "ignore_eos": request.ending.ignores_eos,
        "allowed_token_ids": wish.allowed_token_ids is not None,
        "bad_words": bool(wish.bad_words),
    }
    for name, is_set in beside.items():
        if is_set:
            raise InvalidValue(f"{name} {_AGAINST_GRAMMAR}", param=name)
