"""An answer of another server: asked lazily, once, of the first kind of server that can."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest
from pydantic import SecretStr

from backends.upstream import StreamedReply, UpstreamReply, WholeReply
from core.errors import (
    UnsupportedField,
    UpstreamFailed,
    UpstreamFailure,
    UpstreamFault,
    UpstreamRefused,
)
from core.events import FinishReason, GenerationEnd, GenerationEvent, TextDelta
from core.messages import Conversation, Message
from core.requests import Ending, GenerationRequest, SamplingWish
from core.upstreams import UpstreamKind
from serving.remote.answers import RemoteAnswer, RemoteAnswers
from serving.remote.prompt_start import conversation_start
from tests.serving.remote.chunk_bodies import STOP, call, delta, sse, usage
from tests.serving.remote.made_host import DONE, MadeEvents, MadeHost, place, target

pytestmark = pytest.mark.asyncio

TALK = Conversation((Message("user", "hi"),))
GOOD = [sse(delta(content="He")), sse(delta(content="llo")), sse(STOP), sse(usage(3, 2)), DONE]
HELLO = [TextDelta("He"), TextDelta("llo"), GenerationEnd(FinishReason.STOP, 3, 2)]
BROKEN = UpstreamFailed("gone", UpstreamFailure("far", UpstreamFault.CONNECTION))


def request(**fields: Any) -> GenerationRequest:
    return GenerationRequest(**{"id": "r", "prompt": TALK, **fields})


def streamed(items: Sequence[bytes], error: UpstreamFailed | None = None) -> StreamedReply:
    return StreamedReply("jarvis", MadeEvents(items, error))


def whole(body: bytes, status: int = 200) -> WholeReply:
    return WholeReply("jarvis", status, "application/json", body)


class Begun:
    """Whose answers have begun."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, upstream: str) -> None:
        self.names.append(upstream)


def prepared(host: MadeHost, *kinds: UpstreamKind, **fields: Any) -> RemoteAnswer:
    return RemoteAnswers(host).prepare(request(**fields), target(*kinds), Begun())


async def events_of(answer: RemoteAnswer) -> list[GenerationEvent]:
    return [event async for event in answer.events()]


async def put(answer: RemoteAnswer, found: list[GenerationEvent]) -> None:
    """Each event into the list as it comes."""
    async for event in answer.events():
        found.append(event)


async def read(*replies: UpstreamReply | UpstreamFailed) -> list[GenerationEvent]:
    return await events_of(prepared(MadeHost(list(replies))))


async def test_nothing_is_sent_before_the_events_are_read() -> None:
    host, begun = MadeHost([streamed(GOOD)]), Begun()
    answer = RemoteAnswers(host).prepare(
        request(max_tokens=9), target(), begun, SecretStr("client's")
    )
    assert (host.calls, begun.names) == ([], [])
    assert (answer.choice, answer.max_tokens, answer.num_prompt_tokens) == (0, 9, 0)
    assert await events_of(answer) == HELLO
    assert begun.names == ["jarvis"]
    assert (answer.num_prompt_tokens, answer.num_completion_tokens) == (3, 2)
    ((sent, places),) = host.calls
    assert places == (place(UpstreamKind.JARVIS),)
    assert (sent.id, sent.path, sent.is_stream) == ("r", "chat/completions", True)
    assert sent.prompt_start == conversation_start(TALK)
    assert sent.client_key == SecretStr("client's")
    assert host.bodies == [
        {
            "messages": [{"role": "user", "content": "hi"}],
            "max_tokens": 9,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]


async def test_a_stream_is_read_to_its_end_and_closed() -> None:
    """Else what watches it could not tell that it was a good one."""
    reply = streamed(GOOD)
    assert await read(reply) == HELLO
    assert isinstance(reply.events, MadeEvents)
    assert (reply.events.was_read_to_its_end, reply.events.is_closed) == (True, True)


async def test_what_comes_behind_the_end_spoils_nothing() -> None:
    assert await read(streamed([*GOOD, b"data: {{{\n\n"])) == HELLO
    assert await read(streamed(GOOD, BROKEN)) == HELLO
    assert await read(streamed([b"".join(GOOD) + b"data: {{{\n\n"])) == HELLO


@pytest.mark.parametrize("num_read", range(3))
async def test_closing_the_events_closes_the_stream_at_once(num_read: int) -> None:
    reply = streamed(GOOD)
    assert isinstance(reply.events, MadeEvents)
    answer = prepared(MadeHost([reply]))
    async with aclosing(answer.events()) as events:
        for _ in range(num_read):
            await anext(events)
        assert not reply.events.is_closed
    assert reply.events.is_closed is (num_read > 0)
    assert answer.num_completion_tokens == num_read


async def test_any_framing_of_events_is_read() -> None:
    lines = [b": a comment", b"event: x", b"id: 1", b"retry: 9", b"", b"data:" + sse(STOP)[6:-2]]
    text = sse(delta(content="a")).replace(b"\n", b"\r\n")
    split = b'data: {"choices":\ndata: []}\n\n'
    items = [text, split, b"\r".join(lines) + b"\r\r", b"data:[DONE]\n\n"]
    assert await read(streamed(items)) == [TextDelta("a"), GenerationEnd(FinishReason.STOP, 0, 1)]


async def test_a_stream_that_was_asked_for_may_come_whole() -> None:
    body = (
        b'{"choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}],'
        b' "usage": {"prompt_tokens": 3, "completion_tokens": 2}}'
    )
    assert await read(whole(body)) == [
        TextDelta("Hello"),
        GenerationEnd(FinishReason.STOP, 3, 2),
    ]


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"error": "no"}', b'{"choices": []}'])
async def test_a_whole_body_that_is_no_answer_fails(body: bytes) -> None:
    with pytest.raises(UpstreamFailed) as failed:
        await read(whole(body))
    assert failed.value.failure.fault is UpstreamFault.BROKEN


