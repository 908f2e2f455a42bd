"""Mistral's three versions are what Mistral publishes for v0.2, v0.3 and Nemo."""

from dataclasses import replace

import pytest

from chat_formats.base import Piece, SpecialTokens
from chat_formats.mistral import MistralFormat, MistralVersion, derived_call_id
from core.errors import InvalidConversation
from core.messages import Conversation, Message, Tool, ToolCall
from tests.chat_formats.conversations import (
    Shape,
    assert_renders,
    continued_conversations,
    conversations,
    uncontinuable_conversations,
)
from tests.chat_formats.reference import published, render_published
from tests.chat_formats.vocabularies import MISTRAL_TEKKEN, MISTRAL_V1, MISTRAL_V3

V1 = MistralFormat(MISTRAL_V1)
V3 = MistralFormat(MISTRAL_V3)
TEKKEN = MistralFormat(MISTRAL_TEKKEN)
HELLO = Message("user", "hello")
TEMPLATES = {
    "mistral-v1": published("mistralai-Mistral-7B-Instruct-v0.2"),
    "mistral-v3": published("mistralai-Mistral-7B-Instruct-v0.3"),
    "mistral-tekken": published("mistralai-Mistral-Nemo-Instruct-2407"),
}


def expected(chat_format: MistralFormat, conversation: Conversation) -> str:
    return render_published(TEMPLATES[chat_format.name], conversation, bos="<s>", eos="</s>")


def test_v1_chats_equal_the_published_template() -> None:
    for conversation in conversations(Shape()):
        assert_renders(V1, conversation, expected(V1, conversation))


def test_v3_conversations_equal_the_published_template() -> None:
    for conversation in conversations(Shape(max_calls=3, has_tools=True, ends_with_user=True)):
        assert_renders(V3, conversation, expected(V3, conversation))


def test_tekken_conversations_equal_the_published_template() -> None:
    for conversation in conversations(Shape(max_calls=3, has_tools=True, ends_with_user=True)):
        assert_renders(TEKKEN, conversation, expected(TEKKEN, conversation))


@pytest.mark.parametrize("chat_format", [V3, TEKKEN], ids=lambda each: each.name)
def test_without_a_system_message_any_end_equals_the_published_template(
    chat_format: MistralFormat,
) -> None:
    for conversation in conversations(Shape(max_calls=2, has_tools=True)):
        messages = tuple(each for each in conversation.messages if each.role != "system")
        unled = replace(conversation, messages=messages)
        assert_renders(chat_format, unled, expected(chat_format, unled))


def test_v1_cuts_a_continued_message_as_transformers_cuts_it() -> None:
    for conversation in continued_conversations(Shape()):
        assert_renders(V1, conversation, expected(V1, conversation))


@pytest.mark.parametrize("chat_format", [V3, TEKKEN], ids=lambda each: each.name)
def test_a_continued_message_is_cut_as_transformers_cuts_it(chat_format: MistralFormat) -> None:
    for conversation in continued_conversations(Shape(max_calls=2, has_tools=True)):
        messages = tuple(each for each in conversation.messages if each.role != "system")
        unled = replace(conversation, messages=messages)
        assert_renders(chat_format, unled, expected(chat_format, unled))


@pytest.mark.parametrize("chat_format", [V1, V3, TEKKEN], ids=lambda each: each.name)
def test_what_can_not_be_continued_is_refused(chat_format: MistralFormat) -> None:
    for conversation, reason in uncontinuable_conversations():
        with pytest.raises(InvalidConversation, match=reason):
            chat_format.render(conversation)


def test_the_version_follows_from_the_vocabulary() -> None:
    assert [each.name for each in (V1, V3, TEKKEN)] == list(TEMPLATES)
    assert MistralFormat(MISTRAL_TEKKEN, MistralVersion.V1).name == "mistral-v1"


