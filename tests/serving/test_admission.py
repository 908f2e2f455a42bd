"""What a request wants becomes what an engine is asked for, or is refused before it is asked."""

from dataclasses import replace

import pytest

from backends.scripted import END_ID, ByteTokenizer, ScriptedBackend
from core.errors import ContextLengthExceeded, InvalidValue, UnsupportedField
from core.grammar import Grammar, GrammarKind
from core.requests import Ending, GenerationRequest, SamplingWish, View
from core.sampling import SamplingPlan, Seed
from core.structures import Regex
from serving.admission import MAX_SCORES, Admission, AnswerTerms, check_scores
from serving.encoding import EncodedPrompt
from serving.generation import Task

HELLO = EncodedPrompt("hello", tuple(b"hello"), (END_ID,), ("STOP",))
DEFAULTS = SamplingPlan(temperature=0.5, top_k=7)


@pytest.fixture
async def admission() -> Admission:
    backend = ScriptedBackend(lambda _: b"", context_window=20)
    await backend.start(lambda _: None)
    return Admission(backend.card, ByteTokenizer(), DEFAULTS)


def wanted(**fields: object) -> GenerationRequest:
    return replace(GenerationRequest("r", "hello", max_tokens=4), **fields)  # type: ignore[arg-type]


def only(tasks: list[Task]) -> Task:
    (task,) = tasks
    return task


async def test_what_a_request_does_not_say_has_its_default(admission: Admission) -> None:
    plan = only(admission.tasks(wanted(), HELLO, AnswerTerms())).tokens.sampling
    assert plan == DEFAULTS
    given = SamplingWish(given={"temperature": 0.0, "top_k": None, "presence_penalty": 1.0})
    plan = only(admission.tasks(wanted(sampling=given), HELLO, AnswerTerms())).tokens.sampling
    assert plan == SamplingPlan(temperature=0.0, top_k=None, presence_penalty=1.0)


async def test_choices_of_one_seed_are_drawn_apart(admission: Admission) -> None:
    request = wanted(sampling=SamplingWish(seed=9), num_choices=3)
    seeds = [task.tokens.sampling.seed for task in admission.tasks(request, HELLO, AnswerTerms())]
    assert seeds == [Seed(9, 0), Seed(9, 1), Seed(9, 2)]


async def test_banned_words_are_banned_with_and_without_a_space(admission: Admission) -> None:
    wish = SamplingWish(bad_words=("ab", " c", "ab", " "))
    plan = only(admission.tasks(wanted(sampling=wish), HELLO, AnswerTerms())).tokens.sampling
    assert plan.banned_sequences == (
        tuple(b"ab"),
        tuple(b" ab"),
        tuple(b"c"),
        tuple(b" c"),
        tuple(b" "),
        tuple(b"  "),
    )


@pytest.mark.parametrize(
    ("ending", "end_ids", "stops"),
    [
        (Ending(), {END_ID}, ("STOP",)),
        (Ending(stop=("x",), stop_token_ids=(5,)), {END_ID, 5}, ("x", "STOP")),
        (Ending(stop=("x",), stop_token_ids=(5,), ignores_eos=True), {5}, ("x",)),
    ],
)
async def test_what_ends_an_answer(
    admission: Admission, ending: Ending, end_ids: set[int], stops: tuple[str, ...]
) -> None:
    task = only(admission.tasks(wanted(ending=ending), HELLO, AnswerTerms()))
    assert (set(task.tokens.end_ids), (*task.rules.stop, *task.rules.format_stop)) == (
        end_ids,
        stops,
    )


async def test_scores_of_the_prompt_are_asked_for_where_they_are_shown(
    admission: Admission,
) -> None:
    def asked(view: View, num_choices: int = 1) -> list[int | None]:
        request = wanted(view=view, num_choices=num_choices)
        tasks = admission.tasks(request, HELLO, AnswerTerms())
        return [task.tokens.num_prompt_logprobs for task in tasks]

    assert asked(View(num_logprobs=3)) == [None]
    assert asked(View(echoes=True)) == [None]
    assert asked(View(num_logprobs=3, echoes=True)) == [3]
    assert asked(View(num_logprobs=3, num_prompt_logprobs=5, echoes=True)) == [5]
    assert asked(View(num_prompt_logprobs=0), 2) == [0, 0]


