"""What an answer holds is told the same however its ids come: calls, stops, scores, ends."""

from dataclasses import dataclass, replace

import pytest

from backends.base import TokenRequest, TokenStep
from backends.scripted import END_ID, byte_vocabulary
from chat_formats.thoughts import KNOWN_THOUGHTS
from chat_formats.tool_calls.syntax import (
    HERMES,
    JSON_ANSWER,
    LLAMA3_JSON,
    MISTRAL_LIST,
    PYTHONIC,
    CallSyntax,
)
from core.events import (
    FinishReason,
    GenerationEvent,
    TextDelta,
)
from core.grammar import Grammar, GrammarKind
from core.sampling import SamplingPlan
from core.scores import ScoredToken
from serving.answers.progress import AnswerProgress, Plan
from serving.answers.rules import AnswerRules, CallRules, ThoughtRules
from serving.decoding import AnswerDecoder, TextRules
from tests.serving.said import Said, read

THINK = KNOWN_THOUGHTS[0]
ENDING = tuple(b"\n</think>\n\n")
GRAMMAR = Grammar(GrammarKind.REGEX, "[a-z]+")
PROMPT = tuple(b"prompt")
NAMES = frozenset({"f"})
CALL = '{"name": "f", "arguments": {"a": 1}}'
MARKED = f"<tool_call>\n{CALL}\n</tool_call>"
CUTS = [1, 2, 3, 7, 1000]


@dataclass(frozen=True)
class Asked:
    """How one answer is asked for."""

    rules: AnswerRules
    stop: tuple[str, ...] = ()
    max_tokens: int = 1000
    has_scores: bool = False
    cut: int = 1
    format_stop: tuple[str, ...] = ()


def run(asked: Asked, *answers: list[int] | bytes) -> tuple[Said, list[TokenRequest]]:
    """`answers` are those of an engine, one for each request."""
    tokens = TokenRequest(
        "r", PROMPT, asked.max_tokens, frozenset({END_ID}), SamplingPlan(), grammar=GRAMMAR
    )
    rules = TextRules(stop=asked.stop, format_stop=asked.format_stop)
    progress = AnswerProgress(
        Plan(tokens, asked.rules), lambda: AnswerDecoder(byte_vocabulary(), rules, len(PROMPT))
    )
    events, requests = progress.begin(), list[TokenRequest]()
    for answer in answers:
        if progress.is_over:
            break
        requests.append(progress.request)
        events += _steps(progress, [*answer, END_ID][: progress.request.max_tokens], asked)
    assert progress.is_over
    return read(events), requests


def _steps(progress: AnswerProgress, ids: list[int], asked: Asked) -> list[GenerationEvent]:
    events: list[GenerationEvent] = []
    request = progress.request
    for at in range(0, len(ids), asked.cut):
        part = tuple(ids[at : at + asked.cut])
        finish = None
        if at + asked.cut >= len(ids):
            finish = FinishReason.STOP if ids[-1] == END_ID else FinishReason.LENGTH
        scores = tuple(ScoredToken(each, -1.0, 1, ()) for each in part) if asked.has_scores else ()
        events += progress.feed(TokenStep(part, finish, scores=scores))
        if progress.is_over or progress.request is not request:
            break
    return events


def calling(syntax: CallSyntax = HERMES, *, is_parallel: bool = True) -> AnswerRules:
    return AnswerRules(calls=CallRules(syntax, NAMES, is_parallel))


def thinking(*, is_open: bool = True, calls: CallSyntax | None = None) -> AnswerRules:
    """A grammar waits for the answer."""
    thoughts = ThoughtRules(THINK, is_open, None, ENDING, tuple(b"\n\n"))
    rules = None if calls is None else CallRules(calls, NAMES, is_parallel=True)
    return AnswerRules(thoughts, rules, waits_for_answer=True)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("stop", ["\n", "}", "m", "name", '"a": 1', "</tool"])
def test_stop_strings_are_not_looked_for_in_calls(cut: int, stop: str) -> None:
    said, _ = run(Asked(calling(), (stop,), cut=cut), MARKED.encode())
    assert (said.calls, said.text) == ([("f", '{"a": 1}')], "")
    assert (said.end.finish_reason, said.end.stop) == (FinishReason.TOOL_CALLS, None)


