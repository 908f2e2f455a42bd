"""Owns what a skill gives and gets. Knows no single skill, no chat format and no tokenizer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from zlib import crc32

from core.messages import Message, Tool

HELD_OUT_ONE_IN = 12
# What everybody asks first must not fail for being held out.
ALWAYS_TAUGHT = frozenset({"add:1+1", "add:2+2"})


@dataclass(frozen=True, slots=True)
class Scene:
    """What surrounds an exchange: the assistant's introduction, and the tools it was given."""

    introduction: str = "I am Jarvis, a tiny language model."
    tools: tuple[Tool, ...] = ()


@dataclass(frozen=True, slots=True)
class Exchange:
    """Turns that belong together, the last one the assistant's.

    `key` names what must not be shared between training and evaluation. `system` and `tools` are
    what the exchange needs of the conversation around it.
    """

    key: str
    messages: tuple[Message, ...]
    system: str | None = None
    tools: tuple[Tool, ...] = field(default=())

    @property
    def is_held_out(self) -> bool:
        """Whether evaluation owns this exchange; a hash decides, so that no list is kept."""
        return self.key not in ALWAYS_TAUGHT and crc32(self.key.encode()) % HELD_OUT_ONE_IN == 0


SkillFunction = Callable[[Random, Scene], Exchange]


@dataclass(frozen=True, slots=True)
class Skill:
    """A named skill; `weight` is its share of the conversations relative to the others'."""

    name: str
    weight: float
    make: SkillFunction


def user(content: str) -> Message:
    """A user's turn."""
    return Message(role="user", content=content)


def assistant(content: str) -> Message:
    """An assistant's turn of text."""
    return Message(role="assistant", content=content)


def pair(key: str, question: str, answer: str) -> Exchange:
    """The commonest exchange: one question and its answer."""
    return Exchange(key=key, messages=(user(question), assistant(answer)))


def casual(rng: Random, template: str) -> str:
    """Now and then writes a template as people do: lower case, without the mark at its end."""
    if rng.random() < 0.2:
        return template.lower().rstrip(".?!")
    if rng.random() < 0.1:
        return template.rstrip(".?!")
    return template


def until(rng: Random, make: SkillFunction, scene: Scene, *, held_out: bool) -> Exchange:
    """Draws until the exchange is on the wanted side of the split."""
    while True:
        exchange = make(rng, scene)
        if exchange.is_held_out == held_out:
            return exchange


def pick(rng: Random, items: Sequence[str]) -> str:
    """One of several strings."""
    return items[rng.randrange(len(items))]
