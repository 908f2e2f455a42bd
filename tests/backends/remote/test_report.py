"""What --check says."""

import asyncio
from typing import Any

from pydantic import SecretStr

from backends.remote.report import check_report
from core.upstreams import Upstream, UpstreamKind, UpstreamPlan
from tests.backends.remote.documents import Document, DocumentWire, failure, listing
from tests.faulty_upstream import faulty_upstream, refusing_url
from tests.upstream_answers import METRICS, good_upstream, status

SECRET = "sk-very-secret-0123456789"
VLLM = UpstreamKind.VLLM


def report(
    models: Document, metrics: Document = 404, /, *, local: tuple[str, ...] = (), **fields: Any
) -> tuple[list[str], bool]:
    """The lines about one upstream, without the time, and whether it can serve."""
    plans = {
        name: fields.pop(name) for name in ("fallbacks", "default_fallbacks") if name in fields
    }
    upstream = Upstream("box", VLLM, ("http://box/v1",), **fields)
    wire = DocumentWire(models=models, metrics=metrics)
    plan = UpstreamPlan((upstream,), **plans)
    text, is_good = asyncio.run(check_report(plan, local, lambda _upstream, _url: wire))
    assert wire.num_closed == 1
    assert all(line.isprintable() for line in text.splitlines())
    return text.replace("in 0 ms", "in N ms").splitlines(), is_good


async def test_servers_are_asked_over_http_and_told_of_one_by_one() -> None:
    key = SecretStr(SECRET)
    with refusing_url() as nobody:
        async with good_upstream("a", "b") as good, faulty_upstream(status(401)) as locked:
            upstreams = (
                Upstream("box", VLLM, (good.url, nobody), api_key=key),
                Upstream("locked", UpstreamKind.OPENAI, (locked.url,), api_key=key, priority=2),
            )
            text, is_good = await check_report(UpstreamPlan(upstreams))
    lines = text.splitlines()
    assert not is_good
    assert lines[0] == "box (vllm, priority 0)"
    assert lines[1].startswith(f"  {good.url}: reachable in ")
    assert lines[1].endswith(" ms, 2 running, 1 waiting, KV cache 25% full")
    assert lines[2].startswith(f"  {nobody}: NOT REACHABLE: ")
    assert lines[3] == "  models (2): a (max_model_len 4096), b (max_model_len 4096)"
    assert lines[4] == "locked (openai, priority 2)"
    assert lines[5].startswith(f"  {locked.url}: NOT USABLE in ")
    assert lines[5].endswith("it refuses the API key (status 401)")
    assert lines[6] == "  models: none known"
    assert SECRET not in text


def test_all_well_is_good() -> None:
    lines, is_good = report(listing("a"))
    assert is_good
    assert lines == [
        "box (vllm, priority 0)",
        "  http://box/v1: reachable in N ms",
        "  models (1): a",
    ]


def test_of_many_models_twenty_are_shown() -> None:
    lines, _ = report(listing(*(f"m{number}" for number in range(25))))
    assert lines[2].startswith("  models (25): m0, m1, ")
    assert lines[2].endswith(", m19, and 5 more")


def test_lengths_are_shown_where_they_are_numbers() -> None:
    assert report(listing("a", context_length=8))[0][2] == "  models (1): a (max_model_len 8)"
    for odd in (True, "8", None, [1], 10**40):
        assert report(listing("a", max_model_len=odd))[0][2].startswith("  models (1): a")


def test_configured_names_that_the_server_does_not_list_are_pointed_out() -> None:
    lines, is_good = report(
        listing("org/a"), models={"a": "org/a", "b": "org/b"}, default_model="typo"
    )
    assert is_good
    assert lines[2:] == [
        "  models (3): a (there org/a), b (there org/b), typo",
        "  not in the server's list: org/b, typo",
    ]


def test_a_server_without_a_list_still_serves_what_is_configured() -> None:
    lines, is_good = report(404, models={"a": "a"})
    assert is_good
    assert lines[1].endswith("it has no list of models there (status 404); the URL may lack /v1")
    assert lines[2:] == ["  models (1): a"]


def test_fallbacks_that_nobody_has_are_pointed_out() -> None:
    fallbacks = {"a": ("box/a", "box://b", "mine"), "c": ()}
    lines, _ = report(
        listing("a"), local=("mine",), fallbacks=fallbacks, default_fallbacks=("a", "d")
    )
    assert lines[3:] == [
        "model_fallbacks: nobody is known to have d, which is in the default list",
        "model_fallbacks: nobody is known to have box://b, which is in the list of a",
        "model_fallbacks: nobody is known to have c, which has a list",
    ]
    assert len(report(listing("a"), local=("*",), fallbacks=fallbacks)[0]) == 3


def test_what_a_server_says_can_not_reach_the_terminal() -> None:
    assert report(failure(message="a\x1b[31m\nb"))[0][1].endswith("NOT REACHABLE: a?[31m?b")
    assert report(listing("a\x1b[31m"), METRICS)[0][2] == "  models: none known"


def test_no_upstreams_are_said() -> None:
    assert asyncio.run(check_report(UpstreamPlan())) == ("no upstreams", True)
