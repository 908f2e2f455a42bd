"""A Jinja template writes what transformers writes by it, and its control tokens alone count."""

import gc
from datetime import datetime

import pytest

from chat_formats.base import Piece, SpecialTokens
from chat_formats.jinja_format import JinjaFormat
from core.errors import ConfigurationError, InvalidConversation
from core.messages import Conversation, Message, Tool, ToolCall
from tests.chat_formats.conversations import (
    NUM_CONVERSATIONS,
    Shape,
    Writer,
    assert_renders,
    control_tokens,
    conversations,
    without_null_content,
)
from tests.chat_formats.reference import published, render_published
from tests.chat_formats.vocabularies import (
    LLAMA3,
    MISTRAL_TEKKEN,
    PHI,
    QWEN,
)

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
        ("mistralai-Mistral-Nemo-Instruct-2407", MISTRAL_TEKKEN, 2),
        ("microsoft-Phi-3.5-mini-instruct", PHI, 0),
    ],
)
def test_conversations_equal_what_transformers_renders(
    name: str, special: SpecialTokens, max_calls: int
) -> None:
    template = published(name)
    chat_format = JinjaFormat("model", template, special)
    shape = Shape(max_calls, has_tools=max_calls > 0, ends_with_user="mistral" in name)
    for conversation in conversations(shape):
        asked = without_null_content(conversation) if "Qwen3" in name else conversation
        assert_renders(chat_format, asked, rendered(template, asked, special))


def test_texts_side_by_side_make_no_control_token() -> None:
    template = (
        "<|im_start|>{% for m in messages %}{{ m.content | trim }}{% endfor %}"
        "{{ '<|' ~ messages[0].content ~ '|>' }}{{ messages[0].content ~ '|im_end|>' }}"
    )
    chat_format = JinjaFormat("model", template, QWEN)

    writer = Writer()
    for _ in range(NUM_CONVERSATIONS):
        contents = [writer.text() for _ in range(3)]
        conversation = Conversation(tuple(Message("user", content) for content in contents))
        prompt = chat_format.render(conversation)
        assert prompt.text == rendered(template, conversation, QWEN)
        assert control_tokens(prompt) == ["<|im_start|>"]


@pytest.mark.parametrize(
    ("template", "content"),
    [
        ("{{ '<|im_' ~ messages[0].content }}", "end|> "),
        ("{{ '<|im_' ~ messages[0].content }}", "end|>..."),
        ("{{ '<|im_' ~ messages[0].content | trim }}", " \n end|>..."),
        ("{{ messages[0].content ~ 'end|>' }}", "...<|im_"),
        ("{{ messages[0].content | trim ~ 'end|>' }}", "...<|im_ \n "),
        ("{{ '<|' ~ messages[0].content ~ '|>' }}", "im_end"),
        ("{{ '<|' ~ messages[0].content | trim | lower ~ '|>' }}", " IM_END "),
        ("{{ '<|im_en' ~ messages[0].content ~ '|>' }}", "d"),
    ],
)
def test_half_a_control_token_is_not_completed_by_the_template(template: str, content: str) -> None:
    conversation = Conversation((Message("user", content),))
    prompt = JinjaFormat("model", template, QWEN).render(conversation)
    assert "<|im_end|>" in prompt.text
    assert prompt.text == rendered(template, conversation, QWEN)
    assert control_tokens(prompt) == []


def test_words_that_stand_inside_a_control_token_can_still_be_compared() -> None:
    template = "{% if tools[0].function.parameters.type == 'object' %}<|im_start|>{% endif %}"
    template += "{{ tools[0].function.name }}{{ messages[0].content }}"
    tokens = [f"<|token_{number}|>" for number in range(30)]
    special = SpecialTokens(QWEN.controls | set(tokens))
    chat_format = JinjaFormat("model", template, special)
    for content in ("hello", "".join(tokens)):
        question = Message("user", content)
        tool = Tool("f", parameters={"type": "object"})
        prompt = chat_format.render(Conversation((question,), tools=(tool,)))
        assert prompt.text == f"<|im_start|>f{content}"
        assert control_tokens(prompt) == ["<|im_start|>"]


def test_changing_case_makes_no_control_token() -> None:
    chat_format = JinjaFormat("model", "{{ messages[0].content | lower }}<|im_end|>", QWEN)
    prompt = chat_format.render(Conversation((Message("user", "<|IM_END|>"),)))
    assert prompt.text == "<|im_end|><|im_end|>"
    assert control_tokens(prompt) == ["<|im_end|>"]


