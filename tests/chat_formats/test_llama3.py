"""Llama 3 is what Llama-3.1-8B-Instruct publishes."""

import pytest

from chat_formats.base import Piece, SpecialTokens
from chat_formats.llama3 import Llama3Format
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
from tests.chat_formats.vocabularies import LLAMA3

FORMAT = Llama3Format(LLAMA3)
TEMPLATE = published("meta-llama-Llama-3.1-8B-Instruct")
HELLO = Message("user", "hello")


def test_conversations_equal_the_published_template() -> None:
    for conversation in conversations(Shape(max_calls=1, has_tools=True)):
        expected = render_published(TEMPLATE, conversation, bos="<|begin_of_text|>")
        assert_renders(FORMAT, conversation, expected)


def test_a_continued_message_is_cut_as_transformers_cuts_it() -> None:
    for conversation in continued_conversations(Shape(max_calls=1, has_tools=True)):
        first = next(each for each in conversation.messages if each.role != "system")
        if conversation.tools and first.role != "user":
            continue
        expected = render_published(TEMPLATE, conversation, bos="<|begin_of_text|>")
        assert_renders(FORMAT, conversation, expected)


def test_what_can_not_be_continued_is_refused() -> None:
    for conversation, reason in uncontinuable_conversations():
        with pytest.raises(InvalidConversation, match=reason):
            FORMAT.render(conversation)


def test_another_date_can_be_given() -> None:
    conversation = Conversation((HELLO,), template_kwargs={"date_string": "1 May 2026"})
    expected = render_published(
        TEMPLATE, conversation, bos="<|begin_of_text|>", date_string="1 May 2026"
    )
    assert FORMAT.render(conversation).text == expected


def test_what_is_no_date_and_other_variables_are_refused() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    given: list[dict[str, object]] = [
        {"date_string": 5},
        {"date_string": deep},
        {"builtin_tools": ["code_interpreter"]},
        {"messages": []},
    ]
    for variables in given:
        with pytest.raises(InvalidConversation, match=next(iter(variables))):
            FORMAT.render(Conversation((HELLO,), template_kwargs=variables))


def test_ipython_is_a_tool_result() -> None:
    as_ipython = Conversation((HELLO, Message("ipython", "4")))
    as_tool = Conversation((HELLO, Message("tool", "4")))
    assert FORMAT.render(as_ipython) == FORMAT.render(as_tool)


def test_a_second_system_message_stays_in_its_place() -> None:
    conversation = Conversation((Message("system", "a"), HELLO, Message("system", " b ")))
    expected = render_published(TEMPLATE, conversation, bos="<|begin_of_text|>")
    assert FORMAT.render(conversation).text == expected


def test_begin_of_text_is_the_models_own_where_the_vocabulary_has_no_other() -> None:
    special = SpecialTokens(frozenset({"<bos>"}), bos="<bos>")
    pieces = Llama3Format(special).render(Conversation((HELLO,))).pieces
    assert pieces[0] == Piece("<bos>", is_control=True)
    assert len(pieces) == 2
    bare = Llama3Format(SpecialTokens(frozenset())).render(Conversation((HELLO,)))
    assert bare.text.startswith("<|start_header_id|>system")
    assert bare.stop_strings == ("<|eot_id|>",)


def test_all_three_end_tokens_stop_the_answer() -> None:
    prompt = FORMAT.render(Conversation((HELLO,)))
    assert prompt.stop_tokens == ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>")


def test_what_the_template_would_lose_is_refused() -> None:
    tool = (Tool("f"),)
    for conversation, reason in (
        (Conversation(()), "at least one"),
        (Conversation((Message("critic", "a"),)), "unknown role"),
        (Conversation((Message("system", "a"),), tools=tool), "there is none"),
        (Conversation((Message("assistant", "a"),), tools=tool), "needs a user message first"),
    ):
        with pytest.raises(InvalidConversation, match=reason):
            FORMAT.render(conversation)


def test_several_calls_become_a_message_each_with_its_result_behind_it() -> None:
    first, second, lost = (ToolCall(name, "{}", id=name * 3) for name in "fgh")
    together = (
        HELLO,
        Message("assistant", "hm", tool_calls=(first, second, lost)),
        Message("tool", "of g", tool_call_id="ggg"),
        Message("tool", "of nothing", tool_call_id="xxx"),
        Message("tool", "of f", tool_call_id="fff"),
        Message("assistant", "done"),
    )
    apart = (
        HELLO,
        Message("assistant", "hm", tool_calls=(first,)),
        Message("tool", "of f", tool_call_id="fff"),
        Message("assistant", None, tool_calls=(second,)),
        Message("tool", "of g", tool_call_id="ggg"),
        Message("assistant", None, tool_calls=(lost,)),
        Message("tool", "of nothing", tool_call_id="xxx"),
        Message("assistant", "done"),
    )
    rendered = FORMAT.render(Conversation(together))
    assert rendered == FORMAT.render(Conversation(apart))
    assert '\n\nhm{"name": "f", "parameters": {}}<|eot_id|>' in rendered.text
