"""Which inputs an embedding engine computes together, and who gets the vectors."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backends.embedding import Vector
from backends.llama.embedder_queue import BatchLimits, EmbedderQueue, Input


def inputs_of(*lengths: int) -> list[tuple[int, ...]]:
    return [tuple(range(length)) for length in lengths]


def vector_of(each: Input) -> Vector:
    return np.array([each.key, each.index], dtype=np.float32)


def places(batch: list[Input]) -> list[tuple[int, int]]:
    return [(each.key, each.index) for each in batch]


def test_jobs_take_turns_so_that_a_large_one_holds_up_nobody() -> None:
    queue = EmbedderQueue(BatchLimits(num_tokens=12, num_inputs=8))
    queue.submit(1, inputs_of(*[4] * 5))
    assert places(queue.next_batch()) == [(1, 0), (1, 1), (1, 2)]
    queue.submit(2, inputs_of(4))
    assert places(queue.next_batch()) == [(1, 3), (2, 0), (1, 4)]
    assert not queue.has_work


def test_an_input_longer_than_a_batch_goes_alone() -> None:
    queue = EmbedderQueue(BatchLimits(num_tokens=8, num_inputs=8))
    queue.submit(1, inputs_of(2, 30, 2))
    assert [places(queue.next_batch()) for _ in range(3)] == [[(1, 0)], [(1, 1)], [(1, 2)]]
    assert queue.next_batch() == []


def test_a_batch_holds_no_more_inputs_than_the_engine_has_places() -> None:
    queue = EmbedderQueue(BatchLimits(num_tokens=100, num_inputs=3))
    queue.submit(1, inputs_of(1, 1, 1, 1))
    assert [len(queue.next_batch()), len(queue.next_batch())] == [3, 1]


def test_what_has_not_begun_is_dropped_by_an_abort_and_what_has_is_forgotten() -> None:
    queue = EmbedderQueue(BatchLimits(num_tokens=4, num_inputs=8))
    queue.submit(1, inputs_of(4, 4, 4))
    queue.submit(2, inputs_of(4))
    (begun,) = queue.next_batch()
    queue.abort(1)
    assert queue.accept(begun, vector_of(begun)) is None
    assert places(queue.next_batch()) == [(2, 0)]
    assert not queue.has_work
    queue.abort(1)
    queue.abort(77)


def test_an_abort_of_a_job_that_has_wholly_begun_gives_nothing_out() -> None:
    queue = EmbedderQueue(BatchLimits(num_tokens=4, num_inputs=8))
    queue.submit(1, inputs_of(4))
    (begun,) = queue.next_batch()
    queue.abort(1)
    assert queue.accept(begun, vector_of(begun)) is None


@given(
    st.lists(st.lists(st.integers(1, 20), min_size=1, max_size=9), min_size=1, max_size=8),
    st.integers(1, 16),
    st.integers(1, 6),
)
def test_every_job_gets_all_its_vectors_in_order(
    jobs: list[list[int]], num_tokens: int, num_inputs: int
) -> None:
    queue = EmbedderQueue(BatchLimits(num_tokens, num_inputs))
    for key, lengths in enumerate(jobs):
        queue.submit(key, inputs_of(*lengths))
    answers: dict[int, list[Vector]] = {}
    while queue.has_work:
        batch = queue.next_batch()
        assert 1 <= len(batch) <= num_inputs
        assert len(batch) == 1 or sum(len(each.token_ids) for each in batch) <= num_tokens
        for each in batch:
            complete = queue.accept(each, vector_of(each))
            if complete is not None:
                answers[each.key] = complete
    assert {key: [tuple(v) for v in vectors] for key, vectors in answers.items()} == {
        key: [(key, index) for index in range(len(lengths))] for key, lengths in enumerate(jobs)
    }
