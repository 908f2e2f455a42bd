"""No key of an upstream is in what is told of a failure; answers stay as they are."""

import json
from collections.abc import Mapping

import pytest
from pydantic import SecretStr

from backends.remote.blanking import Blanking
from backends.upstream import StreamedReply, WholeReply
from core.upstreams import Upstream, UpstreamKind
from tests.backends.remote.wires import call, failure_of, open_wire
from tests.faulty_upstream import Answer, faulty_upstream
from tests.upstream_answers import DONE, event, stream, whole

KEY = 'sk-"a/b\\c"-0123'


def blanking(key: str | None = KEY, headers: Mapping[str, str] | None = None) -> Blanking:
    return Blanking(
        Upstream(
            "a",
            UpstreamKind.OPENAI,
            ("http://a/v1",),
            api_key=None if key is None else SecretStr(key),
            extra_headers={name: SecretStr(text) for name, text in (headers or {}).items()},
        )
    )


@pytest.mark.parametrize(
    "spelled",
    [
        KEY,
        json.dumps(KEY)[1:-1],
        json.dumps(KEY, ensure_ascii=False)[1:-1],
        json.dumps(KEY)[1:-1].replace("/", "\\/"),
    ],
)
def test_a_key_is_hidden_however_it_is_spelled(spelled: str) -> None:
    text = b"<" + spelled.encode() + b"> x " + spelled.encode()
    assert blanking().of(text) == b"<***> x ***"


def test_values_of_headers_are_hidden_and_words_are_not() -> None:
    headers = {
        "authorization": "Basic dXNlcjpwYXNz",
        "x-title": "token",
        "x-org": "org-123456",
    }
    body = b"dXNlcjpwYXNz token org-123456 org-1234567"
    assert blanking(None, headers).of(body) == b"*** token *** ***7"


def test_a_server_without_secrets_hides_nothing() -> None:
    assert blanking(None).of(b"anything") == b"anything"


@pytest.mark.parametrize("status", [401, 429, 500])
async def test_a_refusal_and_a_failure_hold_no_key(status: int) -> None:
    answer = whole({"error": {"message": f"the key {KEY} is bad"}}, status)
    async with (
        faulty_upstream(answer) as server,
        open_wire(server.url, api_key=SecretStr(KEY)) as wire,
    ):
        if status == 401:
            reply = await wire.ask(call(), "m")
            assert isinstance(reply, WholeReply)
            body = reply.body
        else:
            body = (await failure_of(wire)).body
    assert json.loads(body) == {"error": {"message": "the key *** is bad"}}


async def test_a_document_holds_no_key() -> None:
    async with (
        faulty_upstream(whole({"data": [KEY]})) as server,
        open_wire(server.url, api_key=SecretStr(KEY)) as wire,
    ):
        assert json.loads((await wire.get("models")).body) == {"data": ["***"]}


async def test_an_answer_is_as_it_came_and_an_error_in_its_stream_holds_no_key() -> None:
    said = {"choices": [{"index": 0, "delta": {"content": f"error {KEY}"}}]}
    streamed: Answer = stream(event(said), event({"error": {"message": KEY}}), DONE)
    async with (
        faulty_upstream(whole(said), streamed) as server,
        open_wire(server.url, api_key=SecretStr(KEY)) as wire,
    ):
        plain = await wire.ask(call(), "m")
        assert isinstance(plain, WholeReply)
        assert json.loads(plain.body) == said
        reply = await wire.ask(call(is_stream=True), "m")
        assert isinstance(reply, StreamedReply)
        got = b"".join([piece async for piece in reply.events])
        await reply.events.aclose()
    assert got == event(said) + event({"error": {"message": "***"}})
