"""Thoughts have a budget, and a grammar holds from where the answer begins."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backends.base import TokenRequest, TokenStep
from backends.scripted import END_ID, ScriptedBackend, byte_vocabulary
from chat_formats.thoughts import KNOWN_THOUGHTS
from chat_formats.tool_calls.syntax import HERMES
from core.events import (
    FinishReason,
    GenerationEnd,
    GenerationEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from core.grammar import Grammar, GrammarKind
from core.messages import Conversation, Message, Tool
from core.requests import Ending, GenerationRequest, SamplingWish
from core.sampling import SamplingPlan, Seed
from core.structures import JsonObject
from core.thinking import Effort, Thinking
from core.tool_choice import ToolChoice, ToolMode
from serving.answers.progress import AnswerProgress, Plan
from serving.answers.rules import AnswerRules, CallRules, ThoughtRules
from serving.answers.thinking import thinking_budget, with_variables
from serving.decoding import AnswerDecoder, TextRules
from tests.serving.over_script import service_over

TEMPLATE = Path(__file__).parents[1] / "chat_formats" / "templates" / "thinking.jinja"
ENDING = tuple(b"\n</think>\n\n")
THINK = KNOWN_THOUGHTS[0]
GRAMMAR = Grammar(GrammarKind.REGEX, "[a-z]+")
PROMPT = tuple(b"prompt")


def rules(*, is_open: bool = True, budget: int | None = None, waits: bool = False) -> AnswerRules:
    thoughts = ThoughtRules(THINK, is_open, budget, ENDING, tuple(b"\n\n"))
    return AnswerRules(thoughts, None, waits_for_answer=waits)


def run(
    answers: list[bytes],
    answer_rules: AnswerRules,
    *,
    cut: int = 1,
    max_tokens: int = 1000,
    stop: tuple[str, ...] = (),
    grammar: Grammar | None = None,
) -> tuple[list[GenerationEvent], list[TokenRequest]]:
    """What comes of answers, one for each request of an engine, in steps of `cut` ids."""
    plan = SamplingPlan(min_tokens=min(4, max_tokens), seed=Seed(7))
    tokens = TokenRequest("r", PROMPT, max_tokens, frozenset({END_ID}), plan, grammar=grammar)
    text_rules = TextRules(stop=stop)
    progress = AnswerProgress(
        Plan(tokens, answer_rules), lambda: AnswerDecoder(byte_vocabulary(), text_rules, 6)
    )
    events, requests = progress.begin(), list[TokenRequest]()
    for answer in answers:
        if progress.is_over:
            break
        request = progress.request
        requests.append(request)
        ids = [*answer, END_ID][: request.max_tokens]
        for at in range(0, len(ids), cut):
            step = tuple(ids[at : at + cut])
            events += progress.feed(TokenStep(step, _finish(ids, at + cut)))
            if progress.is_over or progress.request is not request:
                break
    assert progress.is_over
    return events, requests


def _finish(ids: list[int], end: int) -> FinishReason | None:
    if end < len(ids):
        return None
    return FinishReason.STOP if ids[-1] == END_ID else FinishReason.LENGTH


def said(events: list[GenerationEvent]) -> tuple[str, str]:
    thought = "".join(each.text for each in events if isinstance(each, ReasoningDelta))
    return thought, "".join(each.text for each in events if isinstance(each, TextDelta))


def end_of(events: list[GenerationEvent]) -> GenerationEnd:
    assert isinstance(events[-1], GenerationEnd)
    assert sum(isinstance(each, GenerationEnd) for each in events) == 1
    return events[-1]


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 100])
def test_thoughts_are_counted_and_told_apart(cut: int) -> None:
    events, requests = run([b"abc\n</think>\n\nhello"], rules(), cut=cut)
    assert said(events) == ("abc", "hello")
    assert len(requests) == 1
    end = end_of(events)
    assert (end.num_reasoning_tokens, end.num_completion_tokens) == (12, 20)


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("budget", [0, 1, 5])
def test_a_budget_closes_the_block_and_the_answer_goes_on_behind_it(cut: int, budget: int) -> None:
    events, requests = run([b"abcdefgh", b"hello"][budget == 0 :], rules(budget=budget), cut=cut)
    assert said(events) == ("abcdefgh"[:budget], "hello")
    last = requests[-1]
    assert last.prompt_ids == PROMPT + tuple(b"abcdefgh"[:budget]) + ENDING
    assert last.max_tokens == 1000 - budget - len(ENDING)
    assert last.sampling.min_tokens == 0
    assert last.sampling.seed == Seed(7, 1 << 20)
    end = end_of(events)
    assert (end.num_reasoning_tokens, end.num_prompt_tokens) == (budget, 6)
    assert end.num_completion_tokens == budget + len(ENDING) + 6


def test_a_budget_holds_also_for_thoughts_that_the_model_opens() -> None:
    events, _ = run([b"<think>abcdefgh", b"hello"], rules(is_open=False, budget=4))
    assert said(events)[1] == "hello"
    untouched, requests = run([b"hello"], rules(is_open=False, budget=0))
    assert (said(untouched), len(requests)) == (("", "hello"), 1)


def test_a_budget_waits_for_the_end_of_a_character() -> None:
    events, requests = run(["aüb".encode(), b"hello"], rules(budget=2))
    assert said(events) == ("aü", "hello")
    assert requests[-1].prompt_ids == PROMPT + tuple("aü".encode()) + ENDING


def test_a_block_that_there_is_no_room_to_close_goes_on() -> None:
    events, requests = run([b"abcdefghijklmnop"], rules(budget=2), max_tokens=12)
    assert said(events) == ("abcdefghijkl", "")
    assert (len(requests), end_of(events).finish_reason) == (1, FinishReason.LENGTH)


@pytest.mark.parametrize("cut", [1, 3, 100])
def test_stop_strings_are_looked_for_in_the_answer_alone(cut: int) -> None:
    answer = b"a stop b\n</think>\n\n stop"
    events, _ = run([answer], rules(), cut=cut, stop=("stop",))
    assert said(events) == ("a stop b", "")
    assert end_of(events).stop == "stop"
    events, _ = run([b"a\n\n</think>\n\nb\n\nc"], rules(), cut=cut, stop=("\n\n",))
    assert said(events) == ("a", "b")
    events, _ = run([b"xstop"], rules(is_open=False), cut=cut, stop=("stop",))
    assert said(events) == ("", "x")


@pytest.mark.parametrize("cut", [1, 2, 5, 100])
def test_a_grammar_holds_behind_the_thoughts(cut: int) -> None:
    answers = [b"abc\n</think>\n\nHELLO", b"hello"]
    events, requests = run(answers, rules(waits=True), cut=cut, grammar=GRAMMAR)
    assert said(events) == ("abc", "hello")
    assert [request.grammar for request in requests] == [None, GRAMMAR]
    assert requests[1].prompt_ids == PROMPT + tuple(b"abc\n</think>\n\n")


@pytest.mark.parametrize("cut", [1, 2, 5, 100])
@pytest.mark.parametrize("first", [b"HELLO", b"", b" \n", b"<thi"])
def test_a_grammar_holds_from_the_prompt_on_where_nothing_is_thought(
    cut: int, first: bytes
) -> None:
    answer_rules = rules(is_open=False, waits=True)
    events, requests = run([first, b"hello"], answer_rules, cut=cut, grammar=GRAMMAR)
    assert said(events) == ("", "hello")
    assert requests[1] == replace(requests[1], prompt_ids=PROMPT, grammar=GRAMMAR, max_tokens=1000)
    end = end_of(events)
    assert (end.num_completion_tokens, end.num_reasoning_tokens) == (6, 0)


def test_thoughts_that_end_with_the_model_are_closed_for_a_grammar() -> None:
    events, requests = run([b"abc", b"hello"], rules(waits=True), grammar=GRAMMAR)
    assert said(events) == ("abc", "hello")
    assert requests[1].prompt_ids == PROMPT + tuple(b"abc") + ENDING
    without, _ = run([b"abc"], rules())
    assert said(without) == ("abc", "")


@pytest.mark.parametrize("max_tokens", range(1, 24))
def test_every_length_ends_once(max_tokens: int) -> None:
    for answer_rules in (rules(waits=True), rules(is_open=False, waits=True), rules(budget=3)):
        grammar = GRAMMAR if answer_rules.waits_for_answer else None
        answers = [b"abcdef</think>", b"hello"]
        events, _ = run(answers, answer_rules, max_tokens=max_tokens, grammar=grammar)
        assert end_of(events).num_completion_tokens <= max_tokens


@pytest.mark.parametrize("cut", [1, 4, 100])
def test_an_answer_without_parallel_calls_ends_behind_its_first(cut: int) -> None:
    call = b'<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
    calls = CallRules(HERMES, frozenset({"f"}), is_parallel=False)
    events, _ = run([call + b"\n" + call], AnswerRules(calls=calls), cut=cut)
    started = [each for each in events if isinstance(each, ToolCallStarted)]
    arguments = "".join(each.arguments for each in events if isinstance(each, ToolCallDelta))
    assert ([each.name for each in started], arguments) == (["f"], '{"a": 1}')
    end = end_of(events)
    assert (end.finish_reason, end.num_completion_tokens) == (FinishReason.TOOL_CALLS, len(call))


def conversation(**fields: Any) -> Conversation:
    return Conversation((Message("user", "hi"),), **fields)


@pytest.mark.parametrize(
    ("thinking", "known", "given", "variables", "budget"),
    [
        (Thinking(), {"enable_thinking"}, {}, {}, None),
        (Thinking(Effort.NONE), {"enable_thinking"}, {}, {"enable_thinking": False}, 0),
        (Thinking(Effort.LOW), {"enable_thinking"}, {}, {"enable_thinking": True}, 1024),
        (Thinking(Effort.LOW), {"reasoning_effort"}, {}, {"reasoning_effort": "low"}, None),
        (Thinking(Effort.LOW, 5), {"reasoning_effort"}, {}, {"reasoning_effort": "low"}, 5),
        (Thinking(Effort.XHIGH), {"thinking"}, {}, {"thinking": True}, None),
        (Thinking(Effort.MEDIUM), set(), {}, {}, 4096),
        (Thinking(), set(), {"enable_thinking": False}, {}, 0),
        (Thinking(), set(), {"enable_thinking": True}, {}, None),
        (Thinking(), set(), {"other": 1}, {"other": 1}, None),
        (
            Thinking(Effort.HIGH),
            {"enable_thinking"},
            {"enable_thinking": False},
            {"enable_thinking": False},
            16_384,
        ),
    ],
)
def test_a_wish_for_thinking_is_told_to_the_template_or_becomes_a_budget(
    thinking: Thinking,
    known: set[str],
    given: dict[str, Any],
    variables: dict[str, Any],
    budget: int | None,
) -> None:
    own, names = conversation(template_kwargs=given), frozenset(known)
    assert with_variables(own, thinking, names).template_kwargs == variables
    assert thinking_budget(own, thinking, names) == budget


def thinker(request: TokenRequest) -> Iterator[int]:
    """Thinks until its block is closed, then answers; without a block, answers at once."""
    prompt = bytes(each for each in request.prompt_ids if each < 256)
    if prompt.endswith(b"<think>\n"):
        return iter(itertools.cycle(b"hm "))
    return iter([*b'{"a": 1}', END_ID])


async def events_of(request: GenerationRequest) -> list[GenerationEvent]:
    async with service_over(ScriptedBackend(thinker), chat_format=str(TEMPLATE)) as service:
        (generation,) = await service.prepare(request)
        return [event async for event in generation.events()]


@pytest.mark.parametrize("budget", [0, 4])
async def test_a_template_that_opens_thoughts_is_held_to_the_budget(budget: int) -> None:
    request = GenerationRequest("r", conversation(), thinking=Thinking(budget=budget))
    for structure in (None, JsonObject()):
        events = await events_of(replace(request, structure=structure, max_tokens=100))
        assert said(events) == ("hm hm "[:budget].strip(), '{"a": 1}')
        assert end_of(events).num_reasoning_tokens == budget


async def test_effort_none_closes_the_block_in_the_template() -> None:
    request = GenerationRequest("r", conversation(), thinking=Thinking(Effort.NONE), max_tokens=20)
    events = await events_of(request)
    assert (said(events), end_of(events).num_reasoning_tokens) == (("", '{"a": 1}'), 0)


async def test_thoughts_until_the_end_of_the_answer_leave_no_text() -> None:
    tools = (Tool("f"),)
    required = ToolChoice(ToolMode.REQUIRED)
    for fields in ({}, {"ending": Ending(stop=("hm",))}, {"sampling": SamplingWish(seed=1)}):
        request = GenerationRequest(
            "r", conversation(tools=tools), tool_choice=required, max_tokens=10
        )
        events = await events_of(replace(request, **fields))
        assert said(events) == ("hm hm hm h", "")
        assert end_of(events).finish_reason is FinishReason.LENGTH
