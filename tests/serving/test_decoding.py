"""Ids to events: the same events however the ids are cut into steps."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.base import TokenStep
from core.events import FinishReason, GenerationEnd, GenerationEvent, TextDelta
from core.vocabulary import Vocabulary
from serving.decoding import AnswerDecoder

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
    steps: list[tuple[int, ...]], finish: FinishReason, stops: tuple[str, ...] = ()
) -> list[GenerationEvent]:
    decoder = AnswerDecoder(VOCABULARY, stops, num_prompt_tokens=3)
    events: list[GenerationEvent] = []
    for index, step in enumerate(steps):
        end = finish if index == len(steps) - 1 else None
        events += decoder.feed(TokenStep(step, end, num_cached=2))
        if decoder.is_done:
            break
    return events


def text_of(events: list[GenerationEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


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
    decoder = AnswerDecoder(VOCABULARY, (), num_prompt_tokens=1)
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
    assert events[-1] == GenerationEnd(FinishReason.STOP, 3, 2, 2)


def test_control_ids_have_no_text_in_the_middle_of_an_answer() -> None:
    assert text_of(decode([(257, END_ID, 258)], FinishReason.LENGTH)) == "hello wor"


def test_tokens_are_counted_as_they_come_also_those_that_are_held_back() -> None:
    for stops in ((), ("zz",)):
        decoder = AnswerDecoder(VOCABULARY, stops, num_prompt_tokens=1)
        decoder.feed(TokenStep((257, 0xC3)))
        assert decoder.num_tokens == 2


@pytest.mark.parametrize("stops", [(), ("zz",)])
def test_an_end_without_ids_lets_out_what_was_held_back(stops: tuple[str, ...]) -> None:
    decoder = AnswerDecoder(VOCABULARY, stops, num_prompt_tokens=1)
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