@pytest.mark.parametrize("cut", CUTS)
def test_stop_strings_are_looked_for_before_and_behind_calls(cut: int) -> None:
    answer = f"See\n{MARKED} stop {MARKED}".encode()
    said, _ = run(Asked(calling(), ("stop",), cut=cut), answer)
    assert (said.calls, said.text) == ([("f", '{"a": 1}')], "See")
    assert (said.end.finish_reason, said.end.stop) == (FinishReason.TOOL_CALLS, "stop")
    said, _ = run(Asked(calling(), ("stop",), cut=cut), b"a stop " + MARKED.encode())
    assert (said.calls, said.text, said.end.finish_reason) == ([], "a ", FinishReason.STOP)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("written", [MARKED, f"<tool_call>\n{CALL}", '<tool_call>\n{"name": "f", '])
def test_the_formats_own_stop_strings_end_an_answer_in_a_call_too(cut: int, written: str) -> None:
    """Where a vocabulary lacks the token that ends a turn, its spelling does."""
    asked = Asked(calling(), (CALL[-2:], "<|nothing"), cut=cut, format_stop=("<|end|>",))
    said, _ = run(asked, f"a {written}<|end|> never".encode())
    has_call = written.endswith((CALL, MARKED[-5:]))
    assert said.calls == [("f", '{"a": 1}')] * has_call
    assert said.text == ("a" if has_call else f"a {written}")
    assert said.end.stop is None


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("stop", ["{", '"', "e", "res", "}"])
def test_stop_strings_are_not_looked_for_around_a_response(cut: int, stop: str) -> None:
    asked = Asked(calling(JSON_ANSWER), (stop, "stop"), cut=cut)
    said, _ = run(asked, b'{"response": "no stop here"}')
    assert (said.text, said.end.stop) == ("no ", "stop")
    said, _ = run(asked, f'{{"tool_calls": [{CALL}]}}'.encode())
    assert (said.text, said.calls) == ("", [("f", '{"a": 1}')])


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("syntax", [LLAMA3_JSON, PYTHONIC])
def test_what_turns_out_to_be_no_call_is_searched_again(cut: int, syntax: CallSyntax) -> None:
    for answer in (b'{"x": "a stop b"}', b"[1, 2 stop]"):
        said, _ = run(Asked(calling(syntax), ("stop",), cut=cut), answer)
        assert (said.text, said.end.stop) == (answer.partition(b"stop")[0].decode(), "stop")


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    ("syntax", "answer"),
    [
        (MISTRAL_LIST, f"[TOOL_CALLS] [{CALL}, {CALL}]"),
        (PYTHONIC, "[f(a=1), f(a=2)]"),
        (LLAMA3_JSON, f"{CALL}; {CALL}"),
        (HERMES, f"{MARKED}\n{MARKED} there"),
    ],
)
def test_one_call_is_all_where_calls_are_not_parallel(
    cut: int, syntax: CallSyntax, answer: str
) -> None:
    rules = calling(syntax, is_parallel=False)
    said, _ = run(Asked(rules, cut=cut), answer.encode())
    assert [(name, arguments.replace(" ", "")) for name, arguments in said.calls] == [
        ("f", '{"a":1}')
    ]
    assert (said.text, said.end.finish_reason) == ("", FinishReason.TOOL_CALLS)
    assert said.end.num_completion_tokens < len(answer) - 5


@pytest.mark.parametrize("is_parallel", [True, False])
def test_a_token_that_ends_a_call_may_begin_another_which_is_dropped(*, is_parallel: bool) -> None:
    """Of a vocabulary of long tokens."""
    vocabulary = byte_vocabulary()
    rules = calling(MISTRAL_LIST, is_parallel=is_parallel)
    for long in (f"[TOOL_CALLS] [{CALL}, {CALL}]", f"[TOOL_CALLS] [{CALL}, "):
        grown = replace(vocabulary, pieces=(*vocabulary.pieces, long.encode()))
        tokens = TokenRequest("r", PROMPT, 9, frozenset({END_ID}), SamplingPlan())
        progress = AnswerProgress(
            Plan(tokens, rules),
            lambda: AnswerDecoder(grown, TextRules(), 6),  # noqa: B023
        )
        step = TokenStep((len(grown) - 1, END_ID), FinishReason.STOP)
        said = read(progress.begin() + progress.feed(step))
        num_calls = long.count(CALL) if is_parallel else 1
        assert said.calls == [("f", '{"a": 1}')] * num_calls
        assert said.text == (", " if is_parallel and num_calls == 1 else "")


