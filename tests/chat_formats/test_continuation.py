"""By a Jinja template, a message that is to be gone on with ends where transformers ends it."""

import pytest

from chat_formats.base import SpecialTokens
from chat_formats.jinja_format import JinjaFormat
from core.errors import InvalidConversation
from core.messages import Conversation, Message
from tests.chat_formats.conversations import (
    Shape,
    assert_renders,
    continued_conversations,
    control_tokens,
    uncontinuable_conversations,
    without_null_content,
)
from tests.chat_formats.reference import published, render_published
from tests.chat_formats.vocabularies import LLAMA3, MISTRAL_V3, PHI, QWEN

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HELLO = Message("user", "hello")
# Hundreds of renderings in another process: slow where the machine is busy.
pytestmark = pytest.mark.timeout(60)


def rendered(template: str, conversation: Conversation, special: SpecialTokens) -> str:
    return render_published(template, conversation, special.bos or "", special.eos or "")


@pytest.mark.parametrize(
    ("name", "special", "max_calls"),
    [
        ("Qwen-Qwen2.5-7B-Instruct", QWEN, 2),
        ("Qwen-Qwen3-0.6B", QWEN, 2),
        ("meta-llama-Llama-3.1-8B-Instruct", LLAMA3, 1),
        ("mistralai-Mistral-7B-Instruct-v0.3", MISTRAL_V3, 0),
        ("microsoft-Phi-3.5-mini-instruct", PHI, 0),
    ],
)
def test_a_continued_message_is_cut_as_transformers_cuts_it(
    name: str, special: SpecialTokens, max_calls: int
) -> None:
    template = published(name)
    chat_format = JinjaFormat("model", template, special)
    for conversation in continued_conversations(Shape(max_calls, has_tools=max_calls > 0)):
        asked = without_null_content(conversation) if "Qwen3" in name else conversation
        assert_renders(chat_format, asked, rendered(template, asked, special))


def continued(*texts: str) -> Conversation:
    messages = [HELLO, *(Message("assistant", text) for text in texts)]
    return Conversation(tuple(messages), add_generation_prompt=False, continue_final_message=True)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        ("{{ content | trim }}", " so <|im_end|>  \n"),
        ("{{ content | trim }}", "  \n"),
        ("{{ content | trim }}", " x <|im_"),
        ("{{ content | tojson }}", "so"),
        ("{{ content ~ '|>' }}", "so <|im_end"),
        ("{{ content }} and again {{ content | trim }}", "so "),
    ],
)
def test_a_continued_text_ends_where_it_is_shown(shown: str, text: str) -> None:
    template = "{% for m in messages %}<|im_start|>{% set content = m.content %}  " + shown
    template += "<|im_end|>{% endfor %}"
    conversation = continued(text)
    prompt = JinjaFormat("model", template, QWEN).render(conversation)
    expected = rendered(template, conversation, QWEN)
    # What is shown twice keeps the sign of transformers the first time.
    assert prompt.text == expected.replace("CONTINUE_FINAL_MESSAGE_TAG ", "")
    assert control_tokens(prompt) == ["<|im_start|>", "<|im_end|>", "<|im_start|>"]


def test_a_trimmed_space_that_may_begin_a_control_token_is_trimmed() -> None:
    special = SpecialTokens(QWEN.controls | {" <x>"})
    template = "{% for m in messages %}{{ m.content | trim }}<|im_end|>{% endfor %}"
    prompt = JinjaFormat("model", template, special).render(continued("hi "))
    assert prompt.text == "hello<|im_end|>hi"


def test_a_client_s_own_sign_does_not_move_the_cut() -> None:
    conversation = continued("\ufdd0 \\ufdd1 CONTINUE_FINAL_MESSAGE_TAG <|im_end|>\ufdd0 ")
    prompt = JinjaFormat("model", CHATML, QWEN).render(conversation)
    text = conversation.messages[-1].content or ""
    assert prompt.text.endswith("<|im_start|>assistant\n" + text)
    assert control_tokens(prompt) == ["<|im_start|>", "<|im_end|>", "<|im_start|>"]


def test_what_can_not_be_continued_is_refused() -> None:
    chat_format = JinjaFormat("model", CHATML, QWEN)
    for conversation, reason in uncontinuable_conversations():
        with pytest.raises(InvalidConversation, match=reason):
            chat_format.render(conversation)


@pytest.mark.parametrize("shown", ["", "{{ m.content | upper }}", "{{ m.content.split()[0] }}"])
def test_a_text_that_the_template_changes_is_not_continued(shown: str) -> None:
    template = "{% for m in messages %}" + shown + "{% endfor %}"
    conversation = continued("so it is")
    with pytest.raises(InvalidConversation, match="does not show the last message's text"):
        JinjaFormat("model", template, QWEN).render(conversation)
    with pytest.raises(ValueError, match="continue_final_message"):
        rendered(template, conversation, QWEN)
