"""Items: what each kind may hold, what clients echo, and the messages that they become."""

from typing import Any

import pytest

from api.responses.conversation import kept_items, made_messages
from api.schemas.responses.items import MAX_ITEMS, read_items
from api.schemas.responses.parts import MAX_PARTS
from api.schemas.validation import UnknownFields
from core.errors import InvalidValue, RequestError, UnsupportedField
from core.messages import Message, ToolCall

USER = {"role": "user", "content": "hi"}
THOUGHT: dict[str, Any] = {
    "type": "reasoning",
    "content": [{"type": "reasoning_text", "text": "hm"}],
}
SAID = {"role": "assistant", "content": "I look."}
CALL = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "a", "output": "42"}


def read(*items: object) -> tuple[dict[str, Any], ...]:
    return read_items(list(items), UnknownFields(are_refused=True))


def messages(*items: object, instructions: str | None = None) -> tuple[Message, ...]:
    return made_messages(instructions, read(*items))


def text_parts(*texts: str, kind: str = "input_text") -> list[dict[str, str]]:
    return [{"type": kind, "text": text} for text in texts]


def test_a_string_is_a_users_message() -> None:
    (item,) = read_items("hi", UnknownFields(are_refused=True))
    assert item["id"].startswith("msg_")
    del item["id"]
    content = [{"type": "input_text", "text": "hi"}]
    assert item == {"type": "message", "role": "user", "content": content, "status": "completed"}


def test_thoughts_a_text_and_calls_are_one_message() -> None:
    other = CALL | {"call_id": "b"}
    result = RESULT | {"call_id": "b", "output": text_parts("4", "2")}
    calls = (ToolCall("f", "{}", "a"), ToolCall("f", "{}", "b"))
    assert messages(USER, THOUGHT, SAID, CALL, other, RESULT, result) == (
        Message("user", "hi"),
        Message("assistant", "I look.", tool_calls=calls, reasoning="hm"),
        Message("tool", "42", tool_call_id="a"),
        Message("tool", "4\n2", tool_call_id="b"),
    )


def test_what_follows_out_of_order_is_a_message_of_its_own() -> None:
    call = (ToolCall("f", "{}", "a"),)
    assert messages(CALL, SAID, THOUGHT, CALL, RESULT) == (
        Message("assistant", None, tool_calls=call),
        Message("assistant", "I look."),
        Message("assistant", None, tool_calls=call, reasoning="hm"),
        Message("tool", "42", tool_call_id="a"),
    )
    assert messages(SAID, SAID) == (Message("assistant", "I look."),) * 2


def test_thoughts_that_nothing_follows_are_a_turn_that_said_nothing() -> None:
    assert messages(THOUGHT, THOUGHT, USER) == (
        Message("assistant", "", reasoning="hm\nhm"),
        Message("user", "hi"),
    )


def test_a_summary_stands_for_thoughts_that_are_not_there() -> None:
    summary = {"type": "reasoning", "summary": text_parts("short", kind="summary_text")}
    assert messages(summary, SAID)[0].reasoning == "short"
    both = summary | {"content": text_parts("long", kind="reasoning_text")}
    assert messages(both, SAID)[0].reasoning == "long"
    assert messages({"type": "reasoning", "summary": []}, SAID)[0].reasoning is None


def test_parts_of_users_are_lines_and_parts_of_answers_go_on() -> None:
    user = {"role": "user", "content": text_parts("a", "b")}
    answer = {"role": "assistant", "content": text_parts("a", "b", kind="output_text")}
    assert [message.content for message in messages(user, answer)] == ["a\nb", "ab"]


def test_a_refusal_is_what_the_assistant_said() -> None:
    refusal = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    assert messages(refusal)[0].content == "No."


def test_instructions_and_the_system_messages_after_them_are_one() -> None:
    system = {"role": "system", "content": "S"}
    developer = {"role": "developer", "content": "D"}
    assert messages(system, developer, USER, system, instructions="I") == (
        Message("system", "I\n\nS\n\nD"),
        Message("user", "hi"),
        Message("system", "S"),
    )
    assert messages(developer, USER)[0] == Message("developer", "D")


def test_an_output_needs_its_call_before_it() -> None:
    with pytest.raises(InvalidValue, match="no function_call with the call_id 'a'"):
        messages(USER, RESULT, CALL)


