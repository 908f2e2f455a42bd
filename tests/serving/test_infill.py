"""The tokens and the order by which each family of models is asked for a middle."""

import pytest

from core.vocabulary import Vocabulary
from serving.infill import encode_suffix, find_infill

PREFIX, SUFFIX = (100, 101), (200,)


def vocabulary_of(*controls: str, plain: tuple[str, ...] = (), add_bos: bool = False) -> Vocabulary:
    spellings = ("<bos>", "hello", *plain, *controls)
    first = len(spellings) - len(controls)
    return Vocabulary(
        pieces=tuple(spelling.encode() for spelling in spellings),
        control_ids=frozenset({0, *range(first, len(spellings))}),
        bos_id=0,
        eos_id=None,
        metadata_end_ids=frozenset(),
        add_bos=add_bos,
    )


def prompt_of(vocabulary: Vocabulary) -> str:
    """The prompt with P for the prefix and S for the suffix."""
    infill = find_infill(vocabulary)
    assert infill is not None
    texts = {100: "P", 101: "", 200: "S"}
    ids = infill.prompt_ids(PREFIX, SUFFIX)
    return "".join(texts[i] if i in texts else vocabulary.spelling(i) for i in ids)


@pytest.mark.parametrize(
    ("controls", "add_bos", "prompt"),
    [
        (
            ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"),
            False,
            "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>",
        ),
        (
            ("<|fim_suffix|>", "<|fim_middle|>", "<|fim_prefix|>"),
            True,
            "<bos><|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>",
        ),
        (
            ("<fim_prefix>", "<fim_middle>", "<fim_suffix>"),
            False,
            "<fim_prefix>P<fim_suffix>S<fim_middle>",
        ),
        (
            ("<fim-prefix>", "<fim-middle>", "<fim-suffix>"),
            False,
            "<fim-prefix>P<fim-suffix>S<fim-middle>",
        ),
        (
            ("<｜fim▁hole｜>", "<｜fim▁begin｜>", "<｜fim▁end｜>"),
            True,
            "<bos><｜fim▁begin｜>P<｜fim▁hole｜>S<｜fim▁end｜>",
        ),
        (("▁<PRE>", "▁<MID>", "▁<SUF>", "▁<EOT>"), True, "<bos>▁<PRE>P▁<SUF>S▁<MID>"),
        (("<PRE>", "<MID>", "<SUF>", "<EOT>"), True, "<bos><PRE>P<SUF>S<MID>"),
        (
            ("<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>"),
            True,
            "<bos><[fim-suffix]>S<[fim-prefix]>P<[fim-middle]>",
        ),
        (
            ("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"),
            False,
            "<|code_prefix|>P<|code_suffix|>S<|code_middle|>",
        ),
        (("<|prefix|>", "<|suffix|>", "<|middle|>"), False, "<|prefix|>P<|suffix|>S<|middle|>"),
        (("[SUFFIX]", "[PREFIX]", "[MIDDLE]"), True, "<bos>[SUFFIX]S[PREFIX]P"),
        (("[SUFFIX]", "[PREFIX]"), True, "<bos>[SUFFIX]S[PREFIX]P"),
    ],
)
def test_each_family_has_its_order(controls: tuple[str, ...], add_bos: bool, prompt: str) -> None:
    assert prompt_of(vocabulary_of(*controls, add_bos=add_bos)) == prompt


def test_nothing_before_or_after_the_cursor_is_a_prompt_too() -> None:
    infill = find_infill(vocabulary_of("<fim_prefix>", "<fim_suffix>", "<fim_middle>"))
    assert infill is not None
    assert infill.prompt_ids((), ()) == (infill.prefix_id, infill.suffix_id, infill.middle_id)


@pytest.mark.parametrize(
    "controls",
    [
        (),
        ("<|fim_prefix|>", "<|fim_suffix|>"),
        ("<|fim_prefix|>", "<fim_suffix>", "<|fim_middle|>"),
        ("[PREFIX]", "[MIDDLE]"),
        ("<|im_start|>", "<|im_end|>", "<|endoftext|>"),
    ],
)
def test_a_vocabulary_without_all_tokens_of_a_family_has_no_infill(
    controls: tuple[str, ...],
) -> None:
    assert find_infill(vocabulary_of(*controls)) is None


def test_an_answer_ends_with_the_family_s_own_tokens() -> None:
    own = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
    ends = ("<|fim_pad|>", "<|file_sep|>", "<|repo_name|>", "<|endoftext|>")
    vocabulary = vocabulary_of(*own, *ends, "<|im_start|>", "<tool_call>")
    infill = find_infill(vocabulary)
    assert infill is not None
    assert {vocabulary.spelling(i) for i in infill.end_ids} == {*own, *ends}
    llama = vocabulary_of("▁<PRE>", "▁<MID>", "▁<SUF>", "▁<EOT>")
    found = find_infill(llama)
    assert found is not None
    assert llama.control_tokens()["▁<EOT>"] in found.end_ids


def test_tokens_that_are_not_counted_as_control_are_found_and_control_ones_come_first() -> None:
    tokens = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
    plain = vocabulary_of(plain=tokens)
    assert prompt_of(plain) == "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>"
    both = vocabulary_of(*tokens, plain=tokens)
    infill = find_infill(both)
    assert infill is not None
    assert {infill.prefix_id, infill.suffix_id, infill.middle_id} <= both.control_ids


class Sentencepiece:
    """A character is an id; a text's begin gets a space, as sentencepiece puts one there."""

    def encode(self, text: str, *, with_control: bool) -> list[int]:
        assert not with_control
        return [ord(character) for character in f" {text}"]


class Merging:
    """A text is one id."""

    def encode(self, text: str, *, with_control: bool) -> list[int]:
        return [hash((text, with_control))]


def test_a_suffix_gets_no_space_of_the_tokenizer_s() -> None:
    assert encode_suffix("(x)", Sentencepiece()) == tuple(map(ord, "(x)"))
    assert encode_suffix(" x", Sentencepiece()) == tuple(map(ord, " x"))
    assert encode_suffix("", Sentencepiece()) == ()
    assert encode_suffix("x", Merging()) == (hash(("x", False)),)
