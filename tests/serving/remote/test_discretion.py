"""No key of an upstream is in what is told of a failure; answers stay as they are."""

import json
from typing import Any

import pytest
from pydantic import SecretStr

from backends.upstream import StreamedReply, UpstreamCall, WholeReply
from core.errors import UpstreamFailed, UpstreamFailure, UpstreamFault
from core.upstreams import Upstream, UpstreamKind, UpstreamPlan
from serving.remote.discretion import DiscreetHost
from tests.serving.remote.made_host import MadeEvents, MadeHost

KEY = 'sk-"a/b\\c"-\u00e9-0123'
CALL = UpstreamCall("1", "chat/completions", {})


def host(*replies: Any, **fields: Any) -> DiscreetHost:
    secrets = {"api_key": SecretStr(KEY), **fields}
    there = Upstream("a", UpstreamKind.OPENAI, ("http://a/v1",), **secrets)
    return DiscreetHost(MadeHost(list(replies), plan=UpstreamPlan((there,))))


def refusal(body: bytes) -> WholeReply:
    return WholeReply("a", 401, "application/json", body)


async def body_of(body: bytes, **fields: Any) -> bytes:
    reply = await host(refusal(body), **fields).send(CALL, ())
    assert isinstance(reply, WholeReply)
    return reply.body


@pytest.mark.parametrize(
    "spelled",
    [
        KEY,
        json.dumps(KEY)[1:-1],
        json.dumps(KEY, ensure_ascii=False)[1:-1],
        json.dumps(KEY)[1:-1].replace("/", "\\/"),
    ],
)
async def test_a_key_is_hidden_however_it_is_spelled(spelled: str) -> None:
    assert await body_of(b"<" + spelled.encode() + b"> x " + spelled.encode()) == b"<***> x ***"


async def test_values_of_headers_are_hidden_and_words_are_not() -> None:
    headers = {
        "authorization": SecretStr("Basic dXNlcjpwYXNz"),
        "x-title": SecretStr("token"),
        "x-org": SecretStr("org-123456"),
    }
    body = b"dXNlcjpwYXNz token org-123456 org-1234567"
    told = await body_of(body, api_key=None, extra_headers=headers)
    assert told == b"*** token *** ***7"


async def test_an_answer_is_as_it_came() -> None:
    reply = WholeReply("a", 200, "application/json", KEY.encode())
    assert await host(reply).send(CALL, ()) is reply
    nobodys = WholeReply("b", 400, "application/json", KEY.encode())
    assert await host(nobodys).send(CALL, ()) is nobodys
    without = host(refusal(b"key"), api_key=None)
    assert await without.send(CALL, ()) == refusal(b"key")


async def test_a_failures_body_holds_no_key() -> None:
    body = KEY.encode() + b"!"
    failure = UpstreamFailure("a", UpstreamFault.STATUS, 429, "text/plain", body, 3.0)
    with pytest.raises(UpstreamFailed, match="said no") as caught:
        await host(UpstreamFailed("a said no", failure)).send(CALL, ())
    assert caught.value.failure == UpstreamFailure(
        "a", UpstreamFault.STATUS, 429, "text/plain", b"***!", 3.0
    )
    assert caught.value.__cause__ is None


async def test_events_pass_and_errors_among_them_hold_no_key() -> None:
    text, error = b"data: %b\n\n" % KEY.encode(), b'data: {"error":"%b"}\n\n' % KEY.encode()
    failure = UpstreamFailure("a", UpstreamFault.BROKEN, 500, "", KEY.encode())
    events = MadeEvents([text, error], UpstreamFailed("broke", failure))
    reply = await host(StreamedReply("a", events)).send(CALL, ())
    assert isinstance(reply, StreamedReply)
    assert await anext(reply.events) == text
    assert await anext(reply.events) == b'data: {"error":"***"}\n\n'
    with pytest.raises(UpstreamFailed) as caught:
        await anext(reply.events)
    assert caught.value.failure.body == b"***"
    await reply.events.aclose()
    assert events.is_closed
