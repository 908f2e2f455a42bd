"""Responses in the background: they run while nobody waits, and can be cancelled."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from api.cutoff import Cutoff
from api.request_watch import RequestWatch, WatchLabels
from api.responses.answer import ResponseAnswer
from api.responses.background import MAX_RUNNING, BackgroundRuns, Stay
from api.responses.output import ScoreView
from backends.scripted import byte_vocabulary
from core.errors import QueueFull
from tests.api.responses.asking import PATH, TEXT, greeting, output_text, post, respond
from tests.api.responses.strictly import check_response
from tests.api.served import Served, error_of, served
from tests.api.streams import Gate


class Opened:
    """The application with a gate before each of the engine's steps."""

    def __init__(self, app: Served, gate: Gate) -> None:
        self.app = app
        self.gate = gate

    async def get(self, response_id: str) -> dict[str, Any]:
        body: dict[str, Any] = (await self.app.client.get(f"{PATH}/{response_id}")).json()
        check_response(body)
        return body

    async def ended(self, response_id: str) -> dict[str, Any]:
        while (body := await self.get(response_id))["status"] in ("queued", "in_progress"):
            pass
        return body

    async def cancel(self, response_id: str) -> dict[str, Any]:
        answer = await self.app.client.post(f"{PATH}/{response_id}/cancel")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        check_response(body)
        return body


@pytest_asyncio.fixture
async def opened() -> AsyncIterator[Opened]:
    gate = Gate()
    async with served(greeting(gate=gate.passed)) as app:
        yield Opened(app, gate)


async def test_one_is_queued_then_runs_and_is_kept(opened: Opened) -> None:
    body = await respond(opened.app, background=True)
    assert (body["status"], body["background"], body["output"]) == ("queued", True, [])
    assert (await opened.get(body["id"]))["status"] == "queued"
    opened.gate.open(2)
    while (now := await opened.get(body["id"]))["status"] == "queued" or not now["output"]:
        pass
    assert (now["status"], now["usage"]) == ("in_progress", None)
    opened.gate.open()
    done = await opened.ended(body["id"])
    assert (done["status"], output_text(done)) == ("completed", TEXT)
    assert done["id"] == body["id"]
    assert done["usage"]["output_tokens"] > 0


async def test_it_outlives_the_connection_that_asked_for_it(opened: Opened) -> None:
    url = str(opened.app.client.base_url)
    async with httpx.AsyncClient(base_url=url) as leaving:
        body = (await leaving.post(PATH, json={"input": "hi", "background": True})).json()
    opened.gate.open()
    assert output_text(await opened.ended(body["id"])) == TEXT


async def test_a_cancelled_one_stops_the_engine_and_stays_as_far_as_it_came(
    opened: Opened,
) -> None:
    body = await respond(opened.app, background=True)
    opened.gate.open(2)
    while not (await opened.get(body["id"]))["output"]:
        pass
    cancelled = await opened.cancel(body["id"])
    assert (cancelled["status"], cancelled["completed_at"]) == ("cancelled", None)
    assert cancelled["output"][0]["status"] == "incomplete"
    await asyncio.wait_for(opened.gate.is_left.wait(), 3)
    assert await opened.cancel(body["id"]) == cancelled
    assert await opened.get(body["id"]) == cancelled


async def test_one_that_has_ended_is_not_changed_by_cancelling(opened: Opened) -> None:
    opened.gate.open()
    body = await respond(opened.app, background=True)
    done = await opened.ended(body["id"])
    assert await opened.cancel(body["id"]) == done


async def test_one_under_way_can_be_listed_but_not_gone_on_with(opened: Opened) -> None:
    body = await respond(opened.app, background=True)
    items = await opened.app.client.get(f"{PATH}/{body['id']}/input_items")
    assert items.json()["data"][0]["content"][0]["text"] == "hi"
    answer = await post(opened.app, previous_response_id=body["id"])
    assert (answer.status_code, error_of(answer)["param"]) == (400, "previous_response_id")
    assert "is queued" in error_of(answer)["message"]