@pytest.mark.parametrize("cut", CUTS)
def test_what_may_have_become_a_marker_is_told_at_the_end(cut: int) -> None:
    rules = replace(thinking(is_open=False), waits_for_answer=False)
    for answer, thought, text in (("<think>a </thi", "a </thi", ""), (" <thi", "", " <thi")):
        said, _ = run(Asked(rules, cut=cut), answer.encode())
        assert (said.thought, said.text) == (thought, text)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    "answer",
    [f"a <b {MARKED}\n\nZ", f"<think>hm</think>\n\nb {MARKED}", "<tool_call> no", f"{MARKED}\n"],
)
def test_each_score_goes_out_once_and_in_order(cut: int, answer: str) -> None:
    rules = replace(calling(), thoughts=replace(thinking(), waits_for_answer=False).thoughts)
    assert rules.thoughts is not None
    rules = replace(rules, thoughts=replace(rules.thoughts, is_open=False))
    for stop in ((), ("Z", "xyz")):
        said, _ = run(Asked(rules, stop, has_scores=True, cut=cut), answer.encode())
        whole = answer.encode().removesuffix(b"Z") if stop else answer.encode()
        assert said.scored == whole


@pytest.mark.parametrize("cut", CUTS)
def test_scores_of_a_discarded_beginning_do_not_go_out(cut: int) -> None:
    asked = Asked(thinking(is_open=False), has_scores=True, cut=cut)
    said, _ = run(asked, b"HELLO", b"hello")
    assert (said.text, said.scored) == ("hello", b"hello")


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("first", [b"<", b" ", b"<thi"])
def test_a_beginning_that_is_cut_by_its_length_is_made_again(cut: int, first: bytes) -> None:
    asked = Asked(thinking(is_open=False), max_tokens=len(first), cut=cut)
    said, requests = run(asked, first + b"xxx", b"hello")
    assert said.text == "hello"[: len(first)]
    assert [request.grammar for request in requests] == [None, GRAMMAR]
    said, _ = run(Asked(thinking(is_open=False), ("\n",), cut=cut), b"\n", b"hello")
    assert (said.text, said.end.stop) == ("hello", None)


def test_a_grammar_holds_also_where_there_is_no_room_for_the_gap() -> None:
    for max_tokens in range(9, 16):
        said, requests = run(Asked(thinking(), max_tokens=max_tokens), b"</think>ABCDEFGHI", b"hi")
        assert requests[1].grammar is GRAMMAR
        num_left = max_tokens - len("</think>")
        has_gap = num_left > 2
        assert requests[1].max_tokens == num_left - 2 * has_gap
        assert said.text == "hi"[: requests[1].max_tokens]
    said, requests = run(Asked(thinking(), max_tokens=8), b"</think>ABC")
    assert (said.text, said.end.finish_reason) == ("", FinishReason.LENGTH)


def test_space_that_the_model_puts_behind_its_thoughts_is_not_put_there_twice() -> None:
    vocabulary = byte_vocabulary()
    for piece, gap in ((b">\n\n", b""), (b">", b"\n\n"), (b">X {", b"")):
        grown = replace(vocabulary, pieces=(*vocabulary.pieces, piece))
        tokens = TokenRequest("r", PROMPT, 99, frozenset({END_ID}), SamplingPlan(), grammar=GRAMMAR)
        progress = AnswerProgress(
            Plan(tokens, thinking(calls=LLAMA3_JSON)),
            lambda: AnswerDecoder(grown, TextRules(), 6),  # noqa: B023
        )
        ids = (*b"a</think", len(grown) - 1)
        events = progress.begin() + progress.feed(TokenStep(ids))
        assert progress.request.prompt_ids == PROMPT + ids + tuple(gap)
        events += progress.feed(TokenStep((*CALL.encode(), END_ID), FinishReason.STOP))
        said = read(events)
        assert (said.thought, said.text) == ("a", "")
        assert said.calls == [("f", '{"a": 1}')]


def test_later_requests_have_ids_of_their_own() -> None:
    for rules, answers in (
        (thinking(is_open=False), (b"x", b"hello")),
        (thinking(), (b"a</think>", b"hello")),
    ):
        _, requests = run(Asked(rules), *answers)
        assert len({request.id for request in requests}) == len(requests) == 2


def test_thoughts_that_end_where_there_is_no_room_to_close_them_are_all() -> None:
    said, requests = run(Asked(thinking(), max_tokens=12), b"abc", b"hello")
    assert (said.thought, said.text, len(requests)) == ("abc", "", 1)
    assert said.end.finish_reason is FinishReason.LENGTH
    assert said.end.num_completion_tokens == 3


