"""Owns the choice of a chat format for a model. Knows the formats, no engine and no HTTP."""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from chat_formats.base import ChatFormat, Piece, SpecialTokens
from chat_formats.chatml import ChatmlFormat
from chat_formats.jinja_format import JinjaFormat
from chat_formats.llama3 import Llama3Format
from chat_formats.mistral import MistralFormat, MistralVersion
from chat_formats.probe_conversations import probe_conversations
from chat_formats.tool_fallback import ToolFallback
from core.errors import ConfigurationError, InvalidConversation
from core.messages import Conversation


def load_format(
    choice: str,
    special: SpecialTokens,
    model_template: str | None,
    *,
    template_dir: Path | None = None,
    clock: Callable[[], datetime] = datetime.now,
) -> ChatFormat:
    """The format an operator chose, or the one that fits the model; with tools in any case.

    `choice` is `auto`, `model`, `chatml`, `llama3`, `mistral`, `mistral-v1`, `mistral-v3`,
    `mistral-tekken`, or the path of a .jinja file, relative to `template_dir` or else to the
    working directory. Raises ConfigurationError for any other choice, for `model` where the model
    has no template, and for a template that can't be read or compiled.
    """
    own = _load(choice, special, model_template, template_dir, clock)
    return own if own.answers.calls is not None else ToolFallback(own)


def _load(
    choice: str,
    special: SpecialTokens,
    model_template: str | None,
    template_dir: Path | None,
    clock: Callable[[], datetime],
) -> ChatFormat:
    named = _named_formats()
    template = model_template if model_template and model_template.strip() else None
    if choice in named:
        return named[choice](special)
    if choice.endswith(".jinja"):
        return JinjaFormat(choice, _read_template(choice, template_dir), special, clock)
    if choice == "model":
        if template is None:
            raise ConfigurationError("the chat format 'model' needs a template; the model has none")
        return JinjaFormat(choice, template, special, clock)
    if choice == "auto":
        return _detect(special, template, clock)
    choices = ", ".join(["auto", "model", *named])
    raise ConfigurationError(f"unknown chat format {choice!r}; use {choices} or a .jinja file")


def template_disagreement(
    chat_format: ChatFormat, model_template: str, special: SpecialTokens
) -> str | None:
    """How a format first differs from the model's own template, in a line; None if it doesn't.

    What is wrong with the model's template is such a difference too: it is not used.
    """
    try:
        own = JinjaFormat("model", model_template, special)
    except ConfigurationError as error:
        return str(error)
    if isinstance(chat_format, ToolFallback):
        chat_format = chat_format.inner
    for conversation in probe_conversations():
        ours, theirs = _pieces(chat_format, conversation), _pieces(own, conversation)
        if ours != theirs:
            return _describe(conversation, chat_format.name, ours, theirs)
    return None


def _named_formats() -> dict[str, Callable[[SpecialTokens], ChatFormat]]:
    return {
        "chatml": ChatmlFormat,
        "llama3": Llama3Format,
        "mistral": MistralFormat,
        "mistral-v1": lambda special: MistralFormat(special, MistralVersion.V1),
        "mistral-v3": lambda special: MistralFormat(special, MistralVersion.V3),
        "mistral-tekken": lambda special: MistralFormat(special, MistralVersion.TEKKEN),
    }


def _read_template(choice: str, template_dir: Path | None) -> str:
    path = (template_dir or Path()) / Path(choice).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"can't read the chat template {path}: {error}") from None


def _detect(
    special: SpecialTokens, template: str | None, clock: Callable[[], datetime]
) -> ChatFormat:
    if template is None:
        return _detect_by_tokens(special)
    own = JinjaFormat("model", template, special, clock)
    wanted = [_pieces(own, conversation) for conversation in probe_conversations()]
    for choice in ("chatml", "llama3", "mistral-v1", "mistral-v3", "mistral-tekken"):
        candidate = _named_formats()[choice](special)
        if wanted == [_pieces(candidate, conversation) for conversation in probe_conversations()]:
            return candidate
    return own


def _detect_by_tokens(special: SpecialTokens) -> ChatFormat:
    if "<|im_start|>" in special.controls:
        return ChatmlFormat(special)
    if "<|start_header_id|>" in special.controls:
        return Llama3Format(special)
    if "[INST]" in special.controls:
        return MistralFormat(special)
    logging.getLogger(__name__).warning(
        "chat_format=chatml reason=%r", "the model has no template and no known control tokens"
    )
    return ChatmlFormat(special)


def _pieces(chat_format: ChatFormat, conversation: Conversation) -> tuple[Piece, ...] | None:
    """The rendering without stops; None for a refusal, whatever its words."""
    try:
        return chat_format.render(conversation).pieces
    except InvalidConversation:
        return None


def _describe(
    conversation: Conversation,
    name: str,
    ours: tuple[Piece, ...] | None,
    theirs: tuple[Piece, ...] | None,
) -> str:
    roles = ", ".join(message.role for message in conversation.messages)
    tools = " with tools" if conversation.tools else ""
    before = f"for the messages {roles}{tools}"
    if ours is None or theirs is None:
        refuser = name if ours is None else "the model's own template"
        return f"{before}, {refuser} refuses where the other renders"
    left, right = _first_difference(ours, theirs)
    return f"{before}, {name} writes {left!r} where the model's own template writes {right!r}"


def _first_difference(ours: tuple[Piece, ...], theirs: tuple[Piece, ...]) -> tuple[str, str]:
    """What each writes from their first differing character on, shortened."""
    left = "".join(piece.text for piece in ours)
    right = "".join(piece.text for piece in theirs)
    pairs = zip(left, right, strict=False)
    start = next((at for at, (one, other) in enumerate(pairs) if one != other), None)
    place = min(len(left), len(right)) if start is None else start
    return left[place : place + 40], right[place : place + 40]