async def test_an_answer_of_no_tokens_asks_an_engine_for_one(admission: Admission) -> None:
    task = only(admission.tasks(wanted(max_tokens=0), HELLO, AnswerTerms()))
    assert (task.tokens.max_tokens, task.num_wanted) == (1, 0)


async def test_without_a_limit_an_answer_fills_the_window(admission: Admission) -> None:
    assert only(admission.tasks(wanted(max_tokens=None), HELLO, AnswerTerms())).num_wanted == 15
    with pytest.raises(ContextLengthExceeded, match="20 tokens; the prompt has 5 and 16 were"):
        admission.tasks(wanted(max_tokens=16), HELLO, AnswerTerms())


@pytest.mark.parametrize(
    ("wish", "param"),
    [
        (SamplingWish(logit_bias=((259, 1.0),)), "logit_bias"),
        (SamplingWish(allowed_token_ids=(1, 259)), "allowed_token_ids"),
        (SamplingWish(allowed_token_ids=(98,), bad_words=("ab",)), "allowed_token_ids"),
        (SamplingWish(allowed_token_ids=(END_ID,), min_tokens=1), "allowed_token_ids"),
        (SamplingWish(min_tokens=5), "min_tokens"),
    ],
)
async def test_wishes_that_no_engine_could_fulfil_are_refused(
    admission: Admission, wish: SamplingWish, param: str
) -> None:
    with pytest.raises(InvalidValue) as refusal:
        admission.tasks(wanted(sampling=wish), HELLO, AnswerTerms())
    assert refusal.value.param == param


async def test_stop_ids_outside_the_vocabulary_are_refused(admission: Admission) -> None:
    with pytest.raises(InvalidValue, match="stop_token_ids names the token id 259"):
        admission.tasks(wanted(ending=Ending(stop_token_ids=(259,))), HELLO, AnswerTerms())


async def test_fields_that_an_engine_does_not_have_are_refused_by_name() -> None:
    backend = ScriptedBackend(lambda _: b"")
    await backend.start(lambda _: None)
    card = replace(backend.card, unsupported_fields=frozenset({"seed", "min_p"}))
    admission = Admission(card, ByteTokenizer(), DEFAULTS)
    for wish, param in ((SamplingWish(seed=1), "seed"), (SamplingWish({"min_p": 0.0}), "min_p")):
        with pytest.raises(UnsupportedField, match="as it is set up") as refusal:
            admission.tasks(wanted(sampling=wish), HELLO, AnswerTerms())
        assert refusal.value.param == param
    assert admission.tasks(wanted(), HELLO, AnswerTerms())


async def test_a_grammar_needs_an_end_of_text() -> None:
    backend = ScriptedBackend(lambda _: b"")
    await backend.start(lambda _: None)
    vocabulary = replace(backend.card.vocabulary, eos_id=None)
    card = replace(backend.card, vocabulary=vocabulary)
    with pytest.raises(UnsupportedField, match="end-of-text"):
        Admission(card, ByteTokenizer(), DEFAULTS).tasks(
            wanted(structure=Regex("a")), HELLO, AnswerTerms(Grammar(GrammarKind.REGEX, "a"))
        )


async def test_scores_of_one_request_are_bounded() -> None:
    backend = ScriptedBackend(lambda _: b"", context_window=100_000)
    await backend.start(lambda _: None)
    admission = Admission(backend.card, ByteTokenizer(), DEFAULTS)

    def made(**fields: object) -> list[Task]:
        view = View(num_logprobs=20)
        return admission.tasks(wanted(view=view, **fields), HELLO, AnswerTerms())

    check_scores(made(max_tokens=MAX_SCORES // 21))
    with pytest.raises(InvalidValue, match="1048593 scores of tokens") as refusal:
        check_scores(made(max_tokens=MAX_SCORES // 21 + 1))
    assert refusal.value.param == "top_logprobs"
    with pytest.raises(InvalidValue, match="lower max_tokens, n or"):
        check_scores(made(max_tokens=10_000, num_choices=5))
    # Who names no length wishes for none.
    tasks = made(max_tokens=None, num_choices=128)
    assert {task.num_wanted for task in tasks} == {MAX_SCORES // 21 // 128}
    check_scores(tasks)
