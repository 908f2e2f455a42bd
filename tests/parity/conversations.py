"""Generated conversations for the parity suite: a fixed seed, many shapes, any Unicode."""

import random
from typing import Any

WORDS = (
    "hello world what is the capital of France Paris sum 12 and 7 please call me Ada my name "
    "naïve café Straße 東京 привет שלום 🙂 👩‍👩‍👧 e\u0301 \u00a0 \ufeff 0xFF $9.99 it's don't I'LL "
    '<b>tag</b> {"k": [1, 2.5]} C:\\path a_b-c 1234567890 ... !!! ?? — “quoted” \U0001f9d1\u200d'
)
SPACES = (" ", "  ", "\n", "\n\n", "\t", " \n ", "")
CONTROL = (
    "<|im_start|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|begin_of_text|>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[TOOL_CALLS]",
)


def text(rng: random.Random, *, with_control: bool) -> str:
    """Words between odd spaces, sometimes with control tokens spelled out."""
    vocabulary = WORDS.split(" ")
    words = [rng.choice(vocabulary) for _ in range(rng.randint(1, 30))]
    if with_control:
        words.insert(rng.randint(0, len(words)), rng.choice(CONTROL))
    return "".join(word + rng.choice(SPACES) for word in words) + rng.choice(SPACES)


def conversation(rng: random.Random) -> list[dict[str, Any]]:
    """A system turn or none, then turns that alternate and end with the user's."""
    with_control = rng.random() < 0.3
    messages: list[dict[str, Any]] = []
    if rng.random() < 0.5:
        messages.append({"role": "system", "content": text(rng, with_control=with_control)})
    for _ in range(rng.randint(0, 3)):
        messages.append({"role": "user", "content": text(rng, with_control=with_control)})
        messages.append({"role": "assistant", "content": text(rng, with_control=False)})
    messages.append({"role": "user", "content": text(rng, with_control=with_control)})
    return messages


def conversations(count: int, seed: int = 20) -> list[list[dict[str, Any]]]:
    rng = random.Random(seed)
    return [conversation(rng) for _ in range(count)]


def questions(count: int) -> list[list[dict[str, Any]]]:
    """Questions of the kind that the shipped model learned, and some that it did not."""
    cities = ("France", "Japan", "Kenya", "Peru", "Norway", "Egypt", "Canada", "Italy")
    names = ("Ada", "Omar", "Lena", "Yuki", "Igor", "Rosa", "Tariq", "Mia")
    asked: list[list[dict[str, Any]]] = []
    for index in range(count):
        city, name = cities[index % len(cities)], names[(index * 3) % len(names)]
        kinds = (
            f"What is the capital of {city}?",
            f"What is {index % 10} + {index % 7}?",
            "Hello! What are you?",
            f"What day comes after {('Monday', 'Friday', 'Sunday')[index % 3]}?",
            f"Tell me about {name} and the {city} of {index}.",
        )
        messages = [{"role": "user", "content": kinds[index % len(kinds)]}]
        if index % 4 == 3:
            messages = [
                {"role": "user", "content": f"Hi, my name is {name}."},
                {"role": "assistant", "content": f"Nice to meet you, {name}!"},
                {"role": "user", "content": "What is my name?"},
            ]
        if index % 3 == 1:
            messages.insert(0, {"role": "system", "content": "You are a helpful assistant."})
        asked.append(messages)
    return asked
