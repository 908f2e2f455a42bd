"""Words are found as one plain alternation finds them, in a text of any length."""

import random
import re

from hypothesis import given
from hypothesis import strategies as st

from core.spellings import Spellings

LETTERS = "ab<|"
WORDS = st.lists(st.text(alphabet=LETTERS, max_size=6), max_size=12)


def as_alternation(words: list[str], text: str, start: int = 0) -> list[tuple[int, str]]:
    known = sorted({word for word in words if word}, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, known)) or r"(?!)")
    return [(found.start(), found[0]) for found in pattern.finditer(text, start)]


def as_found(spellings: Spellings, text: str, start: int = 0) -> list[tuple[int, str]]:
    return [(found.start(), found[0]) for found in spellings.found(text, start)]


@given(WORDS, st.text(alphabet=LETTERS, max_size=60), st.integers(1, 9), st.integers(0, 5))
def test_the_longest_word_of_each_place_is_found(
    words: list[str], text: str, piece: int, start: int
) -> None:
    assert as_found(Spellings(words, piece), text, start) == as_alternation(words, text, start)


def test_a_word_that_reaches_into_the_next_piece_is_found_whole() -> None:
    text = "x" * 9 + "<|end|>" + "x" * 9
    assert as_found(Spellings(["<|end|>", "<|"], 10), text) == [(9, "<|end|>")]


def test_of_thousands_of_words_no_expression_is_too_deep() -> None:
    draws = random.Random(7)
    many = ["<" + "".join(draws.choices(LETTERS, k=80)) for _ in range(1000)]
    long = ["<" * count for count in range(1, 1000, 7)]
    text = "a".join(draws.sample(many, 20)) + "<" * 1500
    words = [*many, *long]
    assert as_found(Spellings(words), text) == as_alternation(words, text)


def test_many_words_that_begin_alike_are_looked_at_as_one() -> None:
    """Tried one after the other, this would be 800,000,000 looks."""
    words = [f"<unused{number}>" for number in range(4000)]
    assert as_found(Spellings(words), "<unused" * 200_000) == []
