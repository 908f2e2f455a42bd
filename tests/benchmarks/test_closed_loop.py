"""The load client over real sockets, against a small server that follows a script."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from benchmarks.client.closed_loop import run_load
from benchmarks.client.plan import Ask, ClientPlan, LoadPlan
from benchmarks.loads import CHAT, COMPLETIONS, Chats, LongAmongRunning, Prompts
from benchmarks.servers.instant import answer as instant_answer

OPEN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@dataclass
class Script:
    """Writes what `answers` say, one after another; None closes the connection without a word."""

    answers: list[bytes | None]
    bodies: list[dict[str, Any]] = field(default_factory=list)
    num_connections: int = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        while self.answers and (body := await read_body(reader)) is not None:
            given = self.answers.pop(0)
            if given is None:
                break
            self.bodies.append(body)
            writer.write(given)
            await writer.drain()
        writer.close()


async def read_body(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
    found: dict[str, Any] = msgspec.json.decode(await reader.readexactly(int(length)))
    return found


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[int]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def stream(*texts: str, usage: int | None = None, is_chat: bool = False) -> bytes:
    choices = [{"delta": {"content": text}} if is_chat else {"text": text} for text in texts]
    chunks: list[dict[str, Any]] = [{"choices": [choice]} for choice in choices]
    if usage is not None:
        counted = {"prompt_tokens": 7, "completion_tokens": usage}
        cached = {"prompt_tokens_details": {"cached_tokens": 5}}
        chunks.append({"choices": [], "usage": {**counted, **cached}})
    events = b"".join(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks)
    events += b"data: [DONE]\n\n"
    return OPEN + b"%x\r\n%s\r\n0\r\n\r\n" % (len(events), events)


async def load(port: int, *clients: ClientPlan, path: str = COMPLETIONS) -> Any:
    return (await run_load(LoadPlan("127.0.0.1", port, path, list(clients)))).answers


def asks(count: int, wanted: int = 2) -> ClientPlan:
    return ClientPlan([Ask({"prompt": str(n), "max_tokens": wanted}) for n in range(count)])


async def test_a_client_sends_its_next_request_on_the_same_connection() -> None:
    script = Script([stream("a", "b", usage=2), stream("c", usage=2)])
    async with served(script.handle) as port:
        first, second = await load(port, asks(2))
    assert script.num_connections == 1
    assert [body["prompt"] for body in script.bodies] == ["0", "1"]
    assert (len(first.event_times_s), first.num_tokens, first.num_prompt_tokens) == (2, 2, 7)
    assert (len(second.event_times_s), second.num_tokens, second.num_cached_tokens) == (1, 2, 5)
    assert first.sent_s <= first.event_times_s[0] <= first.ended_s <= second.sent_s


async def test_a_connection_that_was_closed_in_between_is_opened_again() -> None:
    script = Script([stream("a"), None, stream("b")])
    async with served(script.handle) as port:
        answers = await load(port, asks(2))
    assert [answer.error for answer in answers] == [None, None]
    assert script.num_connections == 2


async def test_a_refusal_and_a_broken_stream_are_errors_of_their_requests() -> None:
    refusal = b"HTTP/1.1 400 Bad\r\nContent-Length: 4\r\n\r\nsigh"
    script = Script([refusal, stream("a")[:-8]])
    async with served(script.handle) as port:
        refused, broken = await load(port, asks(2))
    assert refused.error == "status 400: sigh"
    assert broken.error.startswith("the connection ended")


async def test_an_error_within_a_stream_is_told() -> None:
    script = Script([OPEN + b'1c\r\ndata: {"error":{"code":1}}\n\n\r\n0\r\n\r\n'])
    async with served(script.handle) as port:
        (answer,) = await load(port, asks(1))
    assert "code" in answer.error


async def test_a_conversation_grows_by_what_was_answered() -> None:
    script = Script([stream("", "he", "llo", is_chat=True), stream("x", is_chat=True)])
    turns = [Ask({"max_tokens": 2}, user="one"), Ask({"max_tokens": 1}, user="two")]
    async with served(script.handle) as port:
        first, _ = await load(port, ClientPlan(turns), path=CHAT)
    assert len(first.event_times_s) == 2
    said = [message["content"] for message in script.bodies[1]["messages"]]
    assert said == ["one", "hello", "two"]


async def test_the_late_one_waits_for_the_others_who_then_stop() -> None:
    plans = LongAmongRunning(2, words=9, tokens=3, running_tokens=8, after_events=20).plans("s")
    async with served(instant_answer) as port:
        answers = await load(port, *plans)
    late = [answer for answer in answers if not answer.is_background]
    assert [len(answer.event_times_s) for answer in late] == [3]
    for client in (0, 1):
        own = [answer for answer in answers if answer.client == client]
        before = sum(time_s < late[0].sent_s for each in own for time_s in each.event_times_s)
        assert before >= 20
        assert len(own) < 40


async def test_every_load_gets_all_its_tokens_from_the_instant_server() -> None:
    for each in (Prompts(3, requests=2), Prompts(2, words=4, shared=9), Chats(2, 3, words=5)):
        async with served(instant_answer) as port:
            answers = await load(port, *each.plans("seed"), path=each.path)
        assert all(answer.error is None for answer in answers)
        assert all(answer.num_tokens == answer.num_wanted == 64 for answer in answers)


def test_prompts_differ_but_for_what_is_shared() -> None:
    prompts = [
        ask.body["prompt"]
        for seed in ("a/0", "a/1")
        for client in Prompts(4, words=8, shared=8, requests=2).plans(seed)
        for ask in client.asks
    ]
    assert len(set(prompts)) == 16
    assert len({" ".join(prompt.split()[:8]) for prompt in prompts}) == 2
