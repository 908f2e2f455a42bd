"""Requests that begin alike are known by the same start, however they come; reading it is cheap."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.messages import Conversation, Message
from serving.remote.prompt_start import (
    MAX_BYTES,
    conversation_start,
    plain_start,
    prompt_start_of,
)

SYSTEM = {"role": "system", "content": "You are a clock."}
ASKED = {"role": "user", "content": "What time is it?"}
LATER = [{"role": "assistant", "content": "Late."}, {"role": "user", "content": "How late?"}]


def start(**fields: Any) -> bytes:
    raw = {name: msgspec.Raw(json.dumps(value).encode()) for name, value in fields.items()}
    return prompt_start_of(raw)


def test_it_stays_the_same_over_the_turns_of_a_conversation() -> None:
    first = start(messages=[SYSTEM, ASKED])
    assert first == start(messages=[SYSTEM, ASKED, *LATER], temperature=1)
    assert b"clock" in first
    assert b"time" in first


def test_conversations_under_one_system_text_differ() -> None:
    system = {"role": "system", "content": "long " * 5000}
    other = {"role": "user", "content": "Who are you?"}
    one, two = start(messages=[system, ASKED]), start(messages=[system, other])
    assert one != two
    assert max(len(one), len(two)) <= MAX_BYTES


def test_parts_are_text() -> None:
    parts = [{"type": "text", "text": "What time"}, {"type": "image_url"}, 7]
    texts = [{"type": "text", "text": "What time"}]
    assert start(messages=[{"role": "user", "content": parts}]) == start(
        messages=[{"role": "user", "content": texts}]
    )


def test_plain_prompts_begin_as_they_are_written() -> None:
    assert start(prompt="Once upon") == b"Once upon"
    assert start(prompt=["Once upon", "a time"]) == b"Once upon"
    assert start(prompt=[1, 22, 3]) == start(prompt=[[1, 22, 3], [4]]) == b"1,22,3"
    assert plain_start((1, 22, 3)) == b"1,22,3"
    assert plain_start("x" * 9999) == start(prompt="x" * 99_999) == b"x" * MAX_BYTES


@given(
    st.lists(
        st.tuples(st.sampled_from(["system", "developer", "user", "assistant"]), st.text()),
        min_size=1,
        max_size=6,
    )
)
def test_a_conversation_begins_as_its_messages_do(turns: list[tuple[str, str]]) -> None:
    made = conversation_start(Conversation(tuple(Message(*turn) for turn in turns)))
    fields = [{"role": role, "content": content} for role, content in turns]
    assert made == start(messages=fields)
    assert len(made) <= MAX_BYTES


@given(st.binary(max_size=60), st.sampled_from(["messages", "prompt", "input"]))
def test_what_can_not_be_read_begins_with_nothing(raw: bytes, name: str) -> None:
    assert isinstance(prompt_start_of({name: msgspec.Raw(raw)}), bytes)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["role", "content", "text"]), inner, max_size=3),
    ),
    max_leaves=8,
)


@given(JSON, st.sampled_from(["messages", "prompt"]))
def test_any_value_has_a_start(value: Any, name: str) -> None:
    assert len(start(**{name: value})) <= MAX_BYTES


@pytest.mark.parametrize("cut", range(60))
def test_a_body_is_read_as_far_as_its_window_goes(cut: int) -> None:
    """Wherever the window ends: in a character, an escape or a name."""
    filler = "a" * (cut % 2) + "é" * (32_740 + cut // 2)
    messages = [{"role": "system", "content": filler}, {"role": "user", "content": 'é\\"\n'}]
    raw = json.dumps(messages, ensure_ascii=bool(cut % 3)).encode()
    found = prompt_start_of({"messages": msgspec.Raw(raw)})
    assert found.startswith(filler[:512].encode())
    assert len(found) <= MAX_BYTES


def test_of_a_large_body_only_the_beginning_is_read() -> None:
    """What stands far behind may be anything, and makes no difference."""
    system = {"role": "system", "content": "x" * 70_000}
    assert start(messages=[system, ASKED]) == start(messages=[system]) == b"x" * (MAX_BYTES // 2)
    raw = json.dumps([SYSTEM, ASKED, {"role": "user", "content": "x" * (1 << 20)}]).encode()
    assert prompt_start_of({"messages": msgspec.Raw(raw[:-9] + b"\xff")}) == start(
        messages=[SYSTEM, ASKED]
    )


def test_deep_values_have_no_start() -> None:
    assert prompt_start_of({"messages": msgspec.Raw(b"[" * 60_000)}) == b""
