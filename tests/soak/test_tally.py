"""The sums over what clients saw."""

from soak.ask import Ask
from soak.exchange import Ended, Reply
from soak.tally import Tally

CHAT = Ask("chat", "/chat", b"{}")


def reply(ended: Ended, status: int = 0, *, is_sent: bool = True) -> Reply:
    return Reply(status=status, ended=ended, is_sent=is_sent)


def test_each_request_is_counted_once() -> None:
    tally = Tally()
    for each in (
        reply(Ended.WHOLE, 200),
        reply(Ended.WHOLE, 429),
        reply(Ended.ABORTED, 200),
        reply(Ended.ABORTED),
        reply(Ended.DROPPED, 200),
        reply(Ended.ABORTED, is_sent=False),
    ):
        tally.add(CHAT, each)
    result = tally.result({})
    assert result.whole_by_status == {200: 1, 429: 1}
    assert (result.num_cut, result.num_unsent, result.num_sent) == (3, 1, 5)
    assert result.outcomes == {"chat": {"200": 1, "429": 1, "aborted": 3, "dropped": 1}}
    assert result.num_told == 5


def test_what_machines_ask_all_the_time_is_told_where_it_fails() -> None:
    tally = Tally()
    look = Ask("looks", "/health", method="GET")
    tally.add(look, reply(Ended.WHOLE, 200))
    tally.add(look, reply(Ended.WHOLE, 401))
    assert tally.result({}).num_told == 1


def test_only_clients_that_do_nothing_wrong_are_timed() -> None:
    tally = Tally()
    for kind in ("stream", "slow reader"):
        timed = reply(Ended.WHOLE, 200)
        timed.first_text_s, timed.gaps_s = 0.5, [0.1, 0.2]
        tally.add(Ask(kind, "/chat"), timed)
    result = tally.result({})
    assert (result.first_text_s, result.gaps_s) == ([0.5], [0.1, 0.2])


def test_faults_that_differ_in_ids_alone_are_one() -> None:
    tally = Tally()
    for what in ("status 500: id 0123456789abcdef", "status 500: id fedcba9876543210", "no end"):
        tally.add_fault("chat", what)
    faults = tally.result({}).faults
    assert [(fault.what, fault.count) for fault in faults] == [
        ("status 500: id 0123456789abcdef", 2),
        ("no end", 1),
    ]
