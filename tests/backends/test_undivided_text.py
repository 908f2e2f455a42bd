"""What goes on undivided is told by its length, whatever else a text holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.rust_encoding import encoded
from backends.undivided_text import LONGEST_STRETCH, is_undivided, refuse_undivided
from core.errors import InvalidValue
from tests.backends.test_rust_encoding import tokenizer as tokenizer

LIMIT = 2000


@pytest.mark.parametrize("kind", ["a", "7", " ", "!", "ab1-", "漢", "e\u0301", " \n", "\U0001f600"])
def test_a_run_of_one_kind_is_undivided_when_it_is_longer(kind: str) -> None:
    run = (kind * LIMIT)[:LIMIT]
    assert not is_undivided(run, LIMIT)
    assert is_undivided(run + kind[0], LIMIT)
    assert is_undivided("Hello. " + run + kind * 2 + " Hello. ", LIMIT)


@pytest.mark.parametrize("end", [". ", "\n", ", ", "。"])
def test_words_are_divided_by_what_ends_them(end: str) -> None:
    assert not is_undivided(("word" + end) * LIMIT, LIMIT)
    assert not is_undivided(("a" * (LIMIT - len(end)) + end) * 5, LIMIT)
    assert is_undivided(("a" * (LIMIT + 1) + end) * 5, LIMIT)


@given(st.text(alphabet="a !.\n", max_size=200), st.integers(1, 40))
def test_no_longer_stretch_is_called_divided(text: str, limit: int) -> None:
    places = [0, *(at for at in range(1, len(text)) if text[at - 1] == "a" and text[at] in "!.\n")]
    gaps = [later - at for at, later in zip(places, [*places[1:], len(text)], strict=True)]
    assert is_undivided(text, limit) == (max(gaps) > limit)


def test_the_longest_is_refused_the_same_by_each_tokenizer(tokenizer: object) -> None:
    refuse_undivided("a" * LONGEST_STRETCH)
    for given_text in ("a" * (LONGEST_STRETCH + 1), ("a", "a" * (LONGEST_STRETCH + 1))):
        with pytest.raises(InvalidValue, match="more than 1048576 characters without"):
            encoded(tokenizer, given_text, adds_special=False)  # type: ignore[arg-type]
