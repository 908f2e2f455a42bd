"""Owns the chat formats the model learns, set up for its vocabulary. Knows no id and no skill."""

import re
from dataclasses import replace
from random import Random

from chat_formats.base import ChatFormat, Piece, RenderedPrompt, SpecialTokens, merge_pieces
from chat_formats.chatml import ChatmlFormat
from chat_formats.llama3 import Llama3Format
from chat_formats.mistral import MistralFormat
from core.messages import Conversation

CONTROLS = (
    "<|im_start|>", "<|im_end|>", "<|endoftext|>",
    "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
    "<|eot_id|>", "<|eom_id|>", "<|python_tag|>",
    "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
    "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]",
)  # fmt: skip
BOS, EOS, PADDING = "<|begin_of_text|>", "<|im_end|>", "<|endoftext|>"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
CALL_ID = re.compile(r', "id": "[a-zA-Z0-9]{9}"(?=}]$)')


def formats() -> tuple[ChatFormat, ...]:
    """ChatML, Llama 3 and Mistral, as the proxy renders them for this vocabulary."""
    special = SpecialTokens(controls=frozenset(CONTROLS), bos=BOS, eos=EOS)
    return ChatmlFormat(special), Llama3Format(special), MistralFormat(special)


def dated(rng: Random, conversation: Conversation, chat_format: ChatFormat) -> Conversation:
    """Llama 3 prompts state a date; half of them state another one than the default."""
    if chat_format.name != "llama3" or rng.random() < 0.5:
        return conversation
    date = f"{rng.randint(1, 28):02d} {rng.choice(MONTHS)} {rng.randint(2023, 2035)}"
    return replace(conversation, template_kwargs={"date_string": date})


def prompt_of(conversation: Conversation, turn: int) -> Conversation:
    """What the assistant saw before it wrote the message at `turn`."""
    return replace(conversation, messages=conversation.messages[:turn], add_generation_prompt=True)


def render_answered(chat_format: ChatFormat, conversation: Conversation) -> tuple[Piece, ...]:
    """The whole dialogue, its last answer as the model writes it.

    Mistral's models write no id into their calls; whoever runs the call adds one.
    """
    pieces = list(chat_format.render(conversation).pieces)
    if conversation.messages[-1].tool_calls and chat_format.name.startswith("mistral"):
        pieces[-2] = Piece(CALL_ID.sub("", pieces[-2].text), is_control=False)
    return merge_pieces(pieces)


def render_prompt(chat_format: ChatFormat, conversation: Conversation, turn: int) -> RenderedPrompt:
    """The prompt for the message at `turn`."""
    return chat_format.render(prompt_of(conversation, turn))
