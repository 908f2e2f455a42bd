"""Whatever a model's memory is like, answers are those of one sequence alone, id by id.

Small random models, one a kind, in which a single wrong cell changes the answer: see
scripts/memory_models/. Nothing here asks whether prefixes are reused, only that they do no harm.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from backends.llama.backend import LlamaBackend
from backends.llama.memory import MemoryFacts, MemoryKind
from backends.llama.options import LlamaOptions
from backends.llama.probing import ChildProbe
from core.lifecycle import LoadProgress
from core.setting_types import KvLayout
from scripts.memory_models.models import MAKERS, SLIDING_WINDOW, make_model
from tests.backends.llama.native_reference import NativeReference, assert_right
from tests.engines import Engine

pytestmark = pytest.mark.engine

KINDS = {
    "plain": MemoryKind.PLAIN,
    "sliding_window": MemoryKind.SLIDING_WINDOW,
    "recurrent": MemoryKind.RECURRENT,
    "hybrid": MemoryKind.HYBRID,
}
WINDOW = 512
# The plain model once more, in the other layout.
SEPARATE = "separate"


class Passed:
    """A probe that has nothing to try."""

    async def run(self) -> None: ...

    def cancel(self) -> None: ...


class Bench:
    """One model: the reference, and engines on it, with cells shared or each slot's own."""

    def __init__(self, path: Path, layout: KvLayout = KvLayout.SHARED) -> None:
        self.path = path
        self.layout = layout
        self.reference = NativeReference(path)

    def options(self, kv_tokens: int, num_slots: int) -> LlamaOptions:
        return LlamaOptions(
            self.path,
            "random",
            context_window=min(WINDOW, kv_tokens),
            kv_tokens=kv_tokens,
            num_slots=num_slots,
            layout=self.layout,
            batch_tokens=128,
            prefill_tokens=64,
            num_gpu_layers=0,
            num_threads=1,
            log_level="ERROR",
        )

    @asynccontextmanager
    async def engine(self, kv_tokens: int = 2048, num_slots: int = 8) -> AsyncIterator[Engine]:
        backend = LlamaBackend(self.options(kv_tokens, num_slots), Passed())
        reports: list[LoadProgress] = []
        await backend.start(reports.append)
        try:
            yield Engine("llama", backend, reports)
        finally:
            await backend.close()

    async def ask(self, engine: Engine, prompt: list[int], num_tokens: int) -> list[int]:
        """The answer, which must be right."""
        answer = await engine.answer(engine.request(tuple(prompt), num_tokens))
        assert len(answer.token_ids) == num_tokens
        assert_right(self.reference, prompt, answer.token_ids)
        return list(answer.token_ids)

    async def ask_all(self, engine: Engine, asked: list[tuple[list[int], int]]) -> None:
        await asyncio.gather(*(self.ask(engine, prompt, count) for prompt, count in asked))


@pytest.fixture(scope="module", params=[*MAKERS, SEPARATE])
def bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    is_separate = request.param == SEPARATE
    path = make_model("plain" if is_separate else request.param, tmp_path_factory.mktemp("models"))
    bench = Bench(path, KvLayout.SEPARATE if is_separate else KvLayout.SHARED)
    yield bench
    bench.reference.close()


@pytest.fixture
def rng() -> Random:
    return Random(7)


def ids(rng: Random, count: int) -> list[int]:
    return [rng.randrange(400) for _ in range(count)]


def test_each_model_has_the_memory_it_is_named_for(bench: Bench) -> None:
    is_recurrent, is_hybrid, sliding_window = bench.reference.facts
    facts = MemoryFacts(is_recurrent, is_hybrid, sliding_window or None)
    assert facts.kind(WINDOW) is KINDS[bench.path.stem]


def test_a_window_that_holds_the_whole_context_slides_past_nothing() -> None:
    facts = MemoryFacts(is_recurrent=False, is_hybrid=False, sliding_window=4096)
    assert facts.kind(4095) is MemoryKind.PLAIN
    assert facts.kind(4096) is MemoryKind.SLIDING_WINDOW


def test_only_cells_can_be_shared_in_part_and_dropped_from_the_end() -> None:
    assert [k for k in MemoryKind if k.can_share_prefix] == [
        MemoryKind.PLAIN,
        MemoryKind.SLIDING_WINDOW,
    ]
    assert [k for k in MemoryKind if k.can_drop_suffix != k.can_share_prefix] == []
    assert [k for k in MemoryKind if k.num_holders > 1] == [MemoryKind.SLIDING_WINDOW]


def test_the_models_are_the_same_bytes_each_time(bench: Bench, tmp_path: Path) -> None:
    assert make_model(bench.path.stem, tmp_path).read_bytes() == bench.path.read_bytes()


def test_other_prompts_get_other_answers_and_no_ties(bench: Bench, rng: Random) -> None:
    prompts = [tuple(ids(rng, count)) for count in (5, 40, 40, 90)]
    answers = [bench.reference.answer(prompt, 40) for prompt in prompts]
    assert len({answer.token_ids for answer in answers}) == len(prompts)
    assert all(len({*answer.token_ids}) > 10 for answer in answers)
    assert min(gap for answer in answers for gap in answer.gaps) > 1e-3


async def test_the_probe_lets_it_pass(bench: Bench, tmp_path: Path) -> None:
    await ChildProbe(bench.options(1024, 4), tmp_path).run()


async def test_one_request(bench: Bench, rng: Random) -> None:
    async with bench.engine() as engine:
        await bench.ask(engine, ids(rng, 20), 30)


async def test_a_prompt_of_one_id(bench: Bench, rng: Random) -> None:
    async with bench.engine() as engine:
        await bench.ask(engine, ids(rng, 1), 10)


