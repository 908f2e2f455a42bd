"""Ids to events: the same events however the ids are cut into steps."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.base import TokenStep
from core.events import FinishReason, GenerationEnd, GenerationEvent, TextDelta
from core.scores import ScoredToken
from core.vocabulary import Vocabulary
from serving.decoding import AnswerDecoder, TextRules

BYTES = tuple(bytes([i]) for i in range(256))
END_ID = 256
VOCABULARY = Vocabulary(
    pieces=(*BYTES, b"<|end|>", b"hello", b" wor"),
    control_ids=frozenset({END_ID}),
    bos_id=None,
    eos_id=END_ID,
    metadata_end_ids=frozenset({END_ID}),
    add_bos=False,
)


def decode(
    steps: list[tuple[int, ...]],
    finish: FinishReason,
    stops: tuple[str, ...] = (),
    *,
    scored: bool = False,
    **rules: Any,
) -> list[GenerationEvent]:
    decoder = AnswerDecoder(VOCABULARY, TextRules(stops, **rules), num_prompt_tokens=3)
    events: list[GenerationEvent] = []
    for index, step in enumerate(steps):
        end = finish if index == len(steps) - 1 else None
        scores = tuple(ScoredToken(i, -1.0, 1) for i in step) if scored else ()
        events += decoder.feed(TokenStep(step, end, num_cached=2, scores=scores))
        if decoder.is_done:
            break
    return events


def text_of(events: list[GenerationEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def scored_ids(events: list[GenerationEvent]) -> list[int]:
    deltas = [event for event in events if isinstance(event, TextDelta)]
    return [score.token_id for delta in deltas for score in delta.scores]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(min_size=1, max_size=40), st.data())
def test_any_cut_of_any_bytes_gives_the_same_text_and_one_end(
    data: bytes, draw: st.DataObject
) -> None:
    cut = draw.draw(st.integers(0, len(data)))
    steps = [step for step in (tuple(data[:cut]), tuple(data[cut:])) if step]
    events = decode(steps, FinishReason.LENGTH)
    assert text_of(events) == data.decode("utf-8", "replace")
    assert [type(event) for event in events].count(GenerationEnd) == 1
    assert events[-1] == GenerationEnd(FinishReason.LENGTH, 3, len(data), 2)


def test_a_character_is_held_back_until_it_is_whole() -> None:
    first, second = "é".encode()
    decoder = AnswerDecoder(VOCABULARY, TextRules(), num_prompt_tokens=1)
    assert decoder.feed(TokenStep((first,))) == []
    assert decoder.feed(TokenStep((second,))) == [TextDelta("é")]


def test_half_a_character_at_the_end_is_not_lost() -> None:
    assert text_of(decode([(0xF0, 0x9F)], FinishReason.LENGTH)) == "�"


def test_the_end_id_is_counted_and_has_no_text() -> None:
    events = decode([(257,), (END_ID,)], FinishReason.STOP)
    assert events == [TextDelta("hello"), GenerationEnd(FinishReason.STOP, 3, 2, 2)]


def test_an_end_id_that_is_ordinary_text_has_no_text_either() -> None:
    assert text_of(decode([(257, 258)], FinishReason.STOP)) == "hello"


@pytest.mark.parametrize("steps", [[(257, 258)], [(257,), (258,)]])
def test_a_stop_string_ends_at_the_same_token_however_steps_are_cut(
    steps: list[tuple[int, ...]],
) -> None:
    events = decode([*steps, (65, 65)], FinishReason.LENGTH, stops=("o w",))
    assert text_of(events) == "hell"
    assert events[-1] == GenerationEnd(FinishReason.STOP, 3, 2, 2, stop="o w")


def test_a_stop_string_of_the_chat_format_is_told_nobody() -> None:
    events = decode([(257, 258)], FinishReason.LENGTH, format_stop=("o w",))
    assert text_of(events) == "hell"
    assert events[-1] == GenerationEnd(FinishReason.STOP, 3, 2, 2)


def test_control_ids_have_no_text_in_the_middle_of_an_answer() -> None:
    assert text_of(decode([(257, END_ID, 258)], FinishReason.LENGTH)) == "hello wor"


def test_tokens_are_counted_as_they_come_also_those_that_are_held_back() -> None:
    for stops in ((), ("zz",)):
        decoder = AnswerDecoder(VOCABULARY, TextRules(stops), num_prompt_tokens=1)
        decoder.feed(TokenStep((257, 0xC3)))
        assert decoder.num_tokens == 2


@pytest.mark.parametrize("stops", [(), ("zz",)])
def test_an_end_without_ids_lets_out_what_was_held_back(stops: tuple[str, ...]) -> None:
    decoder = AnswerDecoder(VOCABULARY, TextRules(stops), num_prompt_tokens=1)
    assert text_of(decoder.feed(TokenStep((257, ord("z"), 0xC3)))) == (
        "helloz" if not stops else "hello"
    )
    rest = decoder.feed(TokenStep((), FinishReason.LENGTH))
    assert text_of(rest) == ("\ufffd" if not stops else "z\ufffd")
    assert rest[-1] == GenerationEnd(FinishReason.LENGTH, 1, 3)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text("ab é", max_size=20), st.text("ab é", min_size=1, max_size=3))
def test_a_stop_string_cuts_where_the_text_first_has_it(text: str, stop: str) -> None:
    events = decode([tuple(text.encode())], FinishReason.LENGTH, (stop,))
    assert text_of(events) == text.partition(stop)[0]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from([*b"ab\xc3\xa9", END_ID, 257, 258]), min_size=1, max_size=20),
    st.lists(st.sampled_from(["a", "ab", "é", "o w", "lo wo"]), max_size=2, unique=True),
    st.data(),
)
def test_scores_and_text_are_the_same_however_steps_are_cut(
    ids: list[int], stops: list[str], draw: st.DataObject
) -> None:
    finish = draw.draw(st.sampled_from(FinishReason))
    rules: dict[str, Any] = {
        "min_tokens": draw.draw(st.integers(0, 4)),
        "keeps_stop": draw.draw(st.booleans()),
        "shows_control": draw.draw(st.booleans()),
    }
    cuts = sorted(draw.draw(st.lists(st.integers(1, len(ids)), max_size=4)))
    borders = [0, *cuts, len(ids)]
    steps = [tuple(ids[a:b]) for a, b in itertools.pairwise(borders) if a < b]
    expected = decode([(i,) for i in ids], finish, tuple(stops), scored=True, **rules)
    found = decode(steps, finish, tuple(stops), scored=True, **rules)
    unscored = decode(steps, finish, tuple(stops), **rules)
    assert text_of(found) == text_of(expected) == text_of(unscored)
    assert scored_ids(found) == scored_ids(expected)
    assert found[-1] == expected[-1] == unscored[-1]


def test_scores_of_ids_that_a_stop_string_cut_off_do_not_go_out() -> None:
    events = decode([(257, 258, 258)], FinishReason.LENGTH, ("w",), scored=True)
    assert text_of(events) == "hello "
    assert scored_ids(events) == [257, 258]
    events = decode([(257, 258)], FinishReason.LENGTH, (" ",), scored=True)
    assert (text_of(events), scored_ids(events)) == ("hello", [257])


def test_scores_are_held_back_with_the_text_of_their_ids() -> None:
    decoder = AnswerDecoder(VOCABULARY, TextRules(("zz",)), num_prompt_tokens=1)
    score = ScoredToken(122, -0.5, 1)
    assert decoder.feed(TokenStep((122,), scores=(score,))) == []
    assert decoder.feed(TokenStep((97,), scores=(ScoredToken(97, -0.1, 1),))) == [
        TextDelta("za", (score, ScoredToken(97, -0.1, 1)))
    ]


@pytest.mark.parametrize(("keeps_stop", "ids"), [(False, [257]), (True, [257, END_ID])])
def test_an_end_id_is_scored_where_it_is_part_of_the_text(keeps_stop: bool, ids: list[int]) -> None:
    events = decode([(257, END_ID)], FinishReason.STOP, scored=True, keeps_stop=keeps_stop)
    assert scored_ids(events) == ids
    assert text_of(events) == "hello"


def test_an_answer_of_control_ids_alone_is_scored_all_the_same() -> None:
    events = decode([(END_ID,), (END_ID,)], FinishReason.LENGTH, scored=True)
    assert scored_ids(events) == [END_ID, END_ID]


def test_what_ended_an_answer_is_kept_where_asked_for() -> None:
    stopped = decode([(257, 258)], FinishReason.LENGTH, ("o w",), keeps_stop=True)
    assert text_of(stopped) == "hello w"
    ended = decode([(257, 258)], FinishReason.STOP, keeps_stop=True)
    assert text_of(ended) == "hello wor"


def test_control_ids_are_spelled_where_asked_for() -> None:
    events = decode([(257, END_ID, 258)], FinishReason.LENGTH, shows_control=True)
    assert text_of(events) == "hello<|end|> wor"


def test_stop_strings_are_looked_for_after_the_first_ids_alone() -> None:
    events = decode([(257, 258, 257, 258)], FinishReason.LENGTH, ("o w",), min_tokens=2)
    assert text_of(events) == "hello worhell"
    assert events[-1] == GenerationEnd(FinishReason.STOP, 3, 4, 2, stop="o w")
    across = decode([(257, 258)], FinishReason.LENGTH, ("o w",), min_tokens=1)
    assert text_of(across) == "hello wor"
