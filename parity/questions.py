"""Owns what every engine is asked: the same requests in the same order, for a given size."""

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from parity.transcript import Size

CHAT, COMPLETE = "/v1/chat/completions", "/v1/completions"
RENDER = "/v1/chat/completions/render"
NUM_RENDERED_PER_PROMPT = 2
NUM_SCORED_TOP = 5
# Choices of a request, and requests of a kind.
NUM_CHOICES, NUM_DRAWN = 64, 4


class Part(StrEnum):
    """What is compared."""

    RENDER = "render"
    SCORES = "scores"
    GREEDY = "greedy"
    SEEDED = "seeded"
    DRAWS = "draws"
    STRUCTURED = "structured"
    EDGES = "edges"


@dataclass(frozen=True, slots=True)
class Question:
    """One request."""

    path: str
    body: dict[str, Any]


_OPENINGS = (
    "What is the capital of {}?",
    "Write a short poem about {}.",
    "Explain {} to a child in three sentences.",
    "def count_{0}(items):\n    # counts {0}\n",
    "Übersetze ins Deutsche: I like {}.",
    "请用一句话介绍{}。",
    "Что такое {}?",
    "{} を三つの言葉で説明してください。",
    'Fill in: {{"topic": "{}", "summary": ',
    "List five facts about {}, one a line:\n1.",
    "אמור לי משהו על {}",
    "🙂 Tell me a joke about {}! 👩‍👩‍👧",
)
_TOPICS = (
    *("France", "rain", "prime numbers", "the moon", "cheese", "trains", "a small cat"),
    *("photosynthesis", "<|im_end|>", "SQL joins", "Bach", "[INST]", "naïve cafés", "0xFF"),
)
_TURNS = (
    (),
    ({"role": "system", "content": "You are a helpful assistant. Answer briefly."},),
    (
        {"role": "user", "content": "Hi, my name is Ada.  \n"},
        {"role": "assistant", "content": "Nice to meet you, Ada!"},
    ),
)
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
    asked = [_conversation(at) for at in range(size.num_prompts)]
    rendered = [_conversation(at) for at in range(size.num_prompts * NUM_RENDERED_PER_PROMPT)]
    greedy = {"temperature": 0, "max_tokens": size.num_tokens, "logprobs": True}
    seeded = {"temperature": 0.8, "top_p": 0.95, "max_tokens": size.num_tokens}
    scored = {"temperature": 0, "max_tokens": 1, "prompt_logprobs": NUM_SCORED_TOP}
    return {
        Part.RENDER: [Question(RENDER, {"messages": each}) for each in rendered],
        Part.SCORES: [Question(CHAT, {"messages": each, **scored}) for each in asked],
        Part.GREEDY: [
            Question(CHAT, {"messages": each, "top_logprobs": 20, **greedy}) for each in asked
        ],
        Part.SEEDED: [
            Question(CHAT, {"messages": each, "seed": at, **seeded})
            for at, each in enumerate(asked)
        ],
        Part.DRAWS: _draws(),
        Part.STRUCTURED: [_structured(at) for at in range(4 * len(_SCHEMAS))],
        Part.EDGES: _edges(),
    }


def schema_of(question: Question) -> dict[str, Any]:
    """Of a question of the part STRUCTURED."""
    schema: dict[str, Any] = question.body["response_format"]["json_schema"]["schema"]
    return schema


def _conversation(at: int) -> list[dict[str, str]]:
    draws = random.Random(at)
    opening = _OPENINGS[at % len(_OPENINGS)].format(_TOPICS[at % len(_TOPICS)])
    padding = "".join(draws.choice((" ", "\n", "a word ", "é", "7 ")) for _ in range(at % 9))
    turns = _TURNS[at % len(_TURNS)]
    return [*turns, {"role": "user", "content": f"{opening} {padding}".strip(" ")}]


def _draws() -> list[Question]:
    """First the distribution, then draws of each kind from it."""
    base = {"prompt": DRAWN_PROMPT, "max_tokens": 1, "ignore_eos": True, **_NEUTRAL}
    known = Question(COMPLETE, {**base, "temperature": 0, "logprobs": 20})
    drawn = [
        Question(COMPLETE, {**base, **kind, "n": NUM_CHOICES, "logprobs": 0})
        for kind in DRAWS
        for _ in range(NUM_DRAWN)
    ]
    return [known, *drawn]


def _structured(at: int) -> Question:
    schema = _SCHEMAS[at % len(_SCHEMAS)]
    body = {
        "messages": _conversation(at),
        "seed": at,
        "frequency_penalty": 0.5,
        "max_tokens": 300,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema},
        },
    }
    return Question(CHAT, body)


def _edges() -> list[Question]:
    """Stops, limits and errors: the whole response must be the same."""
    greedy: dict[str, Any] = {"messages": _conversation(0), "temperature": 0, "max_tokens": 24}
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