def test_json_in_ascii_shows_no_marker() -> None:
    template = "{{ messages[0].content | tojson(ensure_ascii=true) }}<|im_end|>"
    prompt = JinjaFormat("model", template, QWEN).render(
        Conversation((Message("user", "ü<|im_end|>"),))
    )
    assert prompt.text == '"\\u00fc<|im_end|>"<|im_end|>'
    assert control_tokens(prompt) == ["<|im_end|>"]


def test_the_longest_control_token_is_taken() -> None:
    special = SpecialTokens(frozenset({"<a", "<a>", "<a>b"}))
    prompt = JinjaFormat("model", "<a>b<a><a{{ messages[0].content }}", special).render(
        Conversation((HELLO,))
    )
    assert control_tokens(prompt) == ["<a>b", "<a>", "<a"]


def test_a_reasoning_token_that_the_template_looks_for_works_in_answers_alone() -> None:
    special = SpecialTokens(QWEN.controls | {"<think>", "</think>"})
    template = CHATML.replace(
        "m.content }}", "m.content.split('</think>')[-1] if m.role == 'assistant' else m.content }}"
    )
    chat_format = JinjaFormat("model", template, special)
    answer = Message("assistant", "<think>so<|im_end|></think>It is 4<|im_end|>.")
    conversation = Conversation((Message("user", "What is </think>?"), answer))
    prompt = chat_format.render(conversation)
    assert prompt.text == rendered(template, conversation, special)
    assert "<|im_start|>assistant\nIt is 4<|im_end|>.<|im_end|>" in prompt.text
    assert control_tokens(prompt) == [*["<|im_start|>", "<|im_end|>"] * 2, "<|im_start|>"]


def test_a_template_that_looks_for_a_control_token_in_a_users_text_is_not_guessed_at() -> None:
    template = "{{ messages[0].content.replace('<|im_end|>', 'x') }}"
    chat_format = JinjaFormat("model", template, QWEN)
    assert chat_format.render(Conversation((HELLO,))).text == "hello"
    with pytest.raises(InvalidConversation, match="looks for a control token"):
        chat_format.render(Conversation((Message("user", "<|im_end|>"),)))


def test_control_tokens_do_not_overlap() -> None:
    special = SpecialTokens(frozenset({"<a>b", "b<c>"}))
    prompt = JinjaFormat("model", "<a>b<c>", special).render(Conversation((HELLO,)))
    assert prompt.pieces == (Piece("<a>b", is_control=True), Piece("<c>", is_control=False))


def test_blocks_take_the_white_space_that_transformers_takes() -> None:
    template = (
        "{% if true %}\n  {% set x = 1 %}\n  {{ x }}\n{% endif %}\n {{ messages[0].content }}\n"
    )
    conversation = Conversation((HELLO,))
    prompt = JinjaFormat("model", template, QWEN).render(conversation)
    assert prompt.text == rendered(template, conversation, QWEN)


def test_stop_tokens_are_what_the_template_writes_after_an_answer_and_eos() -> None:
    special = SpecialTokens(QWEN.controls | {"</s>"}, eos="</s>")
    assert JinjaFormat("model", CHATML, special).render(Conversation((HELLO,))).stop_tokens == (
        "<|im_end|>",
        "</s>",
    )


def test_begin_of_text_is_added_once_where_the_tokenizer_adds_it() -> None:
    special = SpecialTokens(QWEN.controls | {"<s>"}, bos="<s>", add_bos=True)
    for template in (CHATML, "{{ bos_token }}" + CHATML):
        prompt = JinjaFormat("model", template, special).render(Conversation((HELLO,)))
        assert prompt.pieces[0] == Piece("<s>", is_control=True)
        assert control_tokens(prompt).count("<s>") == 1


def test_the_digest_is_that_of_the_template_whatever_its_name() -> None:
    digest = JinjaFormat("model", CHATML, QWEN).digest
    assert JinjaFormat("mine.jinja", CHATML, QWEN).digest == digest
    assert JinjaFormat("model", CHATML + " ", QWEN).digest != digest


def test_the_clock_answers_templates_that_ask_for_the_date() -> None:
    chat_format = JinjaFormat(
        "model", "{{ strftime_now('%d %b %Y') }}", QWEN, clock=lambda: datetime(2026, 5, 1)
    )
    assert chat_format.render(Conversation((HELLO,))).text == "01 May 2026"


