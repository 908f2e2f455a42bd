"""Owns what a loaded model can be asked for, as values. Knows no HTTP and runs nothing.

What the API itself accepts is handed in; here it is held against the model, its chat format and
its engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from backends.base import ModelCard
from backends.embedding import EmbeddingCard
from chat_formats.base import ChatFormat
from chat_formats.tool_calls.syntax import JSON_ANSWER
from core.lifecycle import EngineStatus
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
# `text` is the Responses API's, `output_format` the Messages API's.
STRUCTURE_FIELDS = frozenset({"response_format", "structured_outputs", "text", "output_format"})
INFILL_FIELD = "suffix"
VARIABLES_FIELD = "chat_template_kwargs"


class Makes(StrEnum):
    """What an endpoint gives, and so which of the two models it needs."""

    TEXT = "text"
    VECTORS = "vectors"
    SCORES = "scores"


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
    makes: Makes = Makes.TEXT


@dataclass(frozen=True, slots=True)
class ApiFacts:
    """What the API accepts and its limits, each in the unit that its name tells."""

    endpoints: Mapping[str, AcceptedFields]
    limits: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """The model beside the chat model, by its name for clients. There is no card until it is
    ready.
    """

    name: str
    status: EngineStatus
    card: EmbeddingCard | None


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
class EmbeddingFacts:
    """All but the name and the state is None until the model is ready, and where it failed. A model
    that ranks pairs makes scores and no vectors.
    """

    model: str
    state: str
    engine: str | None = None
    dimensions: int | None = None
    context_window_tokens: int | None = None
    is_normalized: bool | None = None
    ranks_pairs: bool | None = None


@dataclass(frozen=True, slots=True)
class SamplingFacts:
    """Draws below the temperature `greedy_below` take the best token. `order` names the stages."""

    order: tuple[str, ...]
    greedy_below: float
    defaults: Mapping[str, Default]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`fields` are by endpoint and name. `limits` are in the units that their names tell.
    `embedding` is None where no embedding model is served.
    """

    model: str
    engine: str
    system_fingerprint: str
    modalities: tuple[str, ...]
    chat_format: ChatFormatFacts
    has_infill: bool
    has_structured_output: bool
    tools: ToolFacts
    thinking: ThinkingFacts
    embedding: EmbeddingFacts | None
    sampling: SamplingFacts
    limits: Mapping[str, int]
    fields: Mapping[str, Mapping[str, FieldSupport]]


def capabilities(
    facts: LoadedFacts, api: ApiFacts, embedding: EmbeddingModel | None = None
) -> Capabilities:
    """The context window and the slots are put beside the API's own limits."""
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
        embedding=None if embedding is None else _embedding(embedding),
        sampling=SamplingFacts(SAMPLING_ORDER, GREEDY_BELOW, facts.defaults.by_field),
        limits={
            "context_window_tokens": facts.card.context_window,
            "slots": facts.card.num_slots,
            **api.limits,
        },
        fields={
            path: _fields(accepted, why_not, embedding) for path, accepted in api.endpoints.items()
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


def _embedding(embedding: EmbeddingModel) -> EmbeddingFacts:
    card, state = embedding.card, embedding.status.state.value
    if card is None:
        return EmbeddingFacts(embedding.name, state)
    return EmbeddingFacts(
        embedding.name,
        state,
        engine=card.engine_build,
        dimensions=None if card.ranks_pairs else card.num_dimensions,
        context_window_tokens=card.context_window,
        is_normalized=None if card.ranks_pairs else card.is_normalized,
        ranks_pairs=card.ranks_pairs,
    )


def _fields(
    accepted: AcceptedFields, why_not: Mapping[str, str], embedding: EmbeddingModel | None
) -> dict[str, FieldSupport]:
    refusal = _whole_refusal(accepted.makes, embedding)
    if refusal is not None:
        return dict.fromkeys(accepted.known, FieldSupport(Support.REFUSED, refusal))
    return {name: _support(name, accepted, why_not) for name in accepted.known}


def _whole_refusal(makes: Makes, embedding: EmbeddingModel | None) -> str | None:
    """Why an endpoint refuses all that it is sent."""
    if makes is Makes.TEXT:
        return None
    if embedding is None:
        return "no embedding model is served: JARVIS_EMBEDDING_MODEL names one"
    card = embedding.card
    if card is not None and card.ranks_pairs and makes is Makes.VECTORS:
        return f"{embedding.name} ranks pairs of texts and makes no vectors"
    return None


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
