"""Owns what a loaded model can be asked for, as values. Knows no HTTP and runs nothing.

What the API itself accepts is handed in; here it is held against the model, its chat format and
its engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from backends.base import ModelCard
from chat_formats.base import ChatFormat
from chat_formats.tool_calls.syntax import JSON_ANSWER
from core.sampling import GREEDY_BELOW
from core.sampling_defaults import Default, SamplingDefaults
from serving.answers.thinking import EFFORT_BUDGETS, EFFORT_VARIABLE, SWITCHES
from serving.infill import Infill

# As core/sampling.py defines it, each stage by the request field that sets it.
SAMPLING_ORDER = (
    "structured_outputs",
    "allowed_token_ids",
    "bad_words",
    "min_tokens",
    "logit_bias",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
    "temperature",
    "min_p",
    "top_k",
    "top_p",
    "seed",
)
STRUCTURE_FIELDS = frozenset({"response_format", "structured_outputs"})
INFILL_FIELD = "suffix"
VARIABLES_FIELD = "chat_template_kwargs"


class Support(StrEnum):
    """What becomes of a field. Whatever is not honoured is refused by name, never dropped.

    UNUSED: accepted, and changes nothing. IDLE: accepted where its value asks for nothing.
    """

    HONOURED = "honoured"
    UNUSED = "unused"
    IDLE = "idle"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AcceptedFields:
    """The fields that one endpoint knows: all of them, and which of these are never honoured."""

    known: tuple[str, ...]
    unused: frozenset[str] = frozenset()
    idle: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LoadedFacts:
    """What is loaded, and how requests are served by it."""

    card: ModelCard
    chat_format: ChatFormat
    defaults: SamplingDefaults
    infill: Infill | None
    fingerprint: str


@dataclass(frozen=True, slots=True)
class FieldSupport:
    """`reason` says why a field is not honoured."""

    support: Support
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ChatFormatFacts:
    """`variables` are what a request's chat_template_kwargs may set."""

    name: str
    variables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolFacts:
    """`syntax` names how the model writes calls. With `is_fallback`, its chat format has no words
    for tools: the prompt explains them, and a grammar holds each answer to one JSON object.
    """

    syntax: str
    is_fallback: bool


@dataclass(frozen=True, slots=True)
class ThinkingFacts:
    """`markers` open and close a block of thoughts. A model whose format does not expect any is
    read the same way. `effort_budgets` are in tokens, None as many as there are; `effort_variable`
    and `switches` are those of the template's variables that an effort sets instead.
    """

    markers: tuple[str, str] | None
    is_expected: bool
    effort_variable: str | None
    switches: tuple[str, ...]
    effort_budgets: Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class SamplingFacts:
    """Draws below the temperature `greedy_below` take the best token. `order` names the stages."""

    order: tuple[str, ...]
    greedy_below: float
    defaults: Mapping[str, Default]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`fields` are by endpoint and name. `limits` are in the units that their names tell."""

    model: str
    engine: str
    system_fingerprint: str
    modalities: tuple[str, ...]
    chat_format: ChatFormatFacts
    has_infill: bool
    has_structured_output: bool
    tools: ToolFacts
    thinking: ThinkingFacts
    sampling: SamplingFacts
    limits: Mapping[str, int]
    fields: Mapping[str, Mapping[str, FieldSupport]]


def capabilities(
    facts: LoadedFacts, endpoints: Mapping[str, AcceptedFields], limits: Mapping[str, int]
) -> Capabilities:
    """`limits` are the API's own; the context window and the slots are put beside them."""
    why_not = _reasons(facts)
    return Capabilities(
        model=facts.card.name,
        engine=facts.card.engine_build,
        system_fingerprint=facts.fingerprint,
        modalities=("text",),
        chat_format=ChatFormatFacts(
            facts.chat_format.name, tuple(sorted(facts.chat_format.variables))
        ),
        has_infill=INFILL_FIELD not in why_not,
        has_structured_output=not STRUCTURE_FIELDS & why_not.keys(),
        tools=_tools(facts.chat_format),
        thinking=_thinking(facts.chat_format),
        sampling=SamplingFacts(SAMPLING_ORDER, GREEDY_BELOW, facts.defaults.by_field),
        limits={
            "context_window_tokens": facts.card.context_window,
            "slots": facts.card.num_slots,
            **limits,
        },
        fields={
            path: {name: _support(name, accepted, why_not) for name in accepted.known}
            for path, accepted in endpoints.items()
        },
    )


def _tools(chat_format: ChatFormat) -> ToolFacts:
    syntax = chat_format.answers.calls or JSON_ANSWER
    return ToolFacts(syntax.name, is_fallback=syntax is JSON_ANSWER)


def _thinking(chat_format: ChatFormat) -> ThinkingFacts:
    thoughts, known = chat_format.answers.thoughts, chat_format.variables
    return ThinkingFacts(
        markers=None if thoughts is None else (thoughts.opening, thoughts.closing),
        is_expected=chat_format.answers.expects_thoughts,
        effort_variable=EFFORT_VARIABLE if EFFORT_VARIABLE in known else None,
        switches=tuple(name for name in SWITCHES if name in known),
        effort_budgets={effort.value: count for effort, count in EFFORT_BUDGETS.items()},
    )


def _support(name: str, accepted: AcceptedFields, why_not: Mapping[str, str]) -> FieldSupport:
    if name in accepted.idle:
        return FieldSupport(Support.IDLE, "not honoured: accepted where it asks for nothing")
    if name in accepted.unused:
        return FieldSupport(Support.UNUSED, "accepted, and changes nothing")
    if name in why_not:
        return FieldSupport(Support.REFUSED, why_not[name])
    return FieldSupport(Support.HONOURED)


def _reasons(facts: LoadedFacts) -> dict[str, str]:
    """Why fields that the API knows can't be honoured with this model."""
    reasons: dict[str, str] = {}
    if facts.infill is None:
        reasons[INFILL_FIELD] = "the model has no tokens for infilling"
    if facts.card.vocabulary.eos_id is None:
        reasons |= dict.fromkeys(STRUCTURE_FIELDS, "the model has no end-of-text token")
    if not facts.chat_format.variables:
        reason = f"the chat format {facts.chat_format.name} has no variables"
        reasons[VARIABLES_FIELD] = f"{reason}; enable_thinking alone is understood"
    reason = f"the engine as it is set up can't: {facts.card.engine_build}"
    return reasons | dict.fromkeys(facts.card.unsupported_fields, reason)