def test_the_system_text_is_kept_where_the_last_message_is_a_tool_result() -> None:
    call = Message("assistant", None, tool_calls=(ToolCall("f", "{}", id="abcdefghi"),))
    result = Message("tool", "4", tool_call_id="abcdefghi")
    text = V3.render(Conversation((Message("system", "Be brief."), HELLO, call, result))).text
    assert text.startswith("<s>[INST] Be brief.\n\nhello[/INST][TOOL_CALLS] [")


def test_long_call_ids_become_the_same_nine_characters_in_call_and_result() -> None:
    call = Message("assistant", None, tool_calls=(ToolCall("f", "{}", id="call_0123456789abcdef"),))
    result = Message("tool", "4", tool_call_id="call_0123456789abcdef")
    text = TEKKEN.render(Conversation((HELLO, call, result))).text
    short = derived_call_id("call_0123456789abcdef")
    assert len(short) == 9
    assert short.isascii()
    assert short.isalnum()
    assert text.count(short) == 2
    assert derived_call_id("call_0123456789abcdeg") != short
    assert derived_call_id("a1B2c3D4e") == "a1B2c3D4e"


def test_the_models_own_begin_and_end_are_written_where_the_vocabulary_has_no_others() -> None:
    special = SpecialTokens(frozenset({"<b>", "<e>", "[INST]"}), bos="<b>", eos="<e>")
    prompt = MistralFormat(special).render(Conversation((HELLO, Message("assistant", "hi"))))
    assert prompt.text == "<b>[INST]hello[/INST]hi<e>"
    assert prompt.pieces[0] == Piece("<b>", is_control=True)
    assert prompt.stop_tokens == ("<e>",)


def test_the_end_token_stops_the_answer() -> None:
    assert V3.render(Conversation((HELLO,))).stop_tokens == ("</s>",)


@pytest.mark.parametrize("chat_format", [V1, V3, TEKKEN], ids=lambda each: each.name)
def test_orders_that_the_published_templates_refuse_are_refused(chat_format: MistralFormat) -> None:
    hi, system = Message("assistant", "hi"), Message("system", "s")
    for messages, reason in (
        ((), "at least one message"),
        ((hi,), r"messages\[0\]: .* need user here"),
        ((HELLO, HELLO), r"messages\[1\]: .* need assistant here"),
        ((system, HELLO, hi, hi), r"messages\[3\]: .* need user here"),
        ((HELLO, system), r"messages\[1\]: .* first place only"),
        ((system, system, HELLO), r"messages\[1\]: .* first place only"),
        ((Message("critic", "a"),), "unknown role"),
    ):
        conversation = Conversation(messages)
        with pytest.raises(InvalidConversation, match=reason):
            chat_format.render(conversation)
        with pytest.raises(Exception, match=r".*"):
            expected(chat_format, conversation)


def test_what_the_published_templates_would_lose_is_refused() -> None:
    for conversation, reason in (
        (Conversation((Message("system", "s"),)), "at least one user message"),
        (Conversation((HELLO, Message("tool", "4"))), r"messages\[1\]: .* id of each tool call"),
    ):
        with pytest.raises(InvalidConversation, match=reason):
            V3.render(conversation)


def test_v1_refuses_tools() -> None:
    call = ToolCall("f", "{}", id="abcdefghi")
    for conversation in (
        Conversation((HELLO,), tools=(Tool("f"),)),
        Conversation((HELLO, Message("assistant", None, tool_calls=(call,)))),
        Conversation((HELLO, Message("tool", "4", tool_call_id="abcdefghi"))),
    ):
        with pytest.raises(InvalidConversation, match="mistral-v1 has no tool"):
            V1.render(conversation)


def test_text_beside_calls_stands_before_them() -> None:
    call = ToolCall("f", "{}", id="abcdefghi")
    conversation = Conversation((HELLO, Message("assistant", " a", tool_calls=(call,))))
    calls = '[{"name": "f", "arguments": {}, "id": "abcdefghi"}]</s>'
    assert V3.render(conversation).text.endswith(f"[/INST] a[TOOL_CALLS] {calls}")
    assert TEKKEN.render(conversation).text.endswith(f"[/INST] a[TOOL_CALLS]{calls}")
