"""The small model's dialogues: the same for a seed, split cleanly, renderable in every format."""

import itertools
from random import Random

import pytest

from chat_formats.base import ChatFormat
from scripts.tiny_model.dialogues import (
    Dialogue,
    all_skills,
    training_dialogues,
    unseen_dialogues,
)
from scripts.tiny_model.rendering import formats, render_answered, render_prompt
from scripts.tiny_model.skills.exchange import Scene, Skill, until

SKILLS = all_skills()
FORMATS = formats()


def _some(seed: int, count: int) -> list[Dialogue]:
    return list(itertools.islice(training_dialogues(seed, SKILLS), count))


def test_same_seed_gives_same_dialogues() -> None:
    assert _some(3, 200) == _some(3, 200)


def test_other_seed_gives_other_dialogues() -> None:
    assert _some(3, 50) != _some(4, 50)


@pytest.mark.parametrize("skill", SKILLS, ids=lambda skill: skill.name)
def test_unseen_exchanges_are_never_drawn_for_training(skill: Skill) -> None:
    rng = Random(1)
    trained, unseen = (
        {until(rng, skill.make, Scene(), held_out=side).key for _ in range(200)}
        for side in (False, True)
    )
    assert trained
    assert unseen
    assert not trained & unseen


@pytest.mark.parametrize("skill", SKILLS, ids=lambda skill: skill.name)
def test_unseen_dialogue_shows_its_skill_and_ends_with_an_answer(skill: Skill) -> None:
    (dialogue,) = unseen_dialogues(5, skill, 1)
    assert dialogue.skill == skill.name
    assert dialogue.conversation.messages[-1].role == "assistant"


@pytest.mark.parametrize("chat_format", FORMATS, ids=lambda chat_format: chat_format.name)
def test_last_prompt_opens_the_whole_dialogue(chat_format: ChatFormat) -> None:
    for dialogue in _some(6, 200):
        conversation = dialogue.conversation
        prompt = render_prompt(chat_format, conversation, len(conversation.messages) - 1)
        whole = "".join(piece.text for piece in render_answered(chat_format, conversation))
        assert whole.startswith(prompt.text)
        answer = whole.removeprefix(prompt.text).rstrip("\n")
        assert answer.endswith(prompt.stop_tokens[0])
        assert answer != prompt.stop_tokens[0]


def test_mistral_answers_with_calls_that_have_no_id() -> None:
    mistral = FORMATS[-1]
    (skill,) = (skill for skill in SKILLS if skill.name == "call a tool")
    for dialogue in unseen_dialogues(8, skill, 30):
        conversation = dialogue.conversation
        prompt = render_prompt(mistral, conversation, len(conversation.messages) - 1)
        whole = "".join(piece.text for piece in render_answered(mistral, conversation))
        answer = whole.removeprefix(prompt.text)
        assert answer.startswith('[TOOL_CALLS][{"name": "')
        assert answer.endswith("}}]</s>")
