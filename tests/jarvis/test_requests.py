"""How options, messages and tools of the library become a request, and what is refused."""

from typing import Any

import pytest

from core.errors import InvalidConversation, InvalidValue, RequestError, UnsupportedField
from core.messages import Message, Tool, ToolCall
from core.structures import Choice, JsonObject, JsonSchema, LarkGrammar, Regex
from core.thinking import Effort, Thinking
from core.tool_choice import ToolChoice, ToolMode
from jarvis import FinishReason, Usage
from jarvis import ToolCall as Called
from jarvis.conversations import read_conversation, read_tool_choice, read_tools
from jarvis.options import ChatOptions, Options, refuse_unknown, request_of
from jarvis.results import ChatResult

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"properties": {}}}}


def test_options_become_a_request() -> None:
    request = request_of(
        "Hello",
        {
            "max_tokens": 3,
            "temperature": 0,
            "top_k": -1,
            "seed": 5,
            "stop": "x",
            "min_tokens": 2,
            "logit_bias": {7: 1, 3: -2.5},
            "top_p": None,
        },
    )
    assert request.max_tokens == 3
    assert request.sampling.given == {"temperature": 0.0, "top_k": None}
    assert (request.sampling.seed, request.sampling.min_tokens) == (5, 2)
    assert request.sampling.logit_bias == ((3, -2.5), (7, 1.0))
    assert request.ending.stop == ("x",)
    assert request_of("Hello", {"stop": ["x", "y"]}).ending.stop == ("x", "y")
    assert request_of("Hello", {"stop": []}).ending.stop == ()


@pytest.mark.parametrize(
    ("given", "structure"),
    [
        ({"json_schema": {"type": "object"}}, JsonSchema({"type": "object"}, param="json_schema")),
        ({"json_object": True}, JsonObject(param="json_object")),
        ({"regex": "a+"}, Regex("a+", param="regex")),
        ({"choice": ["a", "b"]}, Choice(("a", "b"), param="choice")),
        ({"grammar": 'start: "a"'}, LarkGrammar('start: "a"', param="grammar")),
        ({"json_object": False, "regex": None}, None),
    ],
)
def test_a_structure_has_one_option(given: dict[str, Any], structure: object) -> None:
    assert request_of("Hello", given).structure == structure


def test_thinking_has_an_effort_and_a_budget() -> None:
    given = {"reasoning_effort": "low", "thinking_token_budget": 9}
    assert request_of("Hello", given).thinking == Thinking(Effort.LOW, 9)


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": float("nan")}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"seed": 2**63}, "seed"),
        ({"stop": ""}, "stop"),
        ({"stop": [1]}, "stop"),
        ({"logit_bias": {"7": 1}}, "logit_bias"),
        ({"logit_bias": {7: 101}}, "logit_bias"),
        ({"regex": "a", "choice": ["a"]}, "choice"),
        ({"json_schema": "{}"}, "json_schema"),
        ({"json_object": "yes"}, "json_object"),
        ({"choice": []}, "choice"),
        ({"reasoning_effort": "most"}, "reasoning_effort"),
    ],
)
def test_a_wrong_option_is_refused_by_name(given: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        request_of("Hello", given)
    assert refused.value.param == param


def test_an_unknown_option_is_a_type_error() -> None:
    refuse_unknown({"reasoning_effort": "low", "seed": 1}, ChatOptions)
    with pytest.raises(TypeError, match="'reasoning_effort'"):
        refuse_unknown({"reasoning_effort": "low"}, Options)
    with pytest.raises(TypeError, match="did you mean max_tokens"):
        refuse_unknown({"max_token": 1}, Options)


def test_messages_are_read_as_openai_writes_them() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    conversation = read_conversation(
        [
            {
                "role": "system",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            },
            {"role": "user", "content": "c", "name": "me"},
            {"role": "assistant", "content": None, "tool_calls": [call], "reasoning": "hm"},
            {"role": "tool", "content": "d", "tool_call_id": "c1"},
            Message("user", "e"),
        ],
        [TOOL],
        {"deep": True},
    )
    assert conversation.messages == (
        Message("system", "a\nb"),
        Message("user", "c", name="me"),
        Message("assistant", None, tool_calls=(ToolCall("look", "{}", "c1"),), reasoning="hm"),
        Message("tool", "d", tool_call_id="c1"),
        Message("user", "e"),
    )
    assert conversation.tools == (Tool("look", None, {"type": "object", "properties": {}}),)
    assert conversation.template_kwargs == {"deep": True}


@pytest.mark.parametrize(
    ("messages", "error", "param"),
    [
        ([], InvalidConversation, "messages"),
        (["hello"], InvalidValue, "messages[0]"),
        ([{"content": "a"}], InvalidValue, "messages[0].role"),
        ([{"role": "user"}], InvalidValue, "messages[0].content"),
        ([{"role": "user", "content": 7}], InvalidValue, "messages[0].content"),
        ([{"role": "user", "content": "a", "audio": {}}], UnsupportedField, "messages[0].audio"),
        (
            [{"role": "user", "content": [{"type": "image_url"}]}],
            UnsupportedField,
            "messages[0].content[0]",
        ),
        (
            [{"role": "assistant", "tool_calls": [{"function": {"name": "look"}}]}],
            InvalidValue,
            "messages[0].tool_calls[0].function.arguments",
        ),
    ],
)
def test_a_wrong_message_is_refused_by_its_place(
    messages: Any, error: type[RequestError], param: str
) -> None:
    with pytest.raises(error) as refused:
        read_conversation(messages, None, None)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ([{"type": "web_search"}], "tools[0].type"),
        ([{"type": "function"}], "tools[0].function"),
        ([{"type": "function", "function": {}}], "tools[0].function.name"),
        ([TOOL, TOOL], "tools[1]"),
        ([lambda: None], "tools[0]"),
    ],
)
def test_a_wrong_tool_is_refused_by_its_place(tools: Any, param: str) -> None:
    with pytest.raises(RequestError) as refused:
        read_tools(tools)
    assert refused.value.param == param


def test_a_choice_of_tools_is_a_mode_or_a_name() -> None:
    tools = [Tool("look")]
    named = ToolChoice(ToolMode.NAMED, "look", is_parallel=False)
    written = {"type": "function", "function": {"name": "look"}}
    for choice in ("look", written):
        assert read_tool_choice(choice, tools, is_parallel=False) == named
    assert read_tool_choice(None, tools, is_parallel=True) == ToolChoice()
    assert read_tool_choice("required", tools, is_parallel=True).mode is ToolMode.REQUIRED
    for wrong in ("other", {"type": "function"}):
        with pytest.raises(InvalidValue, match="look"):
            read_tool_choice(wrong, tools, is_parallel=True)
    with pytest.raises(InvalidValue, match="no tools"):
        read_tool_choice("required", [], is_parallel=True)


def test_arguments_that_were_cut_are_told_not_guessed() -> None:
    assert Called("c1", "look", "").arguments == {}
    for written in ('{"city": "Pa', "[1]"):
        with pytest.raises(ValueError, match="look"):
            _ = Called("c1", "look", written).arguments


def test_an_answer_goes_back_as_a_message() -> None:
    answer = ChatResult(
        "", "hm", (Called("c1", "look", "{}"),), FinishReason.TOOL_CALLS, Usage(1, 2)
    )
    conversation = read_conversation([answer.message], None, None)
    assert conversation.messages == (
        Message("assistant", None, tool_calls=(ToolCall("look", "{}", "c1"),), reasoning="hm"),
    )
