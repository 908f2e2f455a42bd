"""Owns the questions about tools, thoughts, the other APIs, text as ids, and embeddings.

Those with several forms are asked the same in each: plain, streamed, in another API's words.
"""

from dataclasses import replace
from typing import Any

from parity import parts, wishes
from parity.conversations import conversation, text
from parity.parts import Question
from parity.transcript import Size
from parity.wishes import ADD, WEATHER, Wish

_CITIES = ("Paris", "Oslo", "Lima", "Kyōto", "São Paulo", "東京")
# So many prompts of a size are one round of each kind of wish.
_PROMPTS_A_ROUND = 40
# A call takes some words whatever it says.
_FEWEST_TOKENS = 64
_SCHEMA = {
    "type": "object",
    "properties": {"name": {"enum": ["Ada", "Omar"]}, "age": {"type": "integer", "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
_SCORED = {"logprobs": True, "top_logprobs": 20}
_STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
_THOUGHTS: tuple[dict[str, Any], ...] = (
    {"reasoning_effort": "none"},
    {"reasoning_effort": "low"},
    {"thinking_token_budget": 0},
    {"thinking_token_budget": 5},
    {"thinking_token_budget": 5, "tools": [{"type": "function", "function": WEATHER}]},
    {"chat_template_kwargs": {"enable_thinking": False}},
    # Where a model does not think by itself, what it would write of it is asked for.
    {"continue_final_message": True},
    {"continue_final_message": True, "thinking_token_budget": 5},
    {"continue_final_message": True, "thinking_token_budget": 0},
)
_THOUGHT_OPENING = {"role": "assistant", "content": "<think>\n"}
_NUM_SCORED, _NUM_RANKED = 8, 4
_MOST_TEXTS = 40
_NUM_IDS = 12


def tool_questions(size: Size) -> list[Question]:
    """Each plain and streamed."""
    return [
        question
        for number in range(_num_rounds(size))
        for wish in _tool_wishes(number, _num_tokens(size))
        for question in _chats(wishes.chat(wish))
    ]


def thought_questions(size: Size) -> list[Question]:
    """Each plain and streamed."""
    asked: list[Question] = []
    for number in range(_num_rounds(size)):
        for at, fields in enumerate(_THOUGHTS):
            messages: list[dict[str, Any]] = [*conversation(number * len(_THOUGHTS) + at)]
            if "continue_final_message" in fields:
                messages.append(_THOUGHT_OPENING)
            wish = Wish(messages, size.num_tokens)
            asked += _chats({**wishes.chat(wish), **fields})
    return asked


def response_questions(size: Size) -> list[Question]:
    """Each as a chat, as a response, and as a streamed one."""
    asked: list[Question] = []
    for wish in _wishes(size):
        body = wishes.response(wish)
        asked += [
            Question(parts.CHAT, {**wishes.chat(wish), **_SCORED}),
            Question(parts.RESPOND, body),
            Question(parts.RESPOND, {**body, "stream": True}),
        ]
    return asked


def message_questions(size: Size) -> list[Question]:
    """Each as a chat, as a message, as a streamed one, and counted."""
    asked: list[Question] = []
    for wish in _wishes(size):
        body = wishes.message(wish)
        counted = {name: body[name] for name in body if name not in ("max_tokens", "temperature")}
        asked += [
            Question(parts.CHAT, {**wishes.chat(wish), **_SCORED}),
            Question(parts.MESSAGES, body),
            Question(parts.MESSAGES, {**body, "stream": True}),
            Question(parts.COUNT, counted),
        ]
    return asked


def token_questions(size: Size) -> list[Question]:
    """Texts and chats as ids, ids as text, and prompts of chats with tools."""
    asked: list[Question] = []
    for at in range(min(size.num_prompts, _MOST_TEXTS)):
        tools = wishes.chat(Wish(list(conversation(at)), 1, (WEATHER, ADD)))
        ids = [(at * 31 + 7 * place) % 1000 for place in range(_NUM_IDS)]
        asked += [
            Question(parts.TOKENISE, {"prompt": text(at), "return_token_strs": True}),
            Question(parts.TOKENISE, {"content": text(at), "parse_special": at % 2 == 0}),
            Question(parts.TOKENISE, tools),
            Question(parts.DETOKENISE, {"tokens": ids}),
            Question(parts.TEMPLATE, tools),
        ]
    return asked


def embedding_questions(size: Size) -> list[Question]:
    """A vector for each text; then scores of pairs, and documents in their order."""
    documents = [text(at) for at in range(_NUM_SCORED)]
    return [
        *(Question(parts.EMBED, {"input": text(at)}) for at in range(size.num_prompts)),
        *(
            Question(parts.SCORE, {"text_1": text(at), "text_2": documents})
            for at in range(_NUM_SCORED)
        ),
        *(
            Question(parts.RERANK, {"query": text(at), "documents": documents})
            for at in range(_NUM_RANKED)
        ),
    ]


def _chats(body: dict[str, Any]) -> list[Question]:
    return [
        Question(parts.CHAT, {**body, **_SCORED}),
        Question(parts.CHAT, {**body, **_STREAMED}),
    ]


def _num_rounds(size: Size) -> int:
    return max(1, size.num_prompts // _PROMPTS_A_ROUND)


def _num_tokens(size: Size) -> int:
    return max(size.num_tokens, _FEWEST_TOKENS)


def _tool_wishes(number: int, num_tokens: int) -> list[Wish]:
    city, other = (_CITIES[(2 * number + place) % len(_CITIES)] for place in range(2))
    weather = f"What is the weather in {city}?"
    both = f"What is the weather in {city} and in {other}?"
    asked = Wish([{"role": "user", "content": weather}], num_tokens, (WEATHER,))
    strict = {**ADD, "strict": True}
    return [
        asked,
        replace(asked, tools=(WEATHER, ADD), messages=[{"role": "user", "content": both}]),
        replace(asked, tools=(WEATHER, ADD), choice="required"),
        replace(asked, tools=(WEATHER, ADD), choice="required", is_parallel=False),
        replace(asked, tools=(WEATHER, ADD), choice="add"),
        replace(asked, tools=(strict, WEATHER), choice="required"),
        replace(asked, tools=(strict, WEATHER)),
        replace(asked, choice="none"),
        replace(asked, messages=wishes.loop(weather, city, "22 degrees, sunny")),
    ]


def _wishes(size: Size) -> list[Wish]:
    """For the other APIs: conversations, tools, and JSON."""
    num_tokens = _num_tokens(size)
    asked: list[Wish] = []
    for number in range(_num_rounds(size)):
        tools = _tool_wishes(number, num_tokens)
        asked += [
            *(Wish(list(conversation(4 * number + at)), size.num_tokens) for at in range(4)),
            *(tools[0], tools[2], tools[4], tools[8]),
            Wish([{"role": "user", "content": "Who are you?"}], num_tokens, schema=_SCHEMA),
        ]
    return asked
