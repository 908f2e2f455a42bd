"""The format that is chosen is the one that fits the model, and a misfit is told."""

import logging
from pathlib import Path

import pytest

from chat_formats.base import SpecialTokens
from chat_formats.chatml import ChatmlFormat
from chat_formats.detection import load_format, template_disagreement
from core.errors import ConfigurationError
from core.messages import Conversation, Message
from tests.chat_formats.reference import published
from tests.chat_formats.vocabularies import LLAMA3, MISTRAL_TEKKEN, MISTRAL_V1, MISTRAL_V3, QWEN

QWEN_TEMPLATE = published("Qwen-Qwen2.5-7B-Instruct")


def qwen_without_default_system() -> str:
    """ChatML with tools, as a model without a default system text would publish it."""
    default = "'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.'"
    alone = "{{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud."
    alone += " You are a helpful assistant.<|im_end|>\\n' }}"
    template = QWEN_TEMPLATE.replace(alone, "").replace("{{- " + default + " }}", "")
    return template.replace(
        "{{- messages[0]['content'] }}", "{{- messages[0]['content'] + '\\n\\n' }}"
    ).replace('{{- "\\n\\n# Tools', '{{- "# Tools')


@pytest.mark.parametrize(
    ("template", "special", "name"),
    [
        (qwen_without_default_system(), QWEN, "chatml"),
        (QWEN_TEMPLATE, QWEN, "model"),
        (published("Qwen-Qwen3-0.6B"), QWEN, "model"),
        (published("meta-llama-Llama-3.1-8B-Instruct"), LLAMA3, "llama3"),
        (published("mistralai-Mistral-7B-Instruct-v0.2"), MISTRAL_V1, "mistral-v1"),
        (published("mistralai-Mistral-7B-Instruct-v0.3"), MISTRAL_V3, "mistral-v3"),
        (published("mistralai-Mistral-Nemo-Instruct-2407"), MISTRAL_TEKKEN, "mistral-tekken"),
        (None, QWEN, "chatml"),
        (" ", LLAMA3, "llama3"),
        (None, MISTRAL_V3, "mistral-v3"),
        (None, MISTRAL_TEKKEN, "mistral-tekken"),
    ],
)
def test_auto_finds_the_format_that_renders_like_the_model(
    template: str | None, special: SpecialTokens, name: str
) -> None:
    assert load_format("auto", special, template).name == name


def test_auto_without_any_hint_is_chatml_in_words_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        chat_format = load_format("auto", MISTRAL_V1, None)
    prompt = chat_format.render(Conversation((Message("user", "hi"),)))
    assert chat_format.name == "chatml"
    assert prompt.stop_strings == ("<|im_end|>",)
    assert "chat_format=chatml" in caplog.text


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ("chatml", "chatml"),
        ("llama3", "llama3"),
        ("mistral", "mistral-v3"),
        ("mistral-v1", "mistral-v1"),
        ("mistral-v3", "mistral-v3"),
        ("mistral-tekken", "mistral-tekken"),
        ("model", "model"),
    ],
)
def test_an_operators_choice_is_taken(choice: str, name: str) -> None:
    assert load_format(choice, MISTRAL_V3, "{{ messages }}").name == name


def test_a_file_is_read_from_the_template_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text("{{ messages[0].content }}!", encoding="utf-8")
    for choice, folder in (("mine.jinja", tmp_path), (str(tmp_path / "mine.jinja"), None)):
        chat_format = load_format(choice, QWEN, None, template_dir=folder)
        assert chat_format.name == choice
        assert chat_format.render(Conversation((Message("user", "hi"),))).text == "hi!"


def test_choices_that_can_not_be_kept_are_configuration_errors(tmp_path: Path) -> None:
    (tmp_path / "latin.jinja").write_bytes(b"\xff")
    (tmp_path / "broken.jinja").write_text("{% if %}", encoding="utf-8")
    for choice, reason in (
        ("alpaca", "unknown chat format 'alpaca'; use auto, model, chatml"),
        ("model", "the model has none"),
        ("none.jinja", "can't read the chat template"),
        ("latin.jinja", "can't read the chat template"),
        ("broken.jinja", "can't be compiled"),
    ):
        with pytest.raises(ConfigurationError, match=reason):
            load_format(choice, QWEN, None, template_dir=tmp_path)
    with pytest.raises(ConfigurationError, match="can't be compiled"):
        load_format("auto", QWEN, "{% if %}")


def test_a_format_that_renders_like_the_model_does_not_disagree() -> None:
    assert template_disagreement(ChatmlFormat(QWEN), qwen_without_default_system(), QWEN) is None


def test_a_disagreement_is_told_in_a_line() -> None:
    told = template_disagreement(ChatmlFormat(QWEN), QWEN_TEMPLATE, QWEN)
    assert told is not None
    assert told.startswith("for the messages user, chatml writes 'user\\n Hëllo")
    assert "where the model's own template writes 'system\\nYou are Qwen" in told
    assert "\n" not in told


def test_a_refusal_on_one_side_is_a_disagreement() -> None:
    refusing = "{{ raise_exception('never') }}"
    told = template_disagreement(ChatmlFormat(QWEN), refusing, QWEN)
    assert told == "for the messages user, the model's own template refuses where the other renders"
