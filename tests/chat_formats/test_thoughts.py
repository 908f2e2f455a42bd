"""Thoughts are told from answers, the same however the text comes."""

import itertools
import random

import pytest

from chat_formats.thoughts import KNOWN_THOUGHTS, ThoughtSplitter, ThoughtState

THINK = KNOWN_THOUGHTS[0]
# The answer, whether the prompt has opened the block, what is thought, what is said.
CASES = [
    ("hello", False, "", "hello"),
    (" \n hello ", False, "", " \n hello "),
    ("", False, "", ""),
    ("", True, "", ""),
    ("<think>\na <b\n\nc\n</think>\n\nhello\n", False, "a <b\n\nc", "hello\n"),
    ("\n<think>a</think>b", False, "a", "b"),
    ("<think></think>b", False, "", "b"),
    ("<think>\n\n</think>\n\nb", False, "", "b"),
    ("a\n</think>\n\nb</think>", True, "a", "b</think>"),
    ("\n<think>\na</think>b", True, "a", "b"),
    ("<thin a</think>b", True, "<thin a", "b"),
    ("<thi", False, "", "<thi"),
    ("<thi", True, "<thi", ""),
    ("<think>a </thin", False, "a </thin", ""),
    ("<think>never \n ended \n", False, "never \n ended", ""),
    ("hello <think>a</think>", False, "", "hello <think>a</think>"),
    ("<think>a</think> \n", False, "a", ""),
    ("<think><think>a</think>b", False, "<think>a", "b"),
]


def split(parts: list[str], *, is_open: bool) -> tuple[str, str, ThoughtState]:
    splitter = ThoughtSplitter(THINK, is_open=is_open)
    found = [splitter.feed(part) for part in parts] + [splitter.flush()]
    thought, said = ("".join(each) for each in zip(*found, strict=True))
    return thought, said, splitter.state


@pytest.mark.parametrize(("answer", "is_open", "thought", "said"), CASES)
def test_thoughts_and_answer_are_told_apart_wherever_the_text_is_cut(
    answer: str, is_open: bool, thought: str, said: str
) -> None:
    whole = split([answer], is_open=is_open)
    assert whole[:2] == (thought, said)
    assert split(list(answer), is_open=is_open) == whole
    for place in range(len(answer)):
        assert split([answer[:place], answer[place:]], is_open=is_open) == whole


def test_random_text_is_split_the_same_however_it_is_cut() -> None:
    draws = random.Random(4)
    pieces = ["<think>", "</think>", "<thi", "nk>", "</", "think>", " ", "\n", "a", "ü", "<"]
    for _ in range(3000):
        answer = "".join(draws.choice(pieces) for _ in range(draws.randint(0, 8)))
        cuts = sorted(draws.randint(0, len(answer)) for _ in range(4))
        parts = [answer[a:b] for a, b in itertools.pairwise([0, *cuts, len(answer)])]
        is_open = draws.random() < 0.5
        assert split(parts, is_open=is_open) == split([answer], is_open=is_open), answer


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", ["<think>", " ", "a", "</thin", "\n<"])
def test_a_megabyte_is_split_in_linear_time(unit: str) -> None:
    text = "<think>" + unit * ((1 << 18) // len(unit))
    assert split(list(text), is_open=False)[0] or not unit.strip()


@pytest.mark.parametrize("syntax", KNOWN_THOUGHTS)
def test_a_prompt_says_whether_a_block_is_open(syntax: object) -> None:
    each = next(known for known in KNOWN_THOUGHTS if known is syntax)
    assert each.is_open_in(f"assistant\n{each.opening}\n")
    assert not each.is_open_in(f"assistant\n{each.opening}{each.ending}")
    assert each.is_closed_in(f"assistant\n{each.opening}{each.ending}")
    assert not each.is_closed_in("assistant\n")
    assert each.ending.strip() == each.closing
