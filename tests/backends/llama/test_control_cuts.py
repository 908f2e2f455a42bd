"""Long text with many control tokens is encoded in pieces, to the same ids as in one."""

import random

import pytest

from backends.llama.control_cuts import ControlCuts
from tests.engines import Engine

CONTROLS = ("<|im_start|>", "<|im_end|>", "[INST]", "[/INST]", "</s>", "<s>")


def cut(text: str, controls: tuple[str, ...] = CONTROLS, size: int = 10) -> list[str]:
    return list(ControlCuts(controls, size).pieces(text))


def test_a_cut_stands_before_a_control_token() -> None:
    assert cut("a" * 12 + "<s>" + "b" * 9 + "<s>") == ["a" * 12, "<s>" + "b" * 9, "<s>"]
    assert cut("a" * 12 + " <s>b") == ["a" * 12 + " <s>b"]
    assert cut("short<s>") == ["short<s>"]
    assert cut("a" * 100) == ["a" * 100]
    assert cut("") == [""]


def test_no_cut_stands_where_a_control_token_may_reach_across() -> None:
    assert cut("a" * 12 + "<<s>b", ("<<s>", "<s>")) == ["a" * 12 + "<<s>b"]
    assert cut("a" * 12 + "|x|y|", ("|x", "x|y")) == ["a" * 12 + "|x|y|"]
    assert cut("a" * 12, ()) == ["a" * 12]


@pytest.mark.engine
@pytest.mark.asyncio(loop_scope="session")
async def test_ids_are_those_of_the_whole_text(llama: Engine) -> None:
    tokenizer = llama.backend.tokenizer
    vocabulary = llama.backend.card.vocabulary
    draws = random.Random(6)
    words = [*vocabulary.control_tokens(), " ", "\n", "hello", " world", "ü🙂", "<|", "[INST", "1"]
    for _ in range(60):
        text = "".join(draws.choice(words) for _ in range(300))
        whole = list(tokenizer.encode(text, with_control=True))
        pieces = ControlCuts(vocabulary.control_tokens(), 64).pieces(text)
        apart = [i for each in pieces for i in tokenizer.encode(each, with_control=True)]
        assert apart == whole, text


@pytest.mark.engine
@pytest.mark.timeout(60)
@pytest.mark.asyncio(loop_scope="session")
async def test_hundreds_of_thousands_of_control_tokens_are_encoded(llama: Engine) -> None:
    """In one piece, they took minutes."""
    ids = llama.backend.tokenizer.encode("<|im_end|>" * 150_000, with_control=True)
    assert len(ids) == 150_000
    assert len(set(ids)) == 1
