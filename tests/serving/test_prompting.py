"""A prompt between two texts is made of the model's own tokens for it, or refused."""

from dataclasses import replace

import pytest

from backends.base import Tokenizer
from backends.scripted import ByteTokenizer, ScriptedBackend, byte_vocabulary
from chat_formats.base import SpecialTokens
from chat_formats.chatml import ChatmlFormat
from core.errors import ContextLengthExceeded, UnsupportedField
from core.messages import Conversation, Message
from serving.prompting import Prompter

FIM = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")


class CountingTokenizer(ByteTokenizer):
    """Counts what it is asked for."""

    def __init__(self) -> None:
        self.num_calls = 0

    def encode(self, text: str, *, with_control: bool) -> list[int]:
        self.num_calls += 1
        return super().encode(text, with_control=with_control)


async def prompter(
    *, can_infill: bool, tokenizer: Tokenizer | None = None, window: int = 4096
) -> Prompter:
    backend = ScriptedBackend(lambda _: b"", context_window=window)
    await backend.start(lambda _: None)
    vocabulary = byte_vocabulary()
    if can_infill:
        pieces = (*vocabulary.pieces, *(token.encode() for token in FIM))
        control = vocabulary.control_ids | set(range(len(pieces) - len(FIM), len(pieces)))
        vocabulary = replace(vocabulary, pieces=pieces, control_ids=frozenset(control))
    card = replace(backend.card, vocabulary=vocabulary)
    chat_format = ChatmlFormat(SpecialTokens(frozenset(vocabulary.control_tokens())))
    return Prompter(card, tokenizer or ByteTokenizer(), chat_format)


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


LONGEST = len("<|fim_suffix|>")


def chat(content: str) -> Conversation:
    return Conversation((Message("user", content),))


@pytest.mark.parametrize("text", ["a" * (8 * LONGEST + 1), "é" * (4 * LONGEST + 1)])
async def test_text_that_can_not_fit_is_refused_before_the_tokenizer_sees_it(text: str) -> None:
    tokenizer = CountingTokenizer()
    made = await prompter(can_infill=True, tokenizer=tokenizer, window=8)
    for prompt, suffix in ((text, None), (chat(text), None), (text[:8], text[8:])):
        with pytest.raises(ContextLengthExceeded, match=r"8 tokens; .* at least \d+ tokens"):
            made.make(prompt, suffix, must_fit=True)
    assert not tokenizer.num_calls
    assert made.make(chat(text)).token_ids


async def test_text_that_may_fit_is_counted() -> None:
    made = await prompter(can_infill=False, window=8)
    text = "<|endoftext|>" * 8
    assert len(made.make(text, must_fit=True).token_ids) == 8
    with pytest.raises(ContextLengthExceeded):
        made.make(text + "a", must_fit=True)
