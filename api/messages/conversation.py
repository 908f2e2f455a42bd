"""Owns what a Messages request says as a conversation: Anthropic's turns of blocks as messages.

Knows no chat format: what one can't express is refused where it is rendered.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from api.messages.tools import tools_of
from api.schemas.messages import (
    Block,
    MessagesTurn,
    PromptFields,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from core.errors import InvalidConversation
from core.messages import Conversation, Message, ToolCall

# Claude Code's first block says who pays, with a hash that is new for each request: no prompt
# would begin as another one does.
_BILLING = "x-anthropic-billing-header:"
_ERROR = "Error: "


@dataclass(frozen=True, slots=True)
class _Turn:
    """Neighbouring messages of one role. `index` is the first one's place."""

    index: int
    role: str
    blocks: Sequence[Block]


def conversation_of(request: PromptFields) -> Conversation:
    """A last turn of the assistant's is left open. Raises InvalidConversation or InvalidValue."""
    turns = _turns(request)
    messages = [*_system(request), *_messages(turns)]
    is_open = turns[-1].role == "assistant"
    if is_open and messages[-1].tool_calls:
        raise _refusal(turns[-1].index, "the last turn calls tools; their results must follow it")
    return Conversation(
        tuple(messages),
        tools=tools_of(request),
        add_generation_prompt=not is_open,
        continue_final_message=is_open,
    )


def _system(request: PromptFields) -> Iterator[Message]:
    given = request.system or ()
    texts = [given] if isinstance(given, str) else [block.text for block in given]
    kept = [text for text in texts if not text.startswith(_BILLING)]
    if kept:
        yield Message("system", "\n".join(kept))


def _turns(request: PromptFields) -> list[_Turn]:
    numbered = enumerate(request.messages)
    runs = groupby(numbered, key=lambda pair: pair[1].role)
    return [_turn(list(run)) for _, run in runs]


def _turn(run: Sequence[tuple[int, MessagesTurn]]) -> _Turn:
    blocks = [block for _, message in run for block in _blocks(message)]
    index, first = run[0]
    return _Turn(index, first.role, blocks)


def _blocks(message: MessagesTurn) -> Sequence[Block]:
    content = message.content
    return [_text_block(content)] if isinstance(content, str) else content


def _text_block(text: str) -> TextBlock:
    return TextBlock.model_construct(type="text", text=text)


def _messages(turns: Sequence[_Turn]) -> Iterator[Message]:
    called: frozenset[str] = frozenset()
    for turn in turns:
        if turn.role == "assistant":
            message = _assistant(turn)
            called = frozenset(call.id for call in message.tool_calls if call.id is not None)
            yield message
        elif turn.role == "user":
            yield from _user(turn, called)
        else:
            yield Message("system", _joined(turn.blocks) or "")


def _user(turn: _Turn, called: frozenset[str]) -> Iterator[Message]:
    """Results first: they belong to the calls of the turn before."""
    results = [block for block in turn.blocks if isinstance(block, ToolResultBlock)]
    for result in results:
        if result.tool_use_id not in called:
            reason = f"no call before it has the id {result.tool_use_id[:100]!r}"
            raise _refusal(turn.index, reason)
        yield Message("tool", _result_text(result), tool_call_id=result.tool_use_id)
    text = _joined(turn.blocks)
    if text is not None or not results:
        yield Message("user", text or "")


def _result_text(result: ToolResultBlock) -> str:
    content = result.content or ""
    text = content if isinstance(content, str) else _joined(content) or ""
    return _ERROR + text if result.is_error else text


def _assistant(turn: _Turn) -> Message:
    thoughts = [block.thinking for block in turn.blocks if isinstance(block, ThinkingBlock)]
    calls = tuple(_call(turn, block) for block in turn.blocks if isinstance(block, ToolUseBlock))
    text = _joined(turn.blocks)
    return Message(
        "assistant",
        text if calls else text or "",
        tool_calls=calls,
        reasoning="\n".join(filter(None, thoughts)) or None,
    )


def _call(turn: _Turn, block: ToolUseBlock) -> ToolCall:
    try:
        return ToolCall(block.name, json.dumps(block.input, ensure_ascii=False), block.id)
    except RecursionError:
        raise _refusal(turn.index, f"the input of {block.name[:100]!r} nests too deep") from None


def _joined(blocks: Iterable[Block]) -> str | None:
    """The blocks' text, by line breaks as parts of a chat message are; None without any block."""
    texts = [block.text for block in blocks if isinstance(block, TextBlock)]
    return "\n".join(texts) if texts else None


def _refusal(index: int, reason: str) -> InvalidConversation:
    return InvalidConversation(f"messages[{index}]: {reason}", param="messages")