def test_scores_go_out_with_what_their_tokens_say() -> None:
    tokens = TokenRequest("r", PROMPT, 99, frozenset({END_ID}), SamplingPlan())
    progress = AnswerProgress(
        Plan(tokens, calling()), lambda: AnswerDecoder(byte_vocabulary(), TextRules(), 6)
    )
    a, opening = (tuple(ScoredToken(b, -1.0, 1, ()) for b in text) for text in (b"a", b"<to"))
    assert progress.feed(TokenStep((*b"a",), scores=a)) == [TextDelta("a", a)]
    assert progress.feed(TokenStep((*b"<to",), scores=opening)) == []
    (said,) = progress.feed(TokenStep((*b"p",), scores=a))
    assert said == TextDelta("<top", (*opening, *a))


def test_a_budget_holds_for_a_second_draw_that_thinks() -> None:
    thoughts = ThoughtRules(THINK, False, 4, ENDING, tuple(b"\n\n"))
    rules = replace(thinking(is_open=False), thoughts=thoughts)
    said, requests = run(Asked(rules, max_tokens=99), b"x", b"<think>abcdefgh", b"hello")
    assert (said.thought, said.text, said.end.num_completion_tokens) == ("abc", "hello", 27)
    assert [request.grammar for request in requests] == [None, GRAMMAR, GRAMMAR]
    assert len({request.id for request in requests}) == 3
    assert requests[2].prompt_ids == PROMPT + tuple(b"<think>abc") + ENDING
    assert requests[2].max_tokens == 99 - len(b"<think>abc") - len(ENDING)


def test_what_was_thought_and_its_scores_are_kept_where_one_token_ends_thoughts_and_answers() -> (
    None
):
    vocabulary = byte_vocabulary()
    grown = replace(vocabulary, pieces=(*vocabulary.pieces, b" b</think>\n\nX"))
    tokens = TokenRequest("r", PROMPT, 99, frozenset({END_ID}), SamplingPlan(), grammar=GRAMMAR)
    progress = AnswerProgress(
        Plan(tokens, thinking()), lambda: AnswerDecoder(grown, TextRules(), len(PROMPT))
    )
    scores = tuple(ScoredToken(each, -1.0, 1, ()) for each in (97, 98))
    events = progress.begin() + progress.feed(TokenStep((97, len(grown) - 1), scores=scores))
    last = tuple(ScoredToken(each, -1.0, 1, ()) for each in b" hi?")
    events += progress.feed(TokenStep((*b" hi", END_ID), FinishReason.STOP, scores=last))
    said = read(events)
    assert (said.thought, said.text, said.scored) == ("a b", "hi", b"ab hi")


def test_the_tokens_that_were_reused_are_those_of_the_first_request() -> None:
    for is_spent, counts, expected in ((False, (3, 5, 40), 3), (True, (50, 50, 50), 6)):
        thoughts = ThoughtRules(THINK, True, 0 if is_spent else None, ENDING, ())
        rules = AnswerRules(thoughts, waits_for_answer=not is_spent)
        tokens = TokenRequest("r", PROMPT, 99, frozenset({END_ID}), SamplingPlan())
        progress = AnswerProgress(
            Plan(tokens, rules),
            lambda: AnswerDecoder(byte_vocabulary(), TextRules(), len(PROMPT)),
        )
        events = progress.begin()
        if not is_spent:
            events += progress.feed(TokenStep(tuple(b"a"), num_cached=counts[0]))
            events += progress.feed(TokenStep(tuple(b"</think>"), num_cached=counts[1]))
        events += progress.feed(TokenStep((*b"b", END_ID), FinishReason.STOP, counts[2]))
        assert read(events).end.num_cached_tokens == expected


@pytest.mark.parametrize("cut", CUTS)
def test_a_broken_call_ends_an_answer_without_parallel_calls(cut: int) -> None:
    for syntax, answer in (
        (LLAMA3_JSON, b'{"name": "f", "parameters": {"a": 1]}} and more'),
        (HERMES, b'<tool_call>{"name": "f", "arguments": {"a": 1]}} and more'),
    ):
        said, _ = run(Asked(calling(syntax, is_parallel=False), cut=cut), answer)
        assert (said.calls, said.text.strip("]")) == ([("f", '{"a": 1')], "")


def test_a_second_draw_that_thinks_is_read_as_thoughts() -> None:
    said, _ = run(Asked(thinking(is_open=False)), b"x", b"<think>a</think>\n\nb")
    assert (said.thought, said.text) == ("a", "b")
    assert said.end.num_reasoning_tokens == len(">a</think>")
