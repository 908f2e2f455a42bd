"""The guard by itself: what it tells the application, and when a request of a key has ended."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from api.access.access import Access
from api.access.ceilings import capped, check_model, names_shown
from api.access.guard import NOBODY
from api.access.salts import TenantSalts
from core.access import EVERYBODY, Account, KeyLimits
from core.errors import InvalidValue, ModelNotServed
from core.observation import AnswerSummary, Outcome
from tests.api.access.guarded import access_of, bearer, written

KEY, OTHER = "one-" * 5, "two-" * 5
LIMITED = f"""
[keys.a]
key = "{KEY}"
concurrent_requests = 1
[keys.b]
key = "{OTHER}"
requests_per_minute = 2
tokens_per_minute = 50
"""
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@pytest.fixture
def access(tmp_path: Path) -> Access:
    return access_of(written(tmp_path, LIMITED))


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def call(
    access: Access, app: App, path: str = "/v1/completions", key: str = KEY, method: str = "POST"
) -> list[Message]:
    """All that was sent."""
    sent: list[Message] = []
    headers = [(name.encode(), value.encode()) for name, value in bearer(key).items()]
    scope = {"type": "http", "method": method, "path": path, "headers": headers, "state": {}}

    async def send(message: Message) -> None:
        sent.append(message)

    await access.guard(app)(scope, never, send)
    return sent


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    name = scope["state"]["account"].name.encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": name, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def headers_of(sent: list[Message]) -> dict[bytes, bytes]:
    return dict(sent[0]["headers"])


async def test_the_application_learns_whose_request_it_is(access: Access) -> None:
    for key, name in ((KEY, b"a"), (OTHER, b"b")):
        sent = await call(access, answer, key=key)
        assert (sent[0]["status"], sent[1]["body"]) == (200, name)


async def test_without_keys_everybody_is_one_account() -> None:
    accounts = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        accounts.append(scope["state"]["account"])

    for path in ("/metrics", "/v1/completions", "/health"):
        await call(Access(None), app, path=path)
    await call(access_of(KEY), app, path="/health", method="GET")
    assert accounts == [EVERYBODY, EVERYBODY, EVERYBODY, NOBODY]
    assert accounts[-1] is NOBODY


async def test_who_is_refused_is_no_account_and_reaches_nothing(access: Access) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("reached")

    assert (await call(access, app, key=KEY + "x"))[0]["status"] == 401
    assert (await call(access, app, path="/metrics"))[0]["status"] == 403


async def test_as_many_at_once_as_may_be(access: Access) -> None:
    is_there, go_on = asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        is_there.set()
        await go_on.wait()
        await answer(scope, receive, send)

    first = asyncio.create_task(call(access, slow))
    await is_there.wait()
    refused = await call(access, answer)
    assert refused[0]["status"] == 429
    assert headers_of(refused)[b"retry-after"] == b"1"
    assert (await call(access, answer, method="GET"))[0]["status"] == 200
    assert (await call(access, answer, path="/v1/responses/x/cancel"))[0]["status"] == 200
    go_on.set()
    assert (await first)[0]["status"] == 200
    assert (await call(access, answer))[0]["status"] == 200
    assert access.allowances.num_running("a") == 0


async def test_a_place_is_free_before_the_last_piece_is_sent(access: Access) -> None:
    """A client that reads the end may ask again at once."""
    running: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: Message) -> None:
            await send(message)
            running.append(access.allowances.num_running("a"))

        await answer(scope, receive, watched)

    await call(access, app)
    assert running == [1, 1, 0]


async def test_a_place_is_free_when_the_application_fails_or_is_cancelled(access: Access) -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise ConnectionResetError

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    for _ in range(3):
        with pytest.raises(ConnectionResetError):
            await call(access, failing)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call(access, waiting), 0.01)
    assert access.allowances.num_running("a") == 0


async def test_many_at_once_never_exceed_and_all_end(access: Access) -> None:
    most = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal most
        most = max(most, access.allowances.num_running("a"))
        await asyncio.sleep(0)
        await answer(scope, receive, send)

    sent = await asyncio.gather(*(call(access, app) for _ in range(200)))
    assert {each[0]["status"] for each in sent} == {200, 429}
    assert most == 1
    assert access.allowances.num_running("a") == 0


async def test_a_limited_keys_every_answer_tells_what_is_left(access: Access) -> None:
    left = []
    for method, path in (("GET", "/x"), ("POST", "/x"), ("POST", "/x"), ("POST", "/x")):
        sent = await call(access, answer, path=path, key=OTHER, method=method)
        left.append((sent[0]["status"], headers_of(sent)[b"x-ratelimit-remaining-requests"]))
    assert left == [(200, b"2"), (200, b"1"), (200, b"0"), (429, b"0")]
    refused = await call(access, answer, path="/metrics", key=OTHER)
    assert refused[0]["status"] == 403
    assert b"x-ratelimit-limit-tokens" in headers_of(refused)
    assert not any(b"ratelimit" in name for name in headers_of(await call(access, answer)))


async def test_a_refusal_says_when_and_why(access: Access) -> None:
    for _ in range(3):
        sent = await call(access, answer, key=OTHER)
    assert 1 <= int(headers_of(sent)[b"retry-after"]) <= 61
    assert b'"type":"rate_limit_error"' in sent[1]["body"].replace(b" ", b"")
    assert b"2 requests a minute" in sent[1]["body"]


@pytest.mark.parametrize("outcome", Outcome)
async def test_answers_are_charged_however_they_ended(access: Access, outcome: Outcome) -> None:
    await call(access, answer, key=OTHER)
    access.observer.answer_ended(
        AnswerSummary("id", "b", "m", outcome, num_prompt_tokens=30, num_completion_tokens=15)
    )
    sent = await call(access, answer, key=OTHER, method="GET")
    assert headers_of(sent)[b"x-ratelimit-remaining-tokens"] == b"5"
    access.observer.answer_ended(AnswerSummary("id", "b", "m", outcome, num_completion_tokens=5))
    assert (await call(access, answer, key=OTHER))[0]["status"] == 429


async def test_a_websocket_is_closed_unaccepted(access: Access) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await access.guard(answer)({"type": "websocket", "path": "/health"}, never, send)
    assert [each["type"] for each in sent] == ["websocket.close"]


async def test_nothing_that_is_logged_or_shown_holds_a_key(
    access: Access, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown = []
    for key in (KEY, OTHER, OTHER, OTHER, KEY + "x"):
        shown.append(repr(await call(access, answer, key=key)))
    ring = access.ring
    assert ring is not None
    text = caplog.text + "".join(shown) + repr(ring) + repr(access.__dict__)
    assert KEY not in text
    assert OTHER not in text


def test_a_ceiling_holds_where_there_is_one() -> None:
    limited = Account("a", limits=KeyLimits(max_tokens=10))
    assert capped(limited, None) == 10
    assert capped(limited, 10) == 10
    assert capped(EVERYBODY, None) is None
    assert capped(EVERYBODY, 10**6) == 10**6
    for value in (11, -1, 5.0, 1e9, "5", True, [5]):
        with pytest.raises(InvalidValue, match="ceiling of 10") as caught:
            capped(limited, value, "max_output_tokens")
        assert caught.value.param == "max_output_tokens"


def test_a_model_that_is_not_allowed_is_as_one_that_does_not_exist() -> None:
    names = ("tiny", "big", "alias")
    limited = Account("a", limits=KeyLimits(models=frozenset({"big", "gone"})))
    for name in ("tiny", "alias", "nothing", "x" * 9999, "", None):
        with pytest.raises(ModelNotServed) as caught:
            check_model(limited, name, names)
        assert (
            str(caught.value) == f"the model {(name or '')[:200]!r} is not served here; served: big"
        )
        assert caught.value.param == "model"
    for allowed in ("big", "gone"):
        check_model(limited, allowed, names)
    for nothing in ("", None):
        check_model(limited, nothing, ("big", "tiny"))
    for other in ("tiny", "nothing", None):
        check_model(EVERYBODY, other, names)
    assert names_shown(limited, names) == ("big",)
    assert names_shown(EVERYBODY, names) == names
    with pytest.raises(ModelNotServed, match="none for this key"):
        check_model(Account("a", limits=KeyLimits(models=frozenset({"x"}))), None, names)


ACCOUNTS = st.sampled_from([EVERYBODY, Account("a"), Account("ab"), Account("b")])
SALTS = st.none() | st.text("ab\x00\x01", max_size=4)


@settings(deadline=None, max_examples=50)
@given(ACCOUNTS, SALTS, ACCOUNTS, SALTS)
def test_no_two_keys_or_salts_share_a_salt(
    one: Account, given_one: str | None, other: Account, given_other: str | None
) -> None:
    salts = TenantSalts(b"secret" * 8)
    first, second = salts.of(one, given_one), salts.of(other, given_other)
    assert (first == second) == ((one, given_one) == (other, given_other))
    assert (first is None) == (one == EVERYBODY and given_one is None)
    assert first is None or (len(first) == 64 and int(first, 16) >= 0)


def test_salts_differ_between_processes() -> None:
    assert TenantSalts().of(Account("a"), None) != TenantSalts().of(Account("a"), None)
    assert "secret=" not in repr(TenantSalts())
    assert len(TenantSalts().of(Account("a"), "\ud800" * 10**6) or "") == 64
