"""What requests hold all together is bounded, shared between accounts, and given back once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import QueueFull
from serving.shares import Share, Shares


def filled(shares: Shares, account: str, amount: int) -> list[Share]:
    """As many shares as it gets."""
    taken: list[Share] = []
    while True:
        try:
            taken.append(shares.take(account, amount))
        except QueueFull:
            return taken


def test_without_accounts_one_may_hold_all_of_it() -> None:
    shares = Shares(100, "things")
    taken = filled(shares, "", 10)
    assert (len(taken), shares.total) == (10, 100)
    with pytest.raises(QueueFull, match="the server holds 100 things, of 100 at most"):
        shares.take("", 1)
    taken[0].end()
    assert len(filled(shares, "", 5)) == 2


def test_each_account_leaves_as_much_as_it_holds() -> None:
    shares = Shares(120, "things")
    assert [len(filled(shares, name, 1)) for name in ("a", "b", "c")] == [60, 30, 15]
    with pytest.raises(QueueFull, match="the server holds 105 things, 60 of them this key's"):
        shares.take("a", 1)


def test_one_alone_may_hold_more_than_there_is() -> None:
    shares = Shares(10, "things")
    alone = shares.take("a", 0)
    alone.reach(30)
    alone.reach(40)
    with pytest.raises(QueueFull):
        shares.take("b", 1)
    alone.end()
    shares.take("b", 11).end()
    assert shares.total == 0


def test_what_can_not_grow_holds_what_it_held() -> None:
    shares = Shares(10, "things")
    one, other = shares.take("", 4), shares.take("", 4)
    with pytest.raises(QueueFull):
        one.reach(7)
    one.reach(3)
    assert (one.amount, shares.total) == (4, 8)
    other.end()
    other.end()
    assert shares.total == 4


def test_when_to_come_again_is_told_by_how_long_shares_were_held() -> None:
    now = 0.0
    shares = Shares(2, "things", clock=lambda: now)
    first, second = shares.take("", 1), shares.take("", 1)
    now = 40.0
    first.end()
    shares.take("", 1)
    with pytest.raises(QueueFull) as refusal:
        shares.take("", 1)
    assert refusal.value.retry_after_s == 20.0
    second.end()


STEPS = st.lists(
    st.tuples(st.sampled_from("tre"), st.sampled_from(("", "a", "b")), st.integers(0, 60))
)


@given(STEPS)
@settings(deadline=None)
def test_no_more_is_held_than_there_is_and_all_comes_back(
    steps: list[tuple[str, str, int]],
) -> None:
    shares, held = Shares(100, "things"), list[Share]()
    for kind, account, amount in steps:
        try:
            if kind == "t":
                held.append(shares.take(account, amount))
            elif held and kind == "r":
                held[amount % len(held)].reach(amount * 2)
            elif held:
                held.pop(amount % len(held)).end()
        except QueueFull:
            pass
        assert shares.total == sum(share.amount for share in held)
        assert shares.total <= 100 or sum(share.amount > 0 for share in held) == 1
    for share in held:
        share.end()
    assert shares.total == 0
    shares.take("a", 101).end()