async def test_longer_than_the_window_and_than_a_step(bench: Bench, rng: Random) -> None:
    async with bench.engine() as engine:
        await bench.ask(engine, ids(rng, 10 * SLIDING_WINDOW), 4 * SLIDING_WINDOW)


async def test_eight_at_once_of_unequal_lengths(bench: Bench, rng: Random) -> None:
    asked = [(ids(rng, 1 + 23 * number), 40 - 4 * number) for number in range(8)]
    async with bench.engine() as engine:
        await bench.ask_all(engine, asked)


async def test_more_at_once_than_there_are_slots(bench: Bench, rng: Random) -> None:
    asked = [(ids(rng, 5 + 7 * number), 5 + number % 3 * 10) for number in range(12)]
    async with bench.engine(num_slots=3) as engine:
        await bench.ask_all(engine, asked)


async def test_the_same_prompt_again(bench: Bench, rng: Random) -> None:
    prompt = ids(rng, 70)
    async with bench.engine() as engine:
        for _ in range(3):
            await bench.ask(engine, prompt, 20)
        await bench.ask_all(engine, [(prompt, 20)] * 4)


async def test_prompts_that_begin_alike_one_after_another(bench: Bench, rng: Random) -> None:
    shared = ids(rng, 200)
    async with bench.engine() as engine:
        for kept in (200, 200, 120, 199, 33, 1):
            await bench.ask(engine, shared[:kept] + ids(rng, 12), 12)


async def test_prompts_that_begin_alike_at_once(bench: Bench, rng: Random) -> None:
    shared = ids(rng, 100)
    async with bench.engine() as engine:
        await bench.ask_all(engine, [(shared + ids(rng, 3 + n), 15) for n in range(6)])
        await bench.ask_all(engine, [(shared[: 90 - n] + ids(rng, 3), 15) for n in range(6)])


async def test_back_to_the_beginning_after_a_long_answer(bench: Bench, rng: Random) -> None:
    prompt = ids(rng, 60)
    async with bench.engine() as engine:
        answer = await bench.ask(engine, prompt, 5 * SLIDING_WINDOW)
        await bench.ask(engine, prompt[:50] + ids(rng, 9), 12)
        await bench.ask(engine, prompt + answer[:20] + ids(rng, 9), 12)
        await bench.ask(engine, prompt, 40)


async def test_a_conversation_goes_on(bench: Bench, rng: Random) -> None:
    conversation = ids(rng, 30)
    async with bench.engine() as engine:
        for _ in range(5):
            conversation += await bench.ask(engine, conversation, 30)
            conversation += ids(rng, 10)


async def test_a_guess_that_does_not_hold(bench: Bench) -> None:
    prompt = prompt_that_invites_a_guess(bench.reference)
    async with bench.engine() as engine:
        await bench.ask(engine, prompt, 20)
        await bench.ask(engine, prompt, 20)


async def test_preempted_for_want_of_cells(bench: Bench, rng: Random) -> None:
    """6 x 149 cells do not fit into 512; each fits by its prompt."""
    async with bench.engine(kv_tokens=512) as engine:
        await bench.ask_all(engine, [(ids(rng, 60), 90) for _ in range(6)])


async def test_preempted_with_a_prefix_in_common(bench: Bench, rng: Random) -> None:
    shared = ids(rng, 50)
    async with bench.engine(kv_tokens=256) as engine:
        await bench.ask_all(engine, [(shared + ids(rng, 10), 90) for _ in range(6)])
        await bench.ask(engine, shared + ids(rng, 10), 20)


async def test_aborted_midway_then_others(bench: Bench, rng: Random) -> None:
    prompt = ids(rng, 90)
    async with bench.engine(num_slots=4) as engine:
        for _ in range(4):
            stream = engine.backend.generate(engine.request(tuple(prompt), 200))
            await anext(stream)
            await stream.aclose()
        await bench.ask(engine, prompt[:60] + ids(rng, 5), 20)
        await bench.ask(engine, prompt, 20)
        await bench.ask_all(engine, [(ids(rng, 30), 20) for _ in range(4)])


async def test_a_kept_prefix_whose_neighbours_went(bench: Bench, rng: Random) -> None:
    """What is computed next fills the cells that became free, and must not go on over others."""
    first, kept, last = ids(rng, 100), ids(rng, 200), ids(rng, 140)
    async with bench.engine(kv_tokens=512) as engine:
        for prompt in (first, kept, last):
            await bench.ask(engine, prompt, 2)
        await bench.ask(engine, kept, 2)
        await bench.ask(engine, ids(rng, 160), 2)
        await bench.ask(engine, kept[:40] + ids(rng, 5), 20)


@pytest.mark.parametrize("seed", range(3))
async def test_a_crowd_with_prefixes_in_common(bench: Bench, seed: int) -> None:
    rng = Random(seed)
    stems = [ids(rng, 150) for _ in range(4)]
    async with bench.engine(kv_tokens=512, num_slots=4) as engine:
        for _ in range(8):
            asked = [
                (rng.choice(stems)[: rng.randrange(1, 150)] + ids(rng, 5), rng.randrange(1, 50))
                for _ in range(rng.randrange(1, 6))
            ]
            await bench.ask_all(engine, asked)


def prompt_that_invites_a_guess(reference: NativeReference) -> list[int]:
    """One whose next id stands after its last two ids already, with others after it."""
    for seed in range(100):
        rng = Random(seed)
        left, right = ids(rng, 2)
        guesses = ids(rng, 60)
        prompt = [each for guess in guesses for each in (left, right, guess, rng.randrange(400))]
        prompt += [left, right]
        if reference.answer(tuple(prompt), 1).token_ids[0] in guesses:
            return prompt
    raise AssertionError("no prompt was found")
