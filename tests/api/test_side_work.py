"""Work that makes no answer: bounded, over in time, and in nobody's way."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from api.traffic import Traffic
from backends.scripted import END_ID, ByteTokenizer, ScriptedBackend
from serving.service import PROMPT_THREADS
from tests.api.served import HELLO, Served, error_of, served

# Long enough for a thread, of texts and of ids.
LONG = "a" * 5000
HELD = "held" + LONG
NUM_THREADS = 2
LONG_CHAT = [{"role": "user", "content": LONG}]
BODIES: dict[str, dict[str, Any]] = {
    "/tokenize": {"prompt": LONG},
    "/detokenize": {"tokens": [97] * 5000},
    "/apply-template": {"messages": LONG_CHAT},
    "/v1/chat/completions/render": {"messages": LONG_CHAT},
    "/v1/messages/count_tokens": {"model": "jarvis-tiny", "messages": LONG_CHAT},
    "/v1/responses/input_tokens": {"input": LONG},
}


class HoldingTokenizer(ByteTokenizer):
    """Holds each text that begins with `held` until it is let go."""

    def __init__(self) -> None:
        self.num_held = 0
        self.let_go = threading.Event()

    def encode(self, text: str, *, with_control: bool) -> list[int]:
        if text.startswith("held"):
            self.num_held += 1
            self.let_go.wait(20)
        return list(text.encode())


class HoldingBackend(ScriptedBackend):
    """Answers with nothing, over such a tokenizer."""

    def __init__(self) -> None:
        super().__init__(lambda _: [END_ID], context_window=1 << 20)
        self.holding = HoldingTokenizer()

    @property
    def tokenizer(self) -> HoldingTokenizer:
        return self.holding


class Crowd:
    """Texts that are held, by who asks for them."""

    def __init__(self, app: Served, holding: HoldingTokenizer) -> None:
        self.app = app
        self.holding = holding
        self.tasks: list[asyncio.Task[httpx.Response]] = []

    async def come(self, count: int, **headers: str) -> None:
        """Returns when they are under way, or as many as have threads."""
        asked = self.app.client.post
        self.tasks += [
            asyncio.create_task(asked("/tokenize", json={"prompt": HELD}, headers=headers))
            for _ in range(count)
        ]
        await self.are_active(len(self.tasks))
        while self.holding.num_held < min(len(self.tasks), NUM_THREADS):
            await asyncio.sleep(0)

    async def are_active(self, count: int) -> None:
        traffic: Traffic = self.app.application.state.traffic
        while traffic.num_active != count:
            await asyncio.sleep(0)

    async def statuses(self) -> list[int]:
        self.holding.let_go.set()
        return [each.status_code for each in await asyncio.gather(*self.tasks)]


@asynccontextmanager
async def crowded(count: int, **flags: str) -> AsyncIterator[Crowd]:
    """An application in which so many are held from the start."""
    backend = HoldingBackend()
    async with served(backend, **flags) as app:
        crowd = Crowd(app, backend.holding)
        try:
            await crowd.come(count)
            yield crowd
        finally:
            backend.holding.let_go.set()
            await asyncio.gather(*crowd.tasks, return_exceptions=True)


async def test_beyond_the_queue_is_a_429_that_says_when_to_come_back() -> None:
    async with crowded(NUM_THREADS + 1, JARVIS_MAX_QUEUE="1") as crowd:
        for path, body in BODIES.items():
            refused = await crowd.app.client.post(path, json=body)
            assert refused.status_code == 429, path
            assert int(refused.headers["retry-after"]) >= 1
            if path != "/v1/messages/count_tokens":
                assert error_of(refused)["code"] == "queue_full"
        # What takes no time waits for nobody, and answers have a queue of their own.
        short = await crowd.app.client.post("/tokenize", json={"prompt": "a"})
        chat = await crowd.app.chat(messages=LONG_CHAT)
        assert (short.status_code, chat.status_code) == (200, 200)
        assert await crowd.statuses() == [200] * 3
        for path, body in BODIES.items():
            answered = await crowd.app.client.post(path, json=body)
            assert answered.status_code == 200, answered.text


async def test_what_waits_for_a_thread_is_over_when_its_time_is() -> None:
    async with crowded(NUM_THREADS, JARVIS_REQUEST_TIMEOUT_S="0.3") as crowd:
        late = await asyncio.gather(
            *(crowd.app.client.post(path, json=body) for path, body in BODIES.items())
        )
        assert [each.status_code for each in late] == [408] * len(BODIES)
        # Nor are those waited for that are in a thread.
        holders = await asyncio.gather(*crowd.tasks)
        assert [each.status_code for each in holders] == [408] * NUM_THREADS


async def test_a_client_that_goes_leaves_its_place_to_the_next() -> None:
    async with crowded(NUM_THREADS + 1, JARVIS_MAX_QUEUE="1") as crowd:
        crowd.tasks.pop().cancel()
        await crowd.are_active(NUM_THREADS)
        await crowd.come(1)
        assert await crowd.statuses() == [200] * 3
    assert crowd.holding.num_held == 3


async def test_large_bodies_and_chats_do_not_wait_for_it() -> None:
    """More than the event loop's own threads are."""
    async with crowded(min(32, (os.cpu_count() or 1) + 4) + 2) as crowd:
        chat = await crowd.app.chat(messages=[*HELLO, {"role": "user", "content": "b" * 70_000}])
        assert chat.status_code == 200, chat.text
        assert crowd.holding.num_held == NUM_THREADS
        assert set(await crowd.statuses()) == {200}


async def test_an_answer_that_waits_for_its_prompt_is_over_when_its_time_is() -> None:
    async with crowded(0) as crowd:
        crowd.tasks += [
            asyncio.create_task(crowd.app.complete(prompt=HELD, max_tokens=1))
            for _ in range(PROMPT_THREADS)
        ]
        while crowd.holding.num_held < PROMPT_THREADS:
            await asyncio.sleep(0)
        message = {"model": "jarvis-tiny", "max_tokens": 1, "messages": LONG_CHAT, "timeout": 0.1}
        late = await asyncio.gather(
            crowd.app.chat(messages=LONG_CHAT, timeout=0.1),
            crowd.app.complete(prompt=LONG, timeout=0.1),
            crowd.app.client.post("/v1/messages", json=message),
        )
        assert [each.status_code for each in late] == [408] * 3
        assert await crowd.statuses() == [200] * PROMPT_THREADS


KEYS = "greedy=greedy-key-of-tests,modest=modest-key-of-tests"
GREEDY = {"authorization": "Bearer greedy-key-of-tests"}
MODEST = {"authorization": "Bearer modest-key-of-tests"}


async def test_no_key_has_all_places() -> None:
    async with crowded(0, JARVIS_MAX_QUEUE="2", JARVIS_API_KEYS=KEYS) as crowd:
        await crowd.come(NUM_THREADS, **GREEDY)
        for path in BODIES:
            refused = await crowd.app.client.post(path, json=BODIES[path], headers=GREEDY)
            assert refused.status_code == 429, path
        await crowd.come(1, **MODEST)
        assert await crowd.statuses() == [200] * 3
