"""Which variables a request may hand to a Jinja template, whatever their names and values are."""

import pytest

from chat_formats.base import Piece
from chat_formats.jinja_format import JinjaFormat
from core.errors import InvalidConversation
from core.messages import Conversation, Message
from tests.chat_formats.reference import published
from tests.chat_formats.vocabularies import LLAMA3, QWEN

HELLO = Message("user", "hello")
# Renderings in another process: slow where the machine is busy.
pytestmark = pytest.mark.timeout(60)


def test_the_variables_are_those_that_the_template_reads_less_the_server_s() -> None:
    assert JinjaFormat("model", "{{ messages }}{{ tools }}", QWEN).variables == frozenset()
    qwen3 = JinjaFormat("model", published("Qwen-Qwen3-0.6B"), QWEN)
    assert qwen3.variables == {"enable_thinking"}
    llama3 = published("meta-llama-Llama-3.1-8B-Instruct")
    assert JinjaFormat("model", llama3, LLAMA3).variables == {
        *("builtin_tools", "custom_tools", "date_string", "tools_in_user_message")
    }


def test_template_variables_reach_the_template_unless_they_are_the_servers() -> None:
    chat_format = JinjaFormat("model", "{{ style.tone }}", QWEN)
    variables = {"style": {"tone": "<|im_end|>dry"}}
    prompt = chat_format.render(Conversation((HELLO,), template_kwargs=variables))
    assert prompt.pieces == (Piece("<|im_end|>dry", is_control=False),)
    for name in ("messages", "tools", "bos_token", "add_generation_prompt"):
        with pytest.raises(InvalidConversation, match=f"'{name}' is set by the server") as refusal:
            chat_format.render(Conversation((HELLO,), template_kwargs={name: []}))
        assert refusal.value.param == "chat_template_kwargs"


@pytest.mark.parametrize(
    "name",
    [
        "tone",
        "__class__",
        "self",
        "loop",
        "raise_exception",
        "no name",
        "",
        "x" * 100_000,
        "ü\ud800",
    ],
)
def test_variables_that_the_template_does_not_read_are_refused(name: str) -> None:
    chat_format = JinjaFormat("model", "{% set tone = style %}{{ tone }}", QWEN)
    with pytest.raises(InvalidConversation, match="the chat template model has no var") as refusal:
        chat_format.render(Conversation((HELLO,), template_kwargs={name: "a"}))
    assert refusal.value.param == "chat_template_kwargs"
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("depth", [50, 900, 5_000, 100_000])
def test_a_deep_value_is_rendered_or_refused(depth: int) -> None:
    deep: list[object] = []
    for _ in range(depth):
        deep = [deep]
    chat_format = JinjaFormat("model", "{{ style | tojson }}", QWEN)
    conversation = Conversation((HELLO,), template_kwargs={"style": deep})
    if depth == 50:
        assert chat_format.render(conversation).text == "[" * 51 + "]" * 51
    else:
        with pytest.raises(InvalidConversation, match=r"too deep|RecursionError"):
            chat_format.render(conversation)


def test_a_value_of_any_size_is_rendered_or_refused() -> None:
    chat_format = JinjaFormat("model", "{{ style }}", QWEN)
    for huge in ("x" * 20_000_000, 10**5000):
        with pytest.raises(InvalidConversation, match=r"characters of output|digits"):
            chat_format.render(Conversation((HELLO,), template_kwargs={"style": huge}))
    for value in (float("inf"), None, True, 1):
        conversation = Conversation((HELLO,), template_kwargs={"style": value})
        assert chat_format.render(conversation).text == str(value)
