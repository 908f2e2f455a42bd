"""Anthropic's turns of blocks as a conversation, and what of a body is refused, by its place."""

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.messages.conversation import conversation_of
from api.messages.reading import read_messages
from api.messages.tools import structure_of, thinking_of, tool_choice_of, unbroken_tools
from api.schemas.messages import IDLE_MESSAGES_FIELDS, MAX_BLOCKS, MessagesRequest
from api.schemas.validation import UnknownFields
from core.errors import InvalidConversation, InvalidValue, RequestError, UnsupportedField
from core.messages import Conversation, Message, Tool, ToolCall
from core.structures import JsonSchema
from core.thinking import Effort, Thinking
from core.tool_choice import ToolChoice, ToolMode

USER = {"role": "user", "content": "hi"}
TOOL = {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}
CALL = {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "Grüße"}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "a cat"}


def read(messages: Any = None, **fields: Any) -> MessagesRequest:
    body = {"messages": [USER] if messages is None else messages, "max_tokens": 2000} | fields
    return read_messages(MessagesRequest, body, UnknownFields(are_refused=False))


def conversation(*messages: Any, **fields: Any) -> Conversation:
    return conversation_of(read(list(messages), **fields))


def turn(role: str, *content: Any) -> dict[str, Any]:
    blocks = [{"type": "text", "text": c} if isinstance(c, str) else c for c in content]
    return {"role": role, "content": blocks}


def test_a_tool_loop_becomes_calls_tool_messages_and_what_the_user_adds() -> None:
    made = conversation(
        USER,
        turn(
            "assistant",
            {"type": "thinking", "thinking": "Hmm.", "signature": ""},
            {"type": "redacted_thinking", "data": "xyz"},
            "I look.",
            CALL,
        ),
        turn("user", RESULT, "And now?"),
        system="Be kind.",
    )
    calls = (ToolCall("look", '{"at": "Grüße"}', "t1"),)
    assert made.messages == (
        Message("system", "Be kind."),
        Message("user", "hi"),
        Message("assistant", "I look.", tool_calls=calls, reasoning="Hmm."),
        Message("tool", "a cat", tool_call_id="t1"),
        Message("user", "And now?"),
    )
    assert made.add_generation_prompt
    assert not made.continue_final_message


def test_a_call_alone_has_no_content_and_results_alone_no_user_message() -> None:
    made = conversation(USER, turn("assistant", CALL), turn("user", RESULT))
    assert [(m.role, m.content) for m in made.messages] == [
        ("user", "hi"),
        ("assistant", None),
        ("tool", "a cat"),
    ]


def test_results_come_before_the_text_of_their_turn() -> None:
    second = {**CALL, "id": "t2"}
    results = turn("user", "First this.", RESULT, {**RESULT, "tool_use_id": "t2"})
    made = conversation(USER, turn("assistant", CALL, second), results)
    assert [m.role for m in made.messages[2:]] == ["tool", "tool", "user"]
    assert [m.tool_call_id for m in made.messages[2:4]] == ["t1", "t2"]


def test_neighbours_of_one_role_are_one_turn() -> None:
    made = conversation(USER, turn("user", "there", "!"), turn("assistant", "a"), USER)
    assert [m.content for m in made.messages] == ["hi\nthere\n!", "a", "hi"]


@pytest.mark.parametrize(
    ("content", "is_error", "text"),
    [
        (None, None, ""),
        ("gone", True, "Error: gone"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], False, "a\nb"),
        ([], True, "Error: "),
    ],
)
def test_a_result_is_text_and_says_where_it_is_an_error(
    content: Any, is_error: bool | None, text: str
) -> None:
    result = {**RESULT, "content": content, "is_error": is_error}
    made = conversation(USER, turn("assistant", CALL), turn("user", result))
    assert made.messages[-1].content == text


def test_a_last_turn_of_the_assistants_is_gone_on_with() -> None:
    made = conversation(USER, {"role": "assistant", "content": "It is ("})
    assert made.continue_final_message
    assert not made.add_generation_prompt
    assert made.messages[-1] == Message("assistant", "It is (")


