"""Owns whole conversations made of skills' exchanges. Knows no chat format and no tokenizer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from core.messages import Conversation, Message, Tool
from scripts.tiny_model.skills import facts, recitals, structured, talk, vocabulary
from scripts.tiny_model.skills.exchange import Exchange, Scene, Skill, until

PLAIN_PROMPTS = (
    "You are a helpful assistant.", "You are a helpful assistant.", "Answer briefly.",
    "You are a concise assistant.", "You are Jarvis, a tiny language model.", "Be kind.",
    "You are a helpful AI assistant.", "You are an assistant.", "Answer in one sentence.",
)  # fmt: skip
OPENS_ONLY = frozenset({"admit not knowing a name"})
TOOLS_CHANGE = frozenset({"add", "subtract", "refuse kindly"})
IDLE_SKILLS = frozenset({"greet", "say what it is", "capitals", "days", "recall a name", "recite"})


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation whose last message is the answer that shows `skill`."""

    skill: str
    conversation: Conversation


def all_skills() -> tuple[Skill, ...]:
    """Every skill that is taught and measured."""
    return (*short_skills(), *structured.skills())


def make_dialogue(rng: Random, skill: Skill, *, held_out: bool) -> Dialogue:
    """A conversation that ends in `skill`; what comes before it is of the training side."""
    scene = Scene()
    final = until(rng, skill.make, scene, held_out=held_out)
    scene = Scene(introduction=_introduction(final), tools=final.tools)
    earlier = () if skill.name in OPENS_ONLY else _earlier(rng, scene)
    system = final.system if final.system is not None else _system(rng)
    messages = (*earlier, *final.messages)
    if system is not None:
        messages = (Message(role="system", content=system), *messages)
    conversation = Conversation(
        messages=messages, tools=final.tools or _idle_tools(rng, skill), add_generation_prompt=False
    )
    return Dialogue(skill=skill.name, conversation=conversation)


def short_skills() -> tuple[Skill, ...]:
    """The skills with short prompts. Taught alone at first, they teach copying much sooner."""
    return (*talk.skills(), *facts.skills(), *recitals.skills())


def training_dialogues(seed: int, skills: Sequence[Skill]) -> Iterator[Dialogue]:
    """Endless conversations in the skills' proportions; none of them holds a held-out answer."""
    rng = Random(seed)
    weights = [skill.weight for skill in skills]
    while True:
        (skill,) = rng.choices(skills, weights)
        yield make_dialogue(rng, skill, held_out=False)


def unseen_dialogues(seed: int, skill: Skill, count: int) -> list[Dialogue]:
    """`count` conversations that end in an answer kept out of training."""
    rng = Random(f"{seed}:{skill.name}")
    return [make_dialogue(rng, skill, held_out=True) for _ in range(count)]


def _introduction(exchange: Exchange) -> str:
    if exchange.system is None:
        return Scene().introduction
    return exchange.key.removeprefix("persona:")


def _earlier(rng: Random, scene: Scene) -> tuple[Message, ...]:
    count = rng.choices((0, 1, 2, 3), (55, 25, 12, 8))[0]
    excluded = OPENS_ONLY | {"follow a persona"} | (TOOLS_CHANGE if scene.tools else frozenset())
    fitting = [skill for skill in short_skills() if skill.name not in excluded]
    messages: list[Message] = []
    for skill in rng.choices(fitting, [skill.weight for skill in fitting], k=count):
        messages += until(rng, skill.make, scene, held_out=False).messages
    return tuple(messages)


def _system(rng: Random) -> str | None:
    kind = rng.random()
    if kind < 0.5:
        return None
    if kind < 0.97:
        return rng.choice(PLAIN_PROMPTS)
    filler = rng.sample(vocabulary.sentences(), rng.randint(2, 8))
    return " ".join([rng.choice(PLAIN_PROMPTS), *filler])


def _idle_tools(rng: Random, skill: Skill) -> tuple[Tool, ...]:
    if skill.name not in IDLE_SKILLS or rng.random() > 0.12:
        return ()
    return structured.offered_tools(rng)
