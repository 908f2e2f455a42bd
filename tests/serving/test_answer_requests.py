"""What is asked of an engine for an answer: markers by their ids, a second request, and its end."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import replace

import pytest

from backends.base import ModelCard, Tokenizer, TokenRequest
from backends.scripted import END_ID, ByteTokenizer, ScriptedBackend
from core.errors import EngineFailed
from core.events import FinishReason, GenerationEvent
from core.messages import Conversation, Message, Tool
from core.requests import Ending, GenerationRequest, View
from core.structures import JsonObject
from core.thinking import Thinking
from core.tool_choice import ToolChoice, ToolMode
from core.vocabulary import Vocabulary
from tests.serving.over_script import service_over
from tests.serving.said import Said, read

CALL = '{"name": "f", "arguments": {"a": 1}}'
MARKED = f"<tool_call>\n{CALL}\n</tool_call>"
CONTROLS = ("<tool_call>", "</tool_call>", "<think>", "</think>", "[TOOL_CALLS]", "[ARGS]")


class ControlBackend(ScriptedBackend):
    """Of a model whose markers are control tokens, behind the bytes and chatml's."""

    @property
    def card(self) -> ModelCard:
        plain = super().card
        pieces = (*plain.vocabulary.pieces, *(token.encode() for token in CONTROLS))
        grown = Vocabulary(
            pieces=pieces,
            control_ids=frozenset(range(256, len(pieces))),
            bos_id=None,
            eos_id=END_ID,
            metadata_end_ids=frozenset({END_ID}),
            add_bos=False,
        )
        return replace(plain, vocabulary=grown)

    @property
    def tokenizer(self) -> Tokenizer:
        return ControlTokenizer()


class ControlTokenizer:
    def encode(self, text: str, *, with_control: bool) -> list[int]:
        if not with_control:
            return ByteTokenizer().encode(text, with_control=False)
        return control_ids(text)


def control_ids(text: str) -> list[int]:
    for place, token in enumerate(CONTROLS):
        before, found, behind = text.partition(token)
        if found:
            return [*control_ids(before), 259 + place, *control_ids(behind)]
    return ByteTokenizer().encode(text, with_control=True)


Script = Callable[[TokenRequest], Iterable[int]]
HI = Conversation((Message("user", "hi"),))
TOOLS = replace(HI, tools=(Tool("f"),))


async def said_by(script: Script, request: GenerationRequest) -> tuple[Said, ControlBackend]:
    backend = ControlBackend(script)
    async with service_over(backend) as service:
        (generation,) = await service.prepare(request)
        return read([event async for event in generation.events()]), backend


async def test_markers_may_be_control_tokens() -> None:
    ids = [*control_ids(f"<think>\nhm\n</think>\n\nSee. {MARKED}"), END_ID]
    said, _ = await said_by(lambda _: ids, GenerationRequest("r", TOOLS))
    assert (said.thought, said.text, said.calls) == ("hm", "See.", [("f", '{"a": 1}')])
    assert said.end.num_completion_tokens == len(ids)
    hidden, _ = await said_by(
        lambda _: ids, GenerationRequest("r", HI, view=View(shows_control=False))
    )
    assert (hidden.thought, hidden.text) == ("hm", f"See. \n{CALL}\n")


async def test_a_budget_writes_a_control_token() -> None:
    def script(request: TokenRequest) -> list[int]:
        is_closed = 259 + CONTROLS.index("</think>") in request.prompt_ids
        return [*b"ok", END_ID] if is_closed else control_ids("<think>" + "hm " * 50)

    request = GenerationRequest("r", HI, thinking=Thinking(budget=4))
    said, backend = await said_by(script, request)
    assert (said.thought, said.text) == ("hm", "ok")
    assert backend.requests[-1].prompt_ids[-4:] == tuple(control_ids("\n</think>\n\n"))


async def test_a_forced_call_opens_with_its_control_token_by_id() -> None:
    ids = [*control_ids(MARKED), END_ID]
    required = ToolChoice(ToolMode.REQUIRED)
    said, backend = await said_by(
        lambda _: ids, GenerationRequest("r", TOOLS, tool_choice=required)
    )
    assert (said.calls, said.end.finish_reason) == ([("f", '{"a": 1}')], FinishReason.TOOL_CALLS)
    grammar = backend.requests[-1].grammar
    assert grammar is not None
    assert "<[259]>" in grammar.text
    assert "<[260]>" in grammar.text
    assert '"<tool_call>"' not in grammar.text


async def test_a_kept_stop_shows_no_control_token_of_a_call() -> None:
    ids = [*control_ids(f"{MARKED}"), END_ID]
    request = GenerationRequest("r", TOOLS, ending=Ending(keeps_stop=True))
    said, _ = await said_by(lambda _: ids, request)
    assert (said.text, said.calls) == ("", [("f", '{"a": 1}')])


def think_first(request: TokenRequest) -> list[int]:
    prompt = bytes(each for each in request.prompt_ids if each < 256)
    return (
        [*b'{"a": 1}', END_ID] if prompt.endswith(b"</think>\n\n") else [*b"<think>", *b"hm " * 99]
    )


async def test_the_second_request_keeps_what_the_first_one_was_given() -> None:
    request = GenerationRequest(
        "r",
        HI,
        structure=JsonObject(),
        thinking=Thinking(budget=3),
        priority=7,
        cache_salt="salt",
        view=View(num_logprobs=2, num_prompt_logprobs=1),
        num_choices=3,
    )
    backend = ScriptedBackend(think_first, context_window=200)
    async with service_over(backend) as service:
        generations = await service.prepare(request)
        for generation in generations:
            events = [event async for event in generation.events()]
            assert read(events).text == '{"a": 1}'
    assert len({each.id for each in backend.requests}) == len(backend.requests) == 6
    for first, second in zip(backend.requests[::2], backend.requests[1::2], strict=True):
        assert (second.priority, second.cache_salt) == (7, "salt")
        assert (second.num_logprobs, second.num_prompt_logprobs) == (2, None)
        assert second.end_ids == first.end_ids
        assert len(second.prompt_ids) + second.max_tokens == 200


async def test_a_client_that_leaves_between_the_two_requests_leaves_nothing_behind() -> None:
    backend = ScriptedBackend(think_first)
    async with service_over(backend) as service:
        request = GenerationRequest("r", HI, thinking=Thinking(budget=3))
        (generation,) = await service.prepare(request)
        events: AsyncGenerator[GenerationEvent, None] = generation.events()
        while len(backend.requests) < 2:
            await anext(events)
            assert backend.num_live <= 1
        await events.aclose()
        assert backend.num_live == 0


async def test_an_engine_that_fails_in_the_second_request_is_told() -> None:
    failing = ScriptedBackend(
        think_first, gate=lambda: asyncio.ensure_future(_fail_at_second(failing))
    )
    async with service_over(failing) as service:
        request = GenerationRequest("r", HI, thinking=Thinking(budget=3))
        (generation,) = await service.prepare(request)
        with pytest.raises(EngineFailed, match="out of memory"):
            [event async for event in generation.events()]
    assert failing.num_live == 0


async def _fail_at_second(backend: ScriptedBackend) -> None:
    if len(backend.requests) == 2:
        backend.fail("out of memory")