def test_what_clients_echo_of_an_output_is_taken() -> None:
    """As the openai package writes out the items that it was given."""
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "phase": None,
        "content": [
            {"type": "output_text", "text": "x", "annotations": [], "logprobs": [], "parsed": None}
        ],
    }
    reasoning: dict[str, Any] = THOUGHT | {
        "id": "rs_1",
        "summary": [],
        "encrypted_content": None,
        "status": None,
    }
    call = CALL | {"id": "fc_1", "status": "completed", "async": None, "namespace": None}
    items = read(reasoning, message, call)
    assert [item["id"] for item in items] == ["rs_1", "msg_1", "fc_1"]


@pytest.mark.parametrize(
    ("item", "kind", "param", "words"),
    [
        (3, InvalidValue, "input[0]", "an object"),
        ({"type": "item_reference", "id": "x"}, UnsupportedField, "input[0]", "looked up"),
        ({"type": "web_search_call"}, UnsupportedField, "input[0].type", '"web_search_call"'),
        ({"type": None}, UnsupportedField, "input[0].type", "null"),
        ({"role": "user"}, InvalidValue, "input[0].content", "required"),
        ({"role": "tool", "content": ""}, InvalidValue, "input[0].role", '"tool"; allowed'),
        ({"content": "hi"}, InvalidValue, "input[0].role", "required"),
        (USER | {"mood": 1}, InvalidValue, "input[0].mood", "no field"),
        (USER | {"status": "new"}, InvalidValue, "input[0].status", "allowed is"),
        (SAID | {"phase": "commentary"}, UnsupportedField, "input[0].phase", "not honoured"),
        (USER | {"content": None}, InvalidValue, "input[0].content", "a string or a list"),
        (
            USER | {"content": [{"type": "input_image", "image_url": "x"}]},
            UnsupportedField,
            "input[0].content[0]",
            '"input_image"; this model reads text alone',
        ),
        (
            USER | {"content": [{"type": "input_file", "file_id": "x"}]},
            UnsupportedField,
            "input[0].content[0]",
            "input_file",
        ),
        (
            USER | {"content": [{"type": "input_audio"}]},
            UnsupportedField,
            "input[0].content[0]",
            "input_audio",
        ),
        (USER | {"content": ["a"]}, InvalidValue, "input[0].content[0]", "allowed is"),
        (
            USER | {"content": [{"type": "input_text"}]},
            InvalidValue,
            "input[0].content[0]",
            "allowed is",
        ),
        (
            USER
            | {"content": [{"type": "input_text", "text": "a", "prompt_cache_breakpoint": {}}]},
            InvalidValue,
            "input[0].content[0]",
            "allowed is",
        ),
        (CALL | {"arguments": {}}, InvalidValue, "input[0].arguments", "a string"),
        (CALL | {"call_id": ""}, InvalidValue, "input[0].call_id", "at least 1"),
        (RESULT | {"output": 42}, InvalidValue, "input[0].output", "a string"),
        (
            RESULT | {"output": [{"type": "input_image"}]},
            UnsupportedField,
            "input[0].output[0]",
            "text alone",
        ),
        (
            THOUGHT | {"encrypted_content": "x"},
            UnsupportedField,
            "input[0].encrypted_content",
            "not honoured",
        ),
        (THOUGHT | {"content": "hm"}, InvalidValue, "input[0].content", "a list"),
        (
            THOUGHT | {"summary": [{"type": "reasoning_text", "text": "x"}]},
            UnsupportedField,
            "input[0].summary[0]",
            "summary_text",
        ),
    ],
)
def test_a_wrong_item_is_named(
    item: object, kind: type[RequestError], param: str, words: str
) -> None:
    with pytest.raises(kind) as caught:
        read(item)
    assert caught.value.param == param
    assert words in str(caught.value)


def test_there_is_a_limit_to_items() -> None:
    with pytest.raises(InvalidValue, match="a list of items, none empty"):
        read(*[USER] * (MAX_ITEMS + 1))


def test_parts_are_counted_over_all_items() -> None:
    half: dict[str, Any] = {"role": "user", "content": [None] * (MAX_PARTS // 2 + 1)}
    with pytest.raises(InvalidValue, match=r"hold \d+ parts; allowed are at most") as caught:
        read(half, half)
    assert caught.value.param == "input"


def test_a_call_that_was_cut_off_is_not_gone_on_with() -> None:
    whole, cut = CALL | {"status": "completed"}, CALL | {"status": "incomplete"}
    said = SAID | {"type": "message", "status": "incomplete"}
    assert kept_items({"output": [said, whole, cut]}) == [said, whole]
