"""Owns who sends when: every client its next request as soon as its last one ended."""

import asyncio
import time
from typing import Any

from benchmarks.client.connection import Connection, Exchange
from benchmarks.client.plan import Answer, Ask, ClientPlan, LoadPlan, LoadResult


async def run_load(plan: LoadPlan) -> LoadResult:
    """All clients to their ends. A refused or broken stream is an answer with an error."""
    run = _Run(plan)
    cpu_s = time.process_time()
    tasks = [asyncio.create_task(run.client(index)) for index in range(len(plan.clients))]
    per_client = await asyncio.gather(*tasks)
    answers = [answer for answers in per_client for answer in answers]
    return LoadResult(answers, time.process_time() - cpu_s)


class _Run:
    """What the clients of one load share: who is still running, and how far the background is."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        background = [index for index, client in enumerate(plan.clients) if client.is_background]
        waits = [client.after_events or 0 for client in plan.clients]
        self._events_left = dict.fromkeys(background, max(waits, default=0))
        self._is_under_way = asyncio.Event()
        self._num_foreground = len(plan.clients) - len(background)

    async def client(self, index: int) -> list[Answer]:
        plan = self._plan.clients[index]
        if plan.after_events is not None:
            await self._is_under_way.wait()
        try:
            return await self._ask_all(index, plan)
        finally:
            self._num_foreground -= not plan.is_background
            self._events_left.pop(index, None)
            self._look()

    async def _ask_all(self, index: int, plan: ClientPlan) -> list[Answer]:
        connection = Connection(self._plan.host, self._plan.port, self._plan.path)
        answers: list[Answer] = []
        messages: list[dict[str, str]] = []
        for ask in plan.asks:
            if plan.is_background and self._num_foreground == 0 and answers:
                break
            wanted = int(ask.body["max_tokens"])
            answers.append(Answer(index, 0.0, wanted, plan.is_background, []))
            exchange = Exchange(answers[-1], lambda: self._count(index))
            text = await connection.ask(_body(ask, messages), exchange)
            messages += [{"role": "assistant", "content": text}] if ask.user else []
        connection.close()
        return answers

    def _count(self, index: int) -> None:
        if self._events_left.get(index, 0) > 0:
            self._events_left[index] -= 1
            self._look()

    def _look(self) -> None:
        if not any(self._events_left.values()):
            self._is_under_way.set()


def _body(ask: Ask, messages: list[dict[str, str]]) -> dict[str, Any]:
    if ask.user is None:
        return ask.body
    messages.append({"role": "user", "content": ask.user})
    return {**ask.body, "messages": messages}
