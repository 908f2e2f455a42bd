"""Owns measuring the model on unseen dialogues, skill by skill. Knows no training."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from chat_formats.base import ChatFormat
from scripts.tiny_model.bpe import Bpe
from scripts.tiny_model.dialogues import Dialogue, all_skills, unseen_dialogues
from scripts.tiny_model.network import TinyLlama
from scripts.tiny_model.rendering import formats, render_answered, render_prompt


@dataclass(frozen=True, slots=True)
class Score:
    """How many of the unseen prompts of a skill, in a format, got exactly the right answer."""

    skill: str
    format_name: str
    num_right: int
    num_asked: int

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return self.num_right / self.num_asked


def final_answer(dialogue: Dialogue, chat_format: ChatFormat, bpe: Bpe) -> tuple[list[int], int]:
    """Ids of the dialogue up to the last answer's end token, and where that answer begins."""
    conversation = dialogue.conversation
    prompt = render_prompt(chat_format, conversation, len(conversation.messages) - 1)
    ids = bpe.encode(render_answered(chat_format, conversation))
    start = len(bpe.encode(prompt.pieces))
    stops = {bpe.control_ids[token] for token in prompt.stop_tokens}
    stop = next(at for at in range(start, len(ids)) if ids[at] in stops)
    return ids[: stop + 1], start


def is_greedy(network: TinyLlama, ids: Sequence[int], start: int) -> bool:
    """Whether greedy decoding after `ids[:start]` gives exactly the rest, end token included.

    It does if each token of the answer is the likeliest one after those before it.
    """
    with torch.inference_mode():
        logits = network.logits(network(torch.tensor([ids[:-1]]))[0, start - 1 :])
    greedy: list[int] = logits.argmax(-1).tolist()
    return greedy == list(ids[start:])


def scores(network: TinyLlama, bpe: Bpe, seed: int, count: int) -> Iterator[Score]:
    """`count` unseen prompts a skill and format."""
    for skill in all_skills():
        dialogues = unseen_dialogues(seed, skill, count)
        for chat_format in formats():
            answers = (final_answer(dialogue, chat_format, bpe) for dialogue in dialogues)
            num_right = sum(is_greedy(network, ids, start) for ids, start in answers)
            yield Score(skill.name, chat_format.name, num_right, count)


def table(measured: Sequence[Score]) -> str:
    """The scores as a Markdown table, one skill a line."""
    names = list(dict.fromkeys(score.format_name for score in measured))
    lines = [f"| skill | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for skill in dict.fromkeys(score.skill for score in measured):
        shares = {score.format_name: score.share for score in measured if score.skill == skill}
        cells = " | ".join(f"{100 * shares[name]:.1f} %" for name in names)
        lines.append(f"| {skill} | {cells} |")
    return "\n".join(lines)
