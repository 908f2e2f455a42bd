"""Owns generated conversations, the same ones in every run. Knows no format.

Their texts are full of what goes wrong: control tokens and parts of them, white space at the
edges, nothing at all, quotes and braces, and characters outside of ASCII.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from chat_formats.base import ChatFormat, RenderedPrompt
from core.messages import Conversation, Message, Tool, ToolCall
from tests.chat_formats.vocabularies import EVERY_CONTROL

NUM_CONVERSATIONS = 200
_PIECES = [
    *sorted(EVERY_CONTROL),
    *("<|", "|>", "<|im_", "end|>", "<|IM_END|>", "[", "]", "</", "s>", "<", ">", "|", "eot_id"),
    *(" ", "\n", "\t", "  \n", "\u00a0", "\u3000", "\ufdd0", "\\ufdd0", "\r\n", "\x00"),
    *("hello", "Größe", "日本語", "🙂", "e\u0301", "İ", '"', "'", "&", "\\", "{{ x }}", "{% if %}"),
]
_NAMES = ["get_weather", "search", "f", "<|im_end|>", "größe"]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a conversation may hold: calls at once in an assistant's message, tools, and its end."""

    max_calls: int = 0
    has_tools: bool = False
    ends_with_user: bool = False


def conversations(shape: Shape, num: int = NUM_CONVERSATIONS) -> Iterator[Conversation]:
    """Users and assistants by turns, up to five rounds, a system message first in half of them."""
    writer = Writer()
    for _ in range(num):
        yield writer.conversation(shape)


def continued_conversations(shape: Shape) -> Iterator[Conversation]:
    """Conversations whose last message, an assistant's text, is to be gone on with."""
    writer = Writer()
    for conversation in conversations(shape):
        messages = conversation.messages
        if messages[-1].role != "assistant":
            messages = (*messages, Message("assistant", writer.text()))
        yield replace(
            conversation,
            messages=messages,
            add_generation_prompt=False,
            continue_final_message=True,
        )


def uncontinuable_conversations() -> Iterator[tuple[Conversation, str]]:
    """Conversations whose last message can't be gone on with, and what says so."""
    hello = Message("user", "hello")
    call = Message("assistant", "", tool_calls=(ToolCall("f", "{}", "abcdefghi"),))
    for messages, reason in (
        ((hello,), r"messages\[0\]: .* assistant message here, not 'user'"),
        ((hello, call), r"messages\[1\]: .* can't continue tool calls"),
        ((hello, Message("assistant", None)), r"messages\[1\]: .* needs content"),
        ((), "at least one message"),
    ):
        yield (
            Conversation(messages, add_generation_prompt=False, continue_final_message=True),
            reason,
        )


def without_null_content(conversation: Conversation) -> Conversation:
    """The same conversation with empty texts where there are none."""
    messages = (replace(each, content=each.content or "") for each in conversation.messages)
    return replace(conversation, messages=tuple(messages))


@dataclass(slots=True)
class Writer:
    """Makes up parts of conversations from a fixed seed."""

    dice: random.Random = field(default_factory=lambda: random.Random(20260501))

    def text(self) -> str:
        """Up to five pieces; every sixth text is empty."""
        return "".join(self.dice.choices(_PIECES, k=self.dice.randrange(6)))

    def conversation(self, shape: Shape) -> Conversation:
        """One conversation of a shape."""
        messages = [Message("system", self.text())] if self._maybe() else []
        for _ in range(self.dice.randrange(5)):
            messages += [*self._question(shape), Message("assistant", self.text())]
        if shape.ends_with_user:
            messages.append(Message("user", self.text()))
        else:
            messages += self._question(shape)
            messages += [Message("assistant", self.text())] if self._maybe() else []
        tools = self._tools() if shape.has_tools and self._maybe() else ()
        return Conversation(tuple(messages), tools, add_generation_prompt=self._maybe())

    def _question(self, shape: Shape) -> list[Message]:
        question = Message("user", self.text())
        if shape.max_calls and self._maybe():
            return [question, *self._exchange(shape.max_calls)]
        return [question]

    def _exchange(self, max_calls: int) -> list[Message]:
        ids = ["".join(self.dice.choices("abcXYZ019", k=9)) for _ in range(max_calls)]
        ids = ids[: self.dice.randint(1, max_calls)]
        calls = tuple(
            ToolCall(self.dice.choice(_NAMES), json.dumps(self._object(), ensure_ascii=False), each)
            for each in ids
        )
        content = self.dice.choice([None, ""])
        results = [Message("tool", self.text(), tool_call_id=each) for each in ids]
        return [Message("assistant", content, tool_calls=calls), *results]

    def _tools(self) -> tuple[Tool, ...]:
        return tuple(
            Tool(self.dice.choice(_NAMES), self.dice.choice([None, self.text()]), self._object())
            for _ in range(self.dice.randint(1, 3))
        )

    def _object(self, depth: int = 0) -> dict[str, object]:
        return {self.text(): self._value(depth) for _ in range(self.dice.randrange(3))}

    def _value(self, depth: int) -> object:
        plain = [None, True, self.dice.randint(-9, 9), 0.5, self.text(), self.text()]
        nested = [self._object(depth + 1), [self.text(), {}]] if depth < 2 else []
        return self.dice.choice([*plain, *nested])

    def _maybe(self) -> bool:
        return self.dice.random() < 0.5


def assert_renders(chat_format: ChatFormat, conversation: Conversation, expected: str) -> None:
    """The text is the expected one, and no control token in it is the client's."""
    prompt = chat_format.render(conversation)
    assert prompt.text == expected
    assert control_tokens(prompt) == control_tokens(chat_format.render(harmless(conversation)))


def control_tokens(prompt: RenderedPrompt) -> list[str]:
    """The control tokens of a prompt, in order."""
    return [piece.text for piece in prompt.pieces if piece.is_control]


@dataclass(slots=True)
class _Harmless:
    """Gives each text a harmless one, equal texts the same, no text none."""

    given: dict[str, str]

    def text(self, text: str) -> str:
        return text and self.given.setdefault(text, f"word{len(self.given)}")

    def message(self, message: Message) -> Message:
        content = None if message.content is None else self.text(message.content)
        calls = tuple(ToolCall(self.text(c.name), "{}", c.id) for c in message.tool_calls)
        return replace(message, content=content, tool_calls=calls)


def harmless(conversation: Conversation) -> Conversation:
    """The same conversation in words that no control token has a part in."""
    words = _Harmless({})
    return replace(
        conversation,
        messages=tuple(words.message(message) for message in conversation.messages),
        tools=tuple(Tool(words.text(tool.name), "described") for tool in conversation.tools),
    )
