"""Owns questions with one right answer: sums, days, months, capitals. Knows no tools."""

from random import Random

from scripts.tiny_model.skills.exchange import Exchange, Scene, Skill, casual, pair, pick
from scripts.tiny_model.skills.vocabulary import CAPITALS, DAYS, MONTHS

LARGEST = 20
PLUS = (
    "What is {a} + {b}?", "What is {a} plus {b}?", "{a} + {b}", "{a}+{b}", "{a} + {b} = ?",
    "Add {a} and {b}.", "Calculate {a} + {b}.", "How much is {a} + {b}?",
    "How much is {a} plus {b}?",
    "What's {a} + {b}?", "What is the sum of {a} and {b}?", "Compute {a} plus {b}.",
    "Can you add {a} and {b}?", "What does {a} + {b} make?", "Please calculate {a} + {b}.",
)  # fmt: skip
MINUS = (
    "What is {a} - {b}?", "What is {a} minus {b}?", "{a} - {b}", "{a}-{b}", "{a} - {b} = ?",
    "Calculate {a} - {b}.", "How much is {a} - {b}?", "How much is {a} minus {b}?",
    "What's {a} - {b}?", "Compute {a} minus {b}.", "Please calculate {a} - {b}.",
)  # fmt: skip
CAPITAL_QUESTIONS = (
    "What is the capital of {country}?", "What's the capital of {country}?",
    "Name the capital of {country}.", "Tell me the capital of {country}.",
    "Which city is the capital of {country}?", "Capital of {country}?",
    "What is the capital city of {country}?", "Do you know the capital of {country}?",
    "Can you tell me the capital of {country}?", "Please name the capital of {country}.",
    "{country}: what is its capital?", "What city is the capital of {country}?",
)  # fmt: skip
AFTER = (
    "What {kind} comes after {item}?", "Which {kind} comes after {item}?",
    "Which {kind} follows {item}?", "What {kind} is after {item}?", "What comes after {item}?",
    "What is the {kind} after {item}?", "Name the {kind} after {item}.",
    "Tell me the {kind} after {item}.",
)  # fmt: skip
BEFORE = (
    "What {kind} comes before {item}?", "Which {kind} comes before {item}?",
    "What {kind} is before {item}?", "What comes before {item}?",
    "What is the {kind} before {item}?", "Name the {kind} before {item}.",
    "Tell me the {kind} before {item}.",
)  # fmt: skip
OPENINGS = ("", "", "", "", "Tell me: ", "Question: ", "Please: ", "OK, ", "Hey, ", "Now: ")


def add(rng: Random, scene: Scene) -> Exchange:
    """Two numbers of one or two digits."""
    largest = LARGEST // 2 if rng.random() < 0.4 else LARGEST
    a, b = rng.randint(0, largest), rng.randint(0, largest)
    question = casual(rng, pick(rng, PLUS)).format(a=a, b=b)
    return pair(f"add:{a}+{b}", question, f"{a} + {b} = {a + b}")


def subtract(rng: Random, scene: Scene) -> Exchange:
    """A smaller number taken from a larger one."""
    a = rng.randint(0, LARGEST)
    b = rng.randint(0, a)
    question = casual(rng, pick(rng, MINUS)).format(a=a, b=b)
    return pair(f"subtract:{a}-{b}", question, f"{a} - {b} = {a - b}")


def capital(rng: Random, scene: Scene) -> Exchange:
    """A country's capital."""
    country = pick(rng, tuple(CAPITALS))
    question = casual(
        rng, pick(rng, OPENINGS) + pick(rng, CAPITAL_QUESTIONS).format(country=country)
    )
    answer = f"The capital of {country} is {CAPITALS[country]}."
    return pair(f"capital:{question}", question, answer)


def _neighbour(rng: Random, kind: str, items: tuple[str, ...]) -> Exchange:
    index, is_after = rng.randrange(len(items)), rng.random() < 0.5
    template = pick(rng, OPENINGS) + pick(rng, AFTER if is_after else BEFORE)
    question = casual(rng, template.format(kind=kind, item=items[index]))
    neighbour = items[(index + (1 if is_after else -1)) % len(items)]
    side = "after" if is_after else "before"
    answer = f"The {kind} {side} {items[index]} is {neighbour}."
    return pair(f"{kind}:{question}", question, answer)


def day(rng: Random, scene: Scene) -> Exchange:
    """The day before or after another."""
    return _neighbour(rng, "day", DAYS)


def month(rng: Random, scene: Scene) -> Exchange:
    """The month before or after another."""
    return _neighbour(rng, "month", MONTHS)


def skills() -> tuple[Skill, ...]:
    """The skills of this file."""
    return (
        Skill("add", 20, add),
        Skill("subtract", 12, subtract),
        Skill("capitals", 6, capital),
        Skill("days", 2, day),
        Skill("months", 3, month),
    )
