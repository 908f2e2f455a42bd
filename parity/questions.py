"""Owns what every engine is asked: the same requests in the same order, for a given size."""

from collections.abc import Callable
from typing import Any

from parity import api_questions
from parity.conversations import conversation
from parity.parts import CHAT, COMPLETE, RENDER, Part, Question
from parity.transcript import Size

NUM_RENDERED_PER_PROMPT = 2
NUM_SCORED_TOP = 5
# Choices of a request, and requests of a kind.
NUM_CHOICES, NUM_DRAWN = 64, 4

_SCHEMAS: tuple[dict[str, Any], ...] = (
    {"type": "object", "properties": {"name": {"enum": ["Ada", "Omar"]}}, "required": ["name"]},
    {"type": "array", "items": {"type": "integer", "maximum": 9}, "minItems": 2, "maxItems": 4},
    {"enum": ["yes", "no", "maybe", None, 3]},
    {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
    {"anyOf": [{"type": "boolean"}, {"type": "integer", "minimum": 10, "maximum": 20}]},
    {
        "type": "object",
        "properties": {
            "when": {"type": "string", "format": "date"},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
        },
        "required": ["when", "tags"],
        "additionalProperties": False,
    },
)
# The four kinds of first draws: each within the best 20 tokens, whose probabilities are told.
DRAWS: tuple[dict[str, Any], ...] = (
    {"temperature": 1.0},
    {"temperature": 0.8, "top_k": 8},
    {"temperature": 1.0, "min_p": 0.1},
    {"temperature": 1.0, "top_k": 15, "top_p": 0.7},
)
DRAWN_PROMPT = "1 2 3"
# Said outright: a model may recommend others.
_NEUTRAL = {
    "top_p": 1.0,
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}


def questions(size: Size) -> dict[Part, list[Question]]:
    """Every part's requests."""
    return {part: questions_of(part, size) for part in Part}


def questions_of(part: Part, size: Size) -> list[Question]:
    """One part's requests."""
    return _ASKED[part](size)


def schema_of(question: Question) -> dict[str, Any]:
    """Of a question of the part STRUCTURED."""
    schema: dict[str, Any] = question.body["response_format"]["json_schema"]["schema"]
    return schema


def _rendered(size: Size) -> list[Question]:
    asked = range(size.num_prompts * NUM_RENDERED_PER_PROMPT)
    return [Question(RENDER, {"messages": conversation(at)}) for at in asked]


def _scored(size: Size) -> list[Question]:
    fields = {"temperature": 0, "max_tokens": 1, "prompt_logprobs": NUM_SCORED_TOP}
    return [_chat(at, fields) for at in range(size.num_prompts)]


def _greedy(size: Size) -> list[Question]:
    fields = {
        "temperature": 0,
        "max_tokens": size.num_tokens,
        "logprobs": True,
        "top_logprobs": 20,
    }
    return [_chat(at, fields) for at in range(size.num_prompts)]


def _seeded(size: Size) -> list[Question]:
    fields = {"temperature": 0.8, "top_p": 0.95, "max_tokens": size.num_tokens}
    return [_chat(at, {"seed": at, **fields}) for at in range(size.num_prompts)]


def _chat(at: int, fields: dict[str, Any]) -> Question:
    return Question(CHAT, {"messages": conversation(at), **fields})


def _draws(_: Size) -> list[Question]:
    """First the distribution, then draws of each kind from it."""
    base = {"prompt": DRAWN_PROMPT, "max_tokens": 1, "ignore_eos": True, **_NEUTRAL}
    known = Question(COMPLETE, {**base, "temperature": 0, "logprobs": 20})
    drawn = [
        Question(COMPLETE, {**base, **kind, "n": NUM_CHOICES, "logprobs": 0})
        for kind in DRAWS
        for _ in range(NUM_DRAWN)
    ]
    return [known, *drawn]


def _structured(_: Size) -> list[Question]:
    return [_structured_one(at) for at in range(4 * len(_SCHEMAS))]


def _structured_one(at: int) -> Question:
    schema = _SCHEMAS[at % len(_SCHEMAS)]
    body = {
        "messages": conversation(at),
        "seed": at,
        "frequency_penalty": 0.5,
        "max_tokens": 300,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema},
        },
    }
    return Question(CHAT, body)


def _edges(_: Size) -> list[Question]:
    """Stops, limits and errors: the whole response must be the same."""
    greedy: dict[str, Any] = {"messages": conversation(0), "temperature": 0, "max_tokens": 24}
    fields: tuple[dict[str, Any], ...] = (
        {"stop": "e"},
        {"stop": ["a", " the"], "include_stop_str_in_output": True},
        {"max_tokens": 1},
        {"n": 3},
        {"min_tokens": 20},
        {"logit_bias": {"5": -100}, "bad_words": ["the"]},
        {"presence_penalty": 1.5, "frequency_penalty": 0.5, "repetition_penalty": 1.2},
        {"skip_special_tokens": False, "ignore_eos": True},
        {"temperature": 9},
        {"max_tokens": 10_000_000},
        {"no_such_field": 1},
        {"messages": [{"role": "wizard", "content": "hi"}]},
        {"response_format": {"type": "json_schema"}},
        {"stop_token_ids": [10**9]},
    )
    return [Question(CHAT, {**greedy, **each}) for each in fields]


_ASKED: dict[Part, Callable[[Size], list[Question]]] = {
    Part.RENDER: _rendered,
    Part.TOKENISE: api_questions.token_questions,
    Part.SCORES: _scored,
    Part.GREEDY: _greedy,
    Part.SEEDED: _seeded,
    Part.DRAWS: _draws,
    Part.STRUCTURED: _structured,
    Part.TOOLS: api_questions.tool_questions,
    Part.THOUGHTS: api_questions.thought_questions,
    Part.RESPONSES: api_questions.response_questions,
    Part.MESSAGES: api_questions.message_questions,
    Part.EMBEDDINGS: api_questions.embedding_questions,
    Part.EDGES: _edges,
}