def test_system_text_may_be_blocks_and_a_bill_is_no_part_of_it() -> None:
    bill = "x-anthropic-billing-header: cc_version=1; cch=0a1b2;"
    blocks = [{"type": "text", "text": text} for text in (bill, "Be kind.", "Be short.")]
    assert conversation(USER, system=blocks).messages[0] == Message("system", "Be kind.\nBe short.")
    assert conversation(USER, system=blocks[:1]).messages[0].role == "user"
    inline = conversation(USER, turn("system", "Now be short."))
    assert inline.messages[1] == Message("system", "Now be short.")


def test_tools_and_their_choice_are_read() -> None:
    strict = {**TOOL, "name": "wait", "strict": True, "eager_input_streaming": False}
    tools = [{**TOOL, "cache_control": {"type": "ephemeral"}}, strict]
    request = read(tools=tools)
    assert conversation_of(request).tools == (
        Tool("look", "Looks.", {"type": "object"}),
        Tool("wait", "Looks.", {"type": "object"}, is_strict=True),
    )
    assert tool_choice_of(request) == ToolChoice()
    assert unbroken_tools(request) == {"wait"}
    for wanted, expected in (
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice(is_parallel=False)),
        ({"type": "any"}, ToolChoice(ToolMode.REQUIRED)),
        ({"type": "none"}, ToolChoice(ToolMode.NONE)),
        ({"type": "tool", "name": "wait"}, ToolChoice(ToolMode.NAMED, "wait")),
    ):
        assert tool_choice_of(read(tools=tools, tool_choice=wanted)) == expected


@pytest.mark.parametrize(
    ("thinking", "effort", "expected"),
    [
        (None, None, Thinking()),
        ({"type": "enabled", "budget_tokens": 1024}, None, Thinking(budget=1024)),
        ({"type": "enabled", "budget_tokens": 1024}, "low", Thinking(Effort.LOW, 1024)),
        ({"type": "adaptive"}, "max", Thinking(Effort.XHIGH)),
        ({"type": "disabled"}, "high", Thinking(Effort.NONE)),
        (None, "medium", Thinking(Effort.MEDIUM)),
    ],
)
def test_thinking_and_effort_are_read(thinking: Any, effort: Any, expected: Thinking) -> None:
    config = None if effort is None else {"effort": effort}
    assert thinking_of(read(thinking=thinking, output_config=config)) == expected


@pytest.mark.parametrize("name", ["output_config", "output_format"])
def test_a_schema_for_the_text_is_read_under_both_its_names(name: str) -> None:
    wanted: Any = {"type": "json_schema", "schema": {"type": "object"}}
    given = {"format": wanted} if name == "output_config" else wanted
    param = "output_config.format" if name == "output_config" else name
    assert structure_of(read(**{name: given})) == JsonSchema({"type": "object"}, param=param)


def test_sampling_and_stop_sequences_are_read() -> None:
    request = read(temperature=1, top_p=0.5, top_k=3, stop_sequences=["END"])
    assert request.sampling.given == {"temperature": 1.0, "top_p": 0.5, "top_k": 3}
    assert request.ending.stop == ("END",)
    assert read(top_k=0).sampling.given == {"top_k": None}


