"""ChatML is what Qwen2.5 and OpenHermes publish, without a default system text."""

import pytest

from chat_formats.base import Piece, SpecialTokens
from chat_formats.chatml import ChatmlFormat
from core.errors import InvalidConversation
from core.messages import Conversation, Message, Tool, ToolCall
from tests.chat_formats.conversations import (
    Shape,
    assert_renders,
    continued_conversations,
    control_tokens,
    conversations,
    uncontinuable_conversations,
)
from tests.chat_formats.reference import (
    published,
    render_published,
    render_qwen_without_default,
)
from tests.chat_formats.vocabularies import QWEN

CHATML = ChatmlFormat(QWEN)
HELLO = Conversation((Message("user", "hello"),))


def test_chats_equal_the_plain_published_template() -> None:
    for conversation in conversations(Shape()):
        template = published("teknium-OpenHermes-2.5-Mistral-7B")
        assert_renders(CHATML, conversation, render_published(template, conversation))


def test_tool_conversations_equal_the_published_template() -> None:
    for conversation in conversations(Shape(max_calls=3, has_tools=True)):
        assert_renders(CHATML, conversation, render_qwen_without_default(conversation))


def test_a_continued_message_is_cut_as_transformers_cuts_it() -> None:
    for conversation in continued_conversations(Shape(max_calls=3, has_tools=True)):
        assert_renders(CHATML, conversation, render_qwen_without_default(conversation))


def test_what_can_not_be_continued_is_refused() -> None:
    for conversation, reason in uncontinuable_conversations():
        with pytest.raises(InvalidConversation, match=reason):
            CHATML.render(conversation)


def test_a_turn_is_opened_or_continued_not_both() -> None:
    with pytest.raises(ValueError, match="either opens a turn or continues"):
        Conversation(HELLO.messages, continue_final_message=True)


def test_tools_without_a_system_message_are_the_whole_system_turn() -> None:
    prompt = CHATML.render(Conversation(HELLO.messages, tools=(Tool("f"),)))
    assert prompt.text.startswith("<|im_start|>system\n# Tools\n\nYou may call")


def test_text_beside_tool_calls_is_kept() -> None:
    call = Message("assistant", " Let me look. ", tool_calls=(ToolCall("f", '{"a":1}'),))
    conversation = Conversation((Message("system", "s"), *HELLO.messages, call))
    text = CHATML.render(conversation).text
    assert "assistant\n Let me look. \n<tool_call>\n" in text
    assert text == render_qwen_without_default(conversation)


def test_a_later_system_message_stays_in_its_place() -> None:
    conversation = Conversation((Message("system", "a"), *HELLO.messages, Message("system", "b")))
    assert CHATML.render(conversation).text == render_qwen_without_default(conversation)


def test_developer_is_system_and_names_are_not_rendered() -> None:
    named = Conversation((Message("developer", "a"), Message("user", "b", name="eve")))
    plain = Conversation((Message("system", "a"), Message("user", "b")))
    assert CHATML.render(named) == CHATML.render(plain)


def test_begin_of_text_is_written_only_where_the_tokenizer_adds_it() -> None:
    with_bos = SpecialTokens(QWEN.controls | {"<s>"}, bos="<s>", add_bos=True)
    without = SpecialTokens(QWEN.controls | {"<s>"}, bos="<s>", add_bos=False)
    assert ChatmlFormat(with_bos).render(HELLO).pieces[0] == Piece("<s>", is_control=True)
    assert ChatmlFormat(without).render(HELLO).text == CHATML.render(HELLO).text


def test_tokens_that_the_vocabulary_lacks_are_text_and_stop_as_strings() -> None:
    prompt = ChatmlFormat(SpecialTokens(frozenset({"</s>"}), eos="</s>")).render(HELLO)
    assert prompt.pieces == (Piece(CHATML.render(HELLO).text, is_control=False),)
    assert prompt.stop_tokens == ("</s>",)
    assert prompt.stop_strings == ("<|im_end|>",)


def test_both_end_tokens_stop_the_answer() -> None:
    prompt = CHATML.render(HELLO)
    assert prompt.stop_tokens == ("<|im_end|>", "<|endoftext|>")
    assert prompt.stop_strings == ()


def test_tags_that_are_control_tokens_of_the_vocabulary_are_control_pieces() -> None:
    special = SpecialTokens(QWEN.controls | {"<tool_call>", "</tool_call>"})
    call = Message("assistant", None, tool_calls=(ToolCall("<tool_call>", "{}"),))
    prompt = ChatmlFormat(special).render(Conversation((*HELLO.messages, call)))
    assert control_tokens(prompt).count("<tool_call>") == 1


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ('{"a":1,  "b": "ü"}', '{"a": 1, "b": "ü"}'),
        ("", "{}"),
        (" ", "{}"),
        ("not json", '"not json"'),
        ('{"a": ', '"{\\"a\\": "'),
    ],
)
def test_arguments_are_written_as_json(arguments: str, written: str) -> None:
    call = Message("assistant", None, tool_calls=(ToolCall("f", arguments),))
    text = CHATML.render(Conversation((*HELLO.messages, call))).text
    assert f'{{"name": "f", "arguments": {written}}}' in text


def test_unknown_roles_missing_content_and_empty_conversations_are_refused() -> None:
    call = (ToolCall("f", "{}"),)
    for messages, reason in (
        ((), "at least one"),
        ((Message("critic", "a"),), r"messages\[0\]: unknown role 'critic'"),
        ((*HELLO.messages, Message("assistant")), r"messages\[1\]: .* needs content"),
        ((Message("user", "a", tool_calls=call),), "can't hold tool calls"),
    ):
        with pytest.raises(InvalidConversation, match=reason):
            CHATML.render(Conversation(messages))


def test_template_variables_are_refused() -> None:
    conversation = Conversation(HELLO.messages, template_kwargs={"enable_thinking": False})
    with pytest.raises(InvalidConversation, match="enable_thinking") as refusal:
        CHATML.render(conversation)
    assert refusal.value.param == "chat_template_kwargs"


def test_json_that_nests_too_deep_is_refused() -> None:
    call = Message("assistant", None, tool_calls=(ToolCall("f", "[" * 100_000),))
    deep: dict[str, object] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    for conversation in (
        Conversation((*HELLO.messages, call)),
        Conversation(HELLO.messages, tools=(Tool("f", parameters=deep),)),
    ):
        with pytest.raises(InvalidConversation, match="too deep"):
            CHATML.render(conversation)
