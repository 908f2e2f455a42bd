"""In what order alike servers are asked: who is preferred, for how long, and by weight."""

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from backends.remote.balancing import LOAD_FACTOR, Candidate, Standing, order

PROMPTS = [b"prompt %d" % index for index in range(3000)]


def idle(*weights: float) -> list[Candidate]:
    return [Candidate(b"server %d" % i, weight, 0) for i, weight in enumerate(weights)]


def loaded(*counts: int) -> list[Candidate]:
    return [Candidate(b"server %d" % i, 1.0, count) for i, count in enumerate(counts)]


candidates = st.lists(
    st.builds(
        Candidate,
        st.binary(min_size=1, max_size=6),
        st.floats(0.1, 10),
        st.integers(0, 50),
        st.sampled_from(Standing),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda each: each.key,
)


@settings(deadline=None)
@given(candidates, st.binary(max_size=20), st.integers(0, 2**40))
def test_everybody_has_one_place_in_the_order(
    some: list[Candidate], prompt_start: bytes, turn: int
) -> None:
    assert sorted(order(some, prompt_start, turn)) == list(range(len(some)))


def test_the_same_beginning_goes_to_the_same_server_at_any_turn() -> None:
    servers = idle(1, 1, 1)
    for prompt in PROMPTS[:50]:
        assert len({order(servers, prompt, turn) for turn in range(5)}) == 1


def test_the_order_does_not_depend_on_that_of_the_servers() -> None:
    servers = idle(1, 2, 3)
    for prompt in PROMPTS[:50]:
        there = [servers[i].key for i in order(servers, prompt, 0)]
        back = servers[::-1]
        assert [back[i].key for i in order(back, prompt, 0)] == there


@settings(deadline=None)
@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=6), st.data())
def test_a_server_that_goes_moves_its_own_prompts_alone(
    weights: list[float], data: st.DataObject
) -> None:
    servers = idle(*weights)
    gone = data.draw(st.sampled_from(servers))
    left = [each for each in servers if each is not gone]
    for prompt in PROMPTS[:20]:
        before = [servers[i].key for i in order(servers, prompt, 0)]
        after = [left[i].key for i in order(left, prompt, 0)]
        assert after == [key for key in before if key != gone.key]


def test_prompts_are_shared_by_weight() -> None:
    servers = idle(1, 2, 5)
    firsts = Counter(order(servers, prompt, 0)[0] for prompt in PROMPTS)
    for index, share in enumerate((1 / 8, 2 / 8, 5 / 8)):
        assert abs(firsts[index] / len(PROMPTS) - share) < 0.03


def test_idle_servers_share_requests_without_a_prompt_by_weight() -> None:
    servers = idle(1, 2, 5)
    firsts = Counter(order(servers, b"", turn)[0] for turn in range(3000))
    for index, share in enumerate((1 / 8, 2 / 8, 5 / 8)):
        assert abs(firsts[index] / 3000 - share) < 0.03


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=6), st.integers(0, 1000))
def test_without_a_prompt_the_least_outstanding_goes_first(counts: list[int], turn: int) -> None:
    chosen = [counts[i] for i in order(loaded(*counts), b"", turn)]
    assert chosen == sorted(counts)


def test_outstanding_requests_count_by_weight() -> None:
    servers = [Candidate(b"small", 1.0, 2), Candidate(b"large", 4.0, 7)]
    assert order(servers, b"", 0) == (1, 0)


@settings(deadline=None)
@given(
    st.lists(st.floats(0.2, 5), min_size=2, max_size=5),
    st.lists(st.sampled_from(PROMPTS[:3]), min_size=1, max_size=120),
)
def test_however_alike_prompts_are_nobody_gets_much_more_than_its_share(
    weights: list[float], prompts: list[bytes]
) -> None:
    servers = idle(*weights)
    for prompt in prompts:
        first = order(servers, prompt, 0)[0]
        taken = servers[first]
        servers[first] = replace(taken, num_outstanding=taken.num_outstanding + 1)
    for each in servers:
        fair = len(prompts) * each.weight / sum(weights)
        assert each.num_outstanding <= LOAD_FACTOR * fair + 2


def test_the_preferred_server_is_left_only_while_it_has_too_much() -> None:
    servers = loaded(0, 0, 0)
    preferred, second, _ = order(servers, b"hot", 0)
    counts = [2, 2, 2]
    counts[preferred] = 6
    assert order(loaded(*counts), b"hot", 0)[0] == second
    counts[preferred] = 5
    assert order(loaded(*counts), b"hot", 0)[0] == preferred


def test_one_that_waits_for_its_proof_goes_first_and_one_that_is_silent_last() -> None:
    for prompt in (b"", *PROMPTS[:20]):
        servers = [
            Candidate(b"silent", 9.0, 0, Standing.SILENT),
            Candidate(b"well", 1.0, 5),
            Candidate(b"returning", 1.0, 3, Standing.RETURNING),
        ]
        assert order(servers, prompt, 0) == (2, 1, 0)
