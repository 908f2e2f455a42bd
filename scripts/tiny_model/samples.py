"""Owns turning dialogues into ids and loss weights, batch by batch. Knows no network."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from random import Random

import numpy as np
from numpy.typing import NDArray

from chat_formats.base import ChatFormat
from core.messages import Conversation
from scripts.tiny_model.bpe import Bpe
from scripts.tiny_model.dialogues import Dialogue, all_skills, training_dialogues
from scripts.tiny_model.rendering import dated, formats, render_answered, render_prompt
from scripts.tiny_model.skills import vocabulary
from scripts.tiny_model.skills.exchange import Skill

PROMPT_WEIGHT = 0.3
PROMPT_SHARE = 0.25
LONGEST = 1024
POOL = 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """Ids of a dialogue, and how much the prediction of each of them counts."""

    ids: list[int]
    weights: list[float]


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs and targets (rows, length), and the targets' loss weights."""

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    weights: NDArray[np.float32]


def encode_dialogue(dialogue: Dialogue, chat_format: ChatFormat, bpe: Bpe) -> Sample:
    """Ids of the whole dialogue; each answer counts from its first token to its end token.

    A format that writes the same turns differently once more follow can't show an early answer
    as it would be asked for, so only answers whose prompt opens the whole text count.
    """
    conversation = dialogue.conversation
    ids = bpe.encode(render_answered(chat_format, conversation))
    weights = [0.0] * len(ids)
    for turn in _answers(conversation):
        prompt = render_prompt(chat_format, conversation, turn)
        seen = bpe.encode(prompt.pieces)
        if ids[: len(seen)] == seen:
            stops = {bpe.control_ids[token] for token in prompt.stop_tokens}
            stop = next(at for at in range(len(seen), len(ids)) if ids[at] in stops)
            weights[len(seen) : stop + 1] = [1.0] * (stop + 1 - len(seen))
    return Sample(ids, weights)


def _answers(conversation: Conversation) -> Iterator[int]:
    """The assistant's turns; an early tool call is rendered otherwise than it was written."""
    last = len(conversation.messages) - 1
    for turn, message in enumerate(conversation.messages):
        if message.role == "assistant" and (turn == last or not message.tool_calls):
            yield turn


def training_samples(seed: int, bpe: Bpe, skills: Sequence[Skill]) -> Iterator[Sample]:
    """Endless samples, each in one of the formats."""
    rng, choices = Random(seed), formats()
    for dialogue in training_dialogues(seed, skills):
        chat_format = rng.choice(choices)
        conversation = dated(rng, dialogue.conversation, chat_format)
        yield encode_dialogue(replace(dialogue, conversation=conversation), chat_format, bpe)


def tokenizer_texts(seed: int, count: int) -> Iterator[str]:
    """What the tokenizer learns from: dialogues in all formats, and English prose."""
    choices = formats()
    for number, dialogue in enumerate(islice(training_dialogues(seed, all_skills()), count)):
        pieces = choices[number % len(choices)].render(dialogue.conversation).pieces
        yield from (piece.text for piece in pieces if not piece.is_control)
    yield from vocabulary.sentences()


def batches(samples: Iterable[Sample], tokens: int, rng: Random) -> Iterator[Batch]:
    """Batches of about `tokens`, each of samples of one length or nearly so, in random order."""
    endless = (sample for sample in samples if len(sample.ids) <= LONGEST)
    while pool := list(islice(endless, POOL)):
        pool.sort(key=lambda sample: len(sample.ids))
        groups: list[list[Sample]] = [[]]
        for sample in pool:
            if (len(groups[-1]) + 1) * len(sample.ids) > tokens:
                groups.append([])
            groups[-1].append(sample)
        rng.shuffle(groups)
        yield from (pad(group, rng) for group in groups)


def pad(group: Sequence[Sample], rng: Random) -> Batch:
    """One batch; a random part of the prompts' tokens is learned too, at a lower weight."""
    length = max(len(sample.ids) for sample in group)
    ids = np.zeros((len(group), length), dtype=np.int64)
    weights = np.zeros((len(group), length), dtype=np.float32)
    chance = np.random.default_rng(rng.randrange(2**32))
    for row, sample in enumerate(group):
        size = len(sample.ids)
        ids[row, :size] = sample.ids
        drawn = (chance.random(size) < PROMPT_SHARE) * PROMPT_WEIGHT
        weights[row, :size] = np.maximum(sample.weights, drawn)
    return Batch(ids[:, :-1], ids[:, 1:], weights[:, 1:])
