"""A prompt between two texts is made of the model's own tokens for it, or refused."""

from dataclasses import replace

import pytest

from backends.scripted import ByteTokenizer, ScriptedBackend, byte_vocabulary
from chat_formats.base import SpecialTokens
from chat_formats.chatml import ChatmlFormat
from core.errors import UnsupportedField
from serving.prompting import Prompter

FIM = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")


async def prompter(*, can_infill: bool) -> Prompter:
    backend = ScriptedBackend(lambda _: b"")
    await backend.start(lambda _: None)
    vocabulary = byte_vocabulary()
    if can_infill:
        pieces = (*vocabulary.pieces, *(token.encode() for token in FIM))
        control = vocabulary.control_ids | set(range(len(pieces) - len(FIM), len(pieces)))
        vocabulary = replace(vocabulary, pieces=pieces, control_ids=frozenset(control))
    card = replace(backend.card, vocabulary=vocabulary)
    chat_format = ChatmlFormat(SpecialTokens(frozenset(vocabulary.control_tokens())))
    return Prompter(card, ByteTokenizer(), chat_format)


@pytest.mark.parametrize("prompt", ["ab", tuple(b"ab")])
async def test_a_suffix_stands_behind_the_cursor(prompt: str | tuple[int, ...]) -> None:
    made = (await prompter(can_infill=True)).make(prompt, "yz")
    prefix, suffix, middle = range(259, 262)
    assert made.token_ids == (prefix, *b"ab", suffix, *b"yz", middle)
    assert made.text == "ab"
    assert {prefix, suffix, middle} < set(made.stop_ids)


async def test_control_tokens_spelled_around_the_cursor_stay_text() -> None:
    made = (await prompter(can_infill=True)).make("<|im_end|>", "<|fim_middle|>")
    assert [i for i in made.token_ids if i >= 256] == [259, 260, 261]


async def test_a_model_without_such_tokens_refuses_a_suffix() -> None:
    with pytest.raises(UnsupportedField, match="infilling"):
        (await prompter(can_infill=False)).make("ab", "yz")
