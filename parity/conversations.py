"""Owns the conversations that are asked about: many languages and scripts, hostile ones too."""

import random

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


def conversation(at: int) -> list[dict[str, str]]:
    """The messages of one, the same for the same number."""
    draws = random.Random(at)
    opening = _OPENINGS[at % len(_OPENINGS)].format(_TOPICS[at % len(_TOPICS)])
    padding = "".join(draws.choice((" ", "\n", "a word ", "é", "7 ")) for _ in range(at % 9))
    turns = _TURNS[at % len(_TURNS)]
    return [*turns, {"role": "user", "content": f"{opening} {padding}".strip(" ")}]


def text(at: int) -> str:
    """What is asked last in one."""
    return conversation(at)[-1]["content"]