REFUSED: list[tuple[dict[str, Any], type[RequestError], str]] = [
    ({"max_tokens": None}, InvalidValue, "max_tokens"),
    ({"max_tokens": -1}, InvalidValue, "max_tokens"),
    ({"messages": []}, InvalidValue, "messages"),
    ({"messages": 5}, InvalidValue, "messages"),
    ({"messages": [5]}, InvalidValue, "messages[0]"),
    ({"messages": [{"role": "tool", "content": "a"}]}, InvalidValue, "messages[0].role"),
    ({"messages": [{"role": "user", "content": 5}]}, InvalidValue, "messages[0].content"),
    ({"messages": [turn("user", 5)]}, InvalidValue, "messages[0].content[0]"),
    ({"messages": [turn("user", CALL)]}, InvalidValue, "messages[0].content[0]"),
    ({"messages": [turn("assistant", RESULT)]}, InvalidValue, "messages[0].content[0]"),
    ({"messages": [turn("user", {"type": "image"})]}, UnsupportedField, "messages[0].content[0]"),
    (
        {"messages": [turn("user", {"type": "text", "text": 5})]},
        InvalidValue,
        "messages[0].content[0].text",
    ),
    (
        {"messages": [turn("user", {**RESULT, "content": [{"type": "document"}]})]},
        UnsupportedField,
        "messages[0].content[0].content[0]",
    ),
    ({"system": [{"type": "image"}]}, UnsupportedField, "system[0]"),
    ({"temperature": 1.5}, InvalidValue, "temperature"),
    ({"top_k": -1}, InvalidValue, "top_k"),
    ({"container": "c"}, UnsupportedField, "container"),
    ({"mcp_servers": [{}]}, UnsupportedField, "mcp_servers"),
    ({"tools": [{"type": "web_search_20250305"}]}, UnsupportedField, "tools[0]"),
    ({"tools": [{"name": "f"}]}, InvalidValue, "tools[0].input_schema"),
    ({"tools": [{**TOOL, "defer_loading": True}]}, UnsupportedField, "tools[0].defer_loading"),
    ({"tool_choice": {"type": "any"}}, InvalidValue, "tool_choice"),
    ({"tool_choice": {"type": "auto", "name": "f"}}, InvalidValue, "tool_choice.name"),
    ({"thinking": {"type": "enabled"}}, InvalidValue, "thinking.budget_tokens"),
    (
        {"thinking": {"type": "enabled", "budget_tokens": 1023}},
        InvalidValue,
        "thinking.budget_tokens",
    ),
    (
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        InvalidValue,
        "thinking.budget_tokens",
    ),
    (
        {"thinking": {"type": "adaptive", "budget_tokens": 1500}},
        InvalidValue,
        "thinking.budget_tokens",
    ),
    ({"thinking": {"type": "between_tools"}}, InvalidValue, "thinking.type"),
]


@pytest.mark.parametrize(("fields", "kind", "param"), REFUSED)
def test_what_is_wrong_or_not_honoured_is_named(
    fields: dict[str, Any], kind: type[RequestError], param: str
) -> None:
    with pytest.raises(RequestError) as refused:
        read(**fields)
    assert type(refused.value) is kind
    assert refused.value.param == param
    assert param in str(refused.value)


CALLED = [USER, turn("assistant", CALL)]


@pytest.mark.parametrize(
    "messages",
    [
        [turn("user", RESULT)],
        [*CALLED, turn("user", {**RESULT, "tool_use_id": "t2"})],
        [
            USER,
            turn("assistant", CALL),
            turn("user", RESULT),
            turn("assistant", "a"),
            turn("user", RESULT),
        ],
        CALLED,
    ],
)
def test_calls_and_results_that_do_not_belong_together_are_refused(messages: list[Any]) -> None:
    with pytest.raises(InvalidConversation):
        conversation(*messages)


def test_tools_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(InvalidValue, match="second tool"):
        conversation(USER, tools=[TOOL, TOOL])
    choice = {"type": "tool", "name": "other"}
    with pytest.raises(InvalidValue, match="none of the tools"):
        tool_choice_of(read(tools=[TOOL], tool_choice=choice))


def test_fields_that_nobody_knows_are_remembered_by_their_place() -> None:
    unknown = UnknownFields(are_refused=False)
    block = {"type": "text", "text": "a", "colour": "red"}
    body = {"messages": [turn("user", block)], "max_tokens": 5, "fallbacks": {}}
    read_messages(MessagesRequest, body, unknown)
    assert unknown.paths == ["messages[0].content[0].colour", "fallbacks"]


def test_a_body_of_very_many_blocks_is_refused() -> None:
    with pytest.raises(InvalidValue, match="more than"):
        read([turn("user", *["a"] * (MAX_BLOCKS // 2 + 1))] * 2)


WORDS = ["text", "tool_use", "tool_result", "thinking", "auto", "user", "assistant", "t1", "object"]
KEYS = ["type", "role", "content", "text", "id", "name", "input", "input_schema", "tool_use_id"]
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, True, 0, 1.5, "", *WORDS]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=8,
)
FIELDS = [*MessagesRequest.model_fields, *IDLE_MESSAGES_FIELDS, "other"]


@settings(max_examples=150, deadline=None)
@given(fields=st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3), content=VALUES)
def test_any_body_is_read_or_refused(fields: dict[str, Any], content: Any) -> None:
    turns = [{"role": role, "content": content} for role in ("user", "assistant", "user")]
    with contextlib.suppress(RequestError):
        request = read(**{"messages": turns, **fields})
        conversation_of(request)
        tool_choice_of(request)
        thinking_of(request)
        structure_of(request)
