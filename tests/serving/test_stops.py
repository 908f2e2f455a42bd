"""Stop strings across every possible cut of the text."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.stops import StopScanner


def scan(stops: tuple[str, ...], chunks: list[str]) -> str:
    scanner = StopScanner(stops)
    text = ""
    for chunk in chunks:
        scanned = scanner.feed(chunk)
        text += scanned.text
        if scanned.stop is not None:
            return text
    return text + scanner.flush()


def cut_at_first(text: str, stop: str) -> str:
    at = text.find(stop)
    return text[:at] if at >= 0 else text


ALPHABET = st.text(alphabet="ab\n", max_size=24)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.lists(ALPHABET, max_size=8), ALPHABET.filter(bool))
def test_any_cut_into_chunks_gives_the_text_before_the_stop(chunks: list[str], stop: str) -> None:
    whole = "".join(chunks)
    assert scan((stop,), chunks) == cut_at_first(whole, stop)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(alphabet="ab\n", max_size=40), st.lists(ALPHABET.filter(bool), max_size=4))
def test_of_several_stops_the_first_to_be_complete_ends_the_text(
    text: str, stops: list[str]
) -> None:
    ends = [at + len(stop) for stop in stops if (at := text.find(stop)) >= 0]
    complete = text[: min(ends)] if ends else text
    starts = [at for stop in stops if (at := complete.find(stop)) >= 0]
    assert scan(tuple(stops), list(text)) == complete[: min(starts, default=len(text))]


@pytest.mark.parametrize("num_chunks", [1, 2, 3])
def test_one_stop_string_is_found_across_all_borders(num_chunks: int) -> None:
    text = "one STOP two"
    for cuts in itertools.combinations(range(1, len(text)), num_chunks - 1):
        borders = [0, *cuts, len(text)]
        chunks = [text[a:b] for a, b in itertools.pairwise(borders)]
        assert scan(("STOP",), chunks) == "one "


def test_text_that_only_begins_like_a_stop_is_let_out_in_the_end() -> None:
    assert scan(("STOP",), ["a S", "TO"]) == "a STO"


def test_only_what_may_become_a_stop_is_held_back() -> None:
    scanner = StopScanner(("\n\n",))
    assert scanner.feed("line\n").text == "line"
    assert scanner.feed("next").text == "\nnext"


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        StopScanner(("",))