@pytest.mark.parametrize("status", [100, 204, 302, 500])
async def test_a_status_that_says_nothing_fails(status: int) -> None:
    with pytest.raises(UpstreamFailed):
        await read(whole(b"", status))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "too long", "code": 400}}', "too long"),
        (b'{"error": "too long"}', "too long"),
        (b'{"object": "error", "message": "too long"}', "too long"),
        (b'{"detail": "too long"}', "too long"),
        (b'{"detail": [{"loc": []}]}', "status 422"),
        (b"<html>", "status 422"),
        (b"[" * 100_000, "status 422"),
    ],
)
async def test_a_refusal_is_the_servers_own(body: bytes, said: str) -> None:
    host, begun = MadeHost([whole(body, 422)]), Begun()
    answer = RemoteAnswers(host).prepare(request(), target(), begun)
    with pytest.raises(UpstreamRefused, match=said) as refused:
        await events_of(answer)
    error = refused.value
    assert (error.upstream, error.status, error.body) == ("jarvis", 422, body)
    assert error.media_type == "application/json"
    assert begun.names == []


async def test_every_cut_of_a_stream_is_a_beginning_and_a_failure() -> None:
    """A stream that breaks gives what came whole, then its failure, and no end."""
    items = [*GOOD[:2], sse(call(0, '{"a": 1}', id="c", name="f")), *GOOD[2:]]
    full = await read(streamed(items))
    for cut in range(len(items)):
        for error in (BROKEN, None):
            found: list[GenerationEvent] = []
            with pytest.raises(UpstreamFailed):
                await put(prepared(MadeHost([streamed(items[:cut], error)])), found)
            assert found == full[: len(found)]
            assert not any(isinstance(event, GenerationEnd) for event in found)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_how_events_are_joined_makes_no_difference(size: int) -> None:
    items = [b"".join(GOOD[at : at + size]) for at in range(0, len(GOOD), size)]
    assert await read(streamed(items)) == HELLO


async def test_what_came_before_a_broken_event_is_told() -> None:
    answer = prepared(MadeHost([streamed([GOOD[0] + b"data: {\n\n"])]))
    found: list[GenerationEvent] = []
    with pytest.raises(UpstreamFailed):
        await put(answer, found)
    assert found == [TextDelta("He")]


async def test_servers_of_another_kind_are_asked_in_their_own_words() -> None:
    host = MadeHost([streamed(GOOD)])
    kinds = (UpstreamKind.VLLM, UpstreamKind.OPENAI)
    assert await events_of(prepared(host, *kinds, max_tokens=5)) == HELLO
    places = tuple(map(place, kinds))
    assert [asked for _, asked in host.calls] == [places], "the host chooses among all"
    bodies = [host.body_for(0, each) for each in places]
    assert [body.get("max_tokens") for body in bodies] == [5, None]
    assert [body.get("max_completion_tokens") for body in bodies] == [None, 5]


async def test_the_hosts_failure_is_the_answers() -> None:
    with pytest.raises(UpstreamFailed, match="gone"):
        await events_of(prepared(MadeHost([BROKEN]), UpstreamKind.VLLM, UpstreamKind.OPENAI))


async def test_servers_that_can_not_honour_a_field_are_left_out() -> None:
    host = MadeHost([streamed(GOOD)])
    kinds = (UpstreamKind.OPENAI, UpstreamKind.VLLM)
    sampling = SamplingWish(min_tokens=1)
    assert await events_of(prepared(host, *kinds, sampling=sampling)) == HELLO
    assert [places for _, places in host.calls] == [(place(UpstreamKind.VLLM),)]
    with pytest.raises(UnsupportedField, match="min_tokens"):
        prepared(host, UpstreamKind.OPENAI, sampling=sampling)


async def test_a_stop_string_that_vllm_tells_is_told() -> None:
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": "END"}]}
    answer = prepared(MadeHost([streamed([sse(end), DONE])]), ending=Ending(stop=("END",)))
    assert await events_of(answer) == [GenerationEnd(FinishReason.STOP, 0, 0, stop="END")]


async def test_who_asks_of_a_reply_may_fail() -> None:
    """The stream is closed then too."""

    def fails(_: str) -> None:
        raise ValueError("made up")

    reply = streamed(GOOD)
    answer = RemoteAnswers(MadeHost([reply])).prepare(request(), target(), fails)
    with pytest.raises(ValueError, match="made up"):
        await events_of(answer)
    assert isinstance(reply.events, MadeEvents)
    assert reply.events.is_closed