async def test_a_deleted_one_stops_and_does_not_come_back(opened: Opened) -> None:
    body = await respond(opened.app, background=True)
    await asyncio.wait_for(opened.gate.is_waited_for.wait(), 3)
    answer = await opened.app.client.delete(f"{PATH}/{body['id']}")
    assert answer.json()["deleted"]
    await asyncio.wait_for(opened.gate.is_left.wait(), 3)
    assert (await opened.app.client.get(f"{PATH}/{body['id']}")).status_code == 404


async def test_a_deleted_one_displaces_nothing_that_is_kept() -> None:
    gate = Gate(num_open=len(TEXT.encode()) + 1)
    async with served(greeting(gate=gate.passed), JARVIS_RESPONSE_STORE_COUNT="1") as app:
        kept = await respond(app)
        body = await respond(app, background=True)
        await app.client.delete(f"{PATH}/{body['id']}")
        assert (await app.client.get(f"{PATH}/{kept['id']}")).status_code == 200


async def test_a_refusal_comes_at_once(opened: Opened) -> None:
    answer = await post(opened.app, background=True, input="a" * 5000)
    assert (answer.status_code, error_of(answer)["code"]) == (400, "context_length_exceeded")


async def test_a_failure_is_kept_with_its_error(opened: Opened) -> None:
    body = await respond(opened.app, background=True)
    await asyncio.wait_for(opened.gate.is_waited_for.wait(), 3)
    opened.app.backend.fail("the engine died")
    opened.gate.open()
    failed = await opened.ended(body["id"])
    assert failed["status"] == "failed"
    assert failed["error"]["code"] == "server_error"
    assert "the engine died" in failed["error"]["message"]


async def test_one_under_way_has_failed_when_the_server_is_stopped(tmp_path: Path) -> None:
    flags = {"JARVIS_RESPONSE_STORE": str(tmp_path / "store.db")}
    gate = Gate()
    async with served(greeting(gate=gate.passed), **flags) as app:
        body = await respond(app, background=True)
        await asyncio.wait_for(gate.is_waited_for.wait(), 3)
    async with served(greeting(), **flags) as app:
        failed = (await app.client.get(f"{PATH}/{body['id']}")).json()
        check_response(failed)
        assert failed["error"] == {"code": "server_error", "message": "the server was stopped"}


async def test_one_too_many_is_told_when_to_come_again(opened: Opened) -> None:
    opened.app.application.state.responses.runs = BackgroundRuns(set(), max_bytes=10)
    await respond(opened.app, background=True)
    answer = await post(opened.app, background=True)
    assert (answer.status_code, error_of(answer)["code"]) == (429, "queue_full")
    assert int(answer.headers["retry-after"]) >= 1


def made_answer(name: str) -> ResponseAnswer:
    return ResponseAnswer(name, {"background": True}, ScoreView(byte_vocabulary(), None), None)


def stay(ended: list[int], account: str = "") -> Stay:
    watch = RequestWatch(WatchLabels("a", account, "m", 0.0), [], ())
    return Stay(watch, Cutoff(), lambda: ended.append(1))


async def test_what_those_under_way_hold_together_is_bounded() -> None:
    ended: list[int] = []
    runs, large = BackgroundRuns(set(), max_bytes=1000), (b"a" * 2000,)
    runs.start(made_answer("resp_1"), [], large, stay(ended))
    with pytest.raises(QueueFull, match="of 1000 at most"):
        runs.start(made_answer("resp_2"), [], (), stay(ended))
    while runs.find("resp_1") is not None:
        await asyncio.sleep(0)
    runs.start(made_answer("resp_3"), [], (), stay(ended))
    runs.start(made_answer("resp_4"), [], (), stay(ended))
    assert runs.forget("resp_3")
    await runs.close()
    assert len(ended) == 4


async def test_one_key_does_not_take_all_places() -> None:
    ended: list[int] = []
    runs = BackgroundRuns(set())

    def started(account: str) -> int:
        for number in range(MAX_RUNNING):
            try:
                runs.start(made_answer(f"{account}{number}"), [], (), stay(ended, account))
            except QueueFull:
                return number
        return MAX_RUNNING

    assert [started(account) for account in ("a", "b")] == [MAX_RUNNING // 2, MAX_RUNNING // 4]
    await runs.close()
    assert started("") == MAX_RUNNING
    await runs.close()
    assert len(ended) == MAX_RUNNING // 2 + MAX_RUNNING // 4 + 2 + MAX_RUNNING