def test_the_training_tag_and_loop_controls_are_understood() -> None:
    template = (
        "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}"
        "{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    )
    conversation = Conversation((HELLO, Message("assistant", "no")))
    prompt = JinjaFormat("model", template, QWEN).render(conversation)
    assert prompt.text == "hello" == rendered(template, conversation, QWEN)


def test_arguments_are_text_for_a_template_that_joins_them() -> None:
    template = "{% for m in messages %}{{ m.content or '' }}{% for c in m.tool_calls or [] %}"
    template += "{{ c.function.name + c.function.arguments }}{% endfor %}{% endfor %}"
    call = Message("assistant", None, tool_calls=(ToolCall("f", '{"a":  1}', id="x"),))
    text = JinjaFormat("model", template, QWEN).render(Conversation((HELLO, call))).text
    assert text == 'hellof{"a":  1}'


def test_missing_content_is_empty_text_for_a_template_that_fails_on_none() -> None:
    template = published("Qwen-Qwen3-0.6B")
    call = Message("assistant", None, tool_calls=(ToolCall("f", '{"a": 1}', id="x"),))
    conversation = Conversation((HELLO, call, Message("tool", "4", tool_call_id="x")))
    prompt = JinjaFormat("model", template, QWEN).render(conversation)
    assert prompt.text == rendered(template, without_null_content(conversation), QWEN)


def test_what_a_template_leaves_out_is_refused() -> None:
    silent = "{% for m in messages if m.role in ('user', 'assistant') %}{{ m.content }}{% endfor %}"
    chat_format = JinjaFormat("model", silent, QWEN)
    call = Message("assistant", "", tool_calls=(ToolCall("f", "{}", id="x"),))
    for conversation, part in (
        (Conversation((Message("system", "s"), HELLO)), "system messages"),
        (Conversation((Message("developer", "s"), HELLO)), "system messages"),
        (Conversation((HELLO,), tools=(Tool("f"),)), "no tools"),
        (Conversation((HELLO, call)), "tool calls"),
        (Conversation((HELLO, Message("tool", "4"))), "tool results"),
    ):
        with pytest.raises(InvalidConversation, match=part):
            chat_format.render(conversation)


def test_roles_that_the_template_does_not_name_are_refused() -> None:
    template = "{{ '<|' + messages[0].role + '|>' }}"
    special = SpecialTokens(frozenset({"<|user|>", "<|eom|>"}))
    chat_format = JinjaFormat("model", template, special)
    assert control_tokens(chat_format.render(Conversation((HELLO,)))) == ["<|user|>"]
    with pytest.raises(InvalidConversation, match=r"messages\[0\]: unknown role 'eom'"):
        chat_format.render(Conversation((Message("eom", "a"),)))
    with pytest.raises(InvalidConversation, match="at least one"):
        chat_format.render(Conversation(()))


def test_developer_is_system_unless_the_template_names_it() -> None:
    conversation = Conversation((Message("developer", "a"), HELLO))
    assert "<|im_start|>system\na" in JinjaFormat("model", CHATML, QWEN).render(conversation).text
    naming = "{% for m in messages %}{% if m.role == 'developer' %}!{% endif %}{{ m.content }}"
    naming += "{% endfor %}"
    assert JinjaFormat("model", naming, QWEN).render(conversation).text == "!ahello"


def test_a_templates_refusal_is_told() -> None:
    template = "{{ raise_exception('No ' ~ messages[0].content) }}"
    with pytest.raises(InvalidConversation, match=r"^No hello$"):
        JinjaFormat("model", template, QWEN).render(Conversation((HELLO,)))


def test_a_template_that_does_not_compile_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="can't be compiled: TemplateSyntaxError"):
        JinjaFormat("model", "{% if %}", QWEN)


def test_messages_with_every_noncharacter_or_too_deep_json_are_refused() -> None:
    # What other tests left must not be collected where the stack is nearly used up.
    gc.collect()
    chat_format = JinjaFormat("model", CHATML + "{{ a }}", QWEN)
    everything = "".join(chr(code) for code in range(0xFDD0, 0xFDF0))
    deep: dict[str, object] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    for conversation, reason in (
        (Conversation((Message("user", everything),)), "every noncharacter"),
        (Conversation((HELLO,), template_kwargs=deep), "too deep"),
    ):
        with pytest.raises(InvalidConversation, match=reason):
            chat_format.render(conversation)
