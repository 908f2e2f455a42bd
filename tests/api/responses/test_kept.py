"""Responses by their ids: gone on with, read, listed, deleted."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from api.responses.kept import KeptResponses
from tests.api.responses.asking import PATH, TEXT, greeting, post, prompt_of, respond, stream
from tests.api.responses.strictly import check_items, check_response
from tests.api.served import Served, error_of, served

TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}}


@pytest_asyncio.fixture(params=["memory", "sqlite"])
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Served]:
    path = str(tmp_path / "store.db") if request.param == "sqlite" else ""
    async with served(greeting(), JARVIS_RESPONSE_STORE=path) as opened:
        yield opened


async def listed(app: Served, response_id: str, **query: Any) -> dict[str, Any]:
    answer = await app.client.get(f"{PATH}/{response_id}/input_items", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    check_items(body)
    return body


async def test_a_response_is_read_as_it_was_given(app: Served) -> None:
    body = await respond(app, metadata={"a": "b"})
    for query in ({}, {"stream": "false", "include[]": "message.output_text.logprobs"}):
        answer = await app.client.get(f"{PATH}/{body['id']}", params=query)
        assert (answer.status_code, answer.json()) == (200, body)
    events = await stream(app)
    response = events[-1]["response"]
    assert (await app.client.get(f"{PATH}/{response['id']}")).json() == response


async def test_a_conversation_goes_on_from_a_response(app: Served) -> None:
    first = await respond(app, input="one", instructions="Be brief.")
    second = await respond(app, input="two", previous_response_id=first["id"])
    await respond(app, input="three", previous_response_id=second["id"], instructions="Sing.")
    assert second["previous_response_id"] == first["id"]
    assert second["instructions"] is None
    assert prompt_of(app.backend, 1) == (f"user\none\nassistant\n{TEXT}\nuser\ntwo\nassistant\n")
    assert prompt_of(app.backend, 2).startswith("system\nSing.\nuser\none\n")
    assert prompt_of(app.backend, 2).endswith(
        "user\ntwo\nassistant\n" + TEXT + "\nuser\nthree\nassistant\n"
    )


async def test_a_stream_can_be_gone_on_with_as_soon_as_it_has_ended(app: Served) -> None:
    events = await stream(app, input="one")
    await respond(app, input="two", previous_response_id=events[-1]["response"]["id"])
    assert "user\none\n" in prompt_of(app.backend)


async def test_two_can_go_on_from_one_response(app: Served) -> None:
    first = await respond(app, input="one")
    for text in ("left", "right"):
        await respond(app, input=text, previous_response_id=first["id"])
    assert "left" not in prompt_of(app.backend)


async def test_input_items_are_all_that_stood_before_the_output(app: Served) -> None:
    first = await respond(app, input="one")
    items = [{"role": "user", "content": "two"}, {"role": "user", "content": "three"}]
    second = await respond(app, input=items, previous_response_id=first["id"])
    whole = await listed(app, second["id"])
    assert [item["content"][0]["text"] for item in whole["data"]] == ["three", "two", TEXT, "one"]
    assert whole["data"][2] == first["output"][0]
    assert (whole["has_more"], whole["first_id"]) == (False, whole["data"][0]["id"])
    ascending = await listed(app, second["id"], order="asc")
    assert ascending["data"] == whole["data"][::-1]
    page = await listed(app, second["id"], limit=2, after=whole["first_id"])
    assert (page["data"], page["has_more"]) == (whole["data"][1:3], True)
    assert page["last_id"] == whole["data"][2]["id"]
    rest = await listed(app, second["id"], limit=2, after=page["last_id"])
    assert (rest["data"], rest["has_more"]) == (whole["data"][3:], False)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"order": "up"}, "order"),
        ({"after": "nobody"}, "after"),
    ],
)
async def test_a_wrong_page_is_refused(app: Served, query: dict[str, str], param: str) -> None:
    body = await respond(app)
    answer = await app.client.get(f"{PATH}/{body['id']}/input_items", params=query)
    assert (answer.status_code, error_of(answer)["param"]) == (400, param)


async def test_every_kind_of_item_is_listed_as_openai_has_it(app: Served) -> None:
    items = [
        {"role": "developer", "content": [{"type": "input_text", "text": "d"}]},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "t"}]},
        {"role": "assistant", "content": "look"},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "42"},
        {"role": "user", "content": "go"},
    ]
    body = await respond(app, input=items)
    found = (await listed(app, body["id"], order="asc"))["data"]
    kinds = ["message", "reasoning", "message", "function_call", "function_call_output", "message"]
    assert [item["type"] for item in found] == kinds
    assert len({item["id"] for item in found}) == len(items)


async def test_a_deleted_response_is_gone_and_those_after_it_stay(app: Served) -> None:
    first = await respond(app, input="one")
    second = await respond(app, input="two", previous_response_id=first["id"])
    answer = await app.client.delete(f"{PATH}/{first['id']}")
    assert answer.json() == {"id": first["id"], "object": "response", "deleted": True}
    for call in (app.client.get, app.client.delete):
        missing = await call(f"{PATH}/{first['id']}")
        assert (missing.status_code, error_of(missing)["code"]) == (404, "response_not_found")
    await respond(app, input="three", previous_response_id=second["id"])
    assert "user\none\n" in prompt_of(app.backend)


async def test_a_response_that_is_not_there_is_named(app: Served) -> None:
    answer = await post(app, previous_response_id="resp_x")
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (404, "previous_response_not_found")
    assert error["param"] == "previous_response_id"
    assert "'resp_x' not found" in error["message"]
    for path in ("", "/input_items", "/cancel"):
        method = "POST" if path == "/cancel" else "GET"
        answer = await app.client.request(method, f"{PATH}/resp_x{path}")
        assert (answer.status_code, error_of(answer)["param"]) == (404, "response_id")


async def test_what_is_not_to_be_stored_is_not(app: Served) -> None:
    body = await respond(app, store=False)
    assert (await app.client.get(f"{PATH}/{body['id']}")).status_code == 404


async def test_a_stream_is_not_taken_up_again(app: Served) -> None:
    body = await respond(app)
    for name, value in (("stream", "true"), ("starting_after", "3"), ("stream", "1")):
        answer = await app.client.get(f"{PATH}/{body['id']}", params={name: value})
        assert (answer.status_code, error_of(answer)["param"]) == (400, name)


async def test_one_that_nobody_waited_for_is_not_cancelled(app: Served) -> None:
    body = await respond(app)
    answer = await app.client.post(f"{PATH}/{body['id']}/cancel")
    assert answer.status_code == 400
    assert error_of(answer)["message"].startswith("Cannot cancel a synchronous response")


async def test_an_evicted_response_is_not_found() -> None:
    async with served(greeting(), JARVIS_RESPONSE_STORE_COUNT="2") as app:
        bodies = [await respond(app) for _ in range(3)]
        answers = [await app.client.get(f"{PATH}/{body['id']}") for body in bodies]
        assert [answer.status_code for answer in answers] == [404, 200, 200]
        assert "gave way to newer ones" in error_of(answers[0])["message"]


def keep(app: Served, response: bytes, *items: bytes) -> None:
    """A response that is kept as if it had ended."""
    kept: KeptResponses = app.application.state.responses
    kept.keeper(items, "")(json.loads(response))


KEPT = b'{"id":"resp_1","status":"completed","background":true,"output":[]}'


async def test_of_what_is_kept_no_more_is_looked_at_than_is_asked_for(app: Served) -> None:
    keep(app, KEPT, b"no JSON", b'{ "id": "a", "content": [no JSON] }', b'{ "id": "b"}')
    path = f"{PATH}/resp_1"
    assert (await app.client.get(path)).content == KEPT
    assert (await app.client.post(f"{path}/cancel")).content == KEPT
    page = (await app.client.get(f"{path}/input_items", params={"limit": 1})).content
    assert b'"data":[{ "id": "b"}]' in page
    assert (await app.client.delete(path)).status_code == 200


async def test_a_conversation_does_not_outgrow_what_a_request_may_hold() -> None:
    flags = {"JARVIS_MAX_MESSAGES": "4", "JARVIS_MAX_BODY_BYTES": "2000"}
    async with served(greeting(), **flags) as app:
        items = [{"role": "user", "content": "hi"}] * 2
        first = await respond(app, input=items)
        answer = await post(app, input=items, previous_response_id=first["id"])
        assert (answer.status_code, error_of(answer)["param"]) == (400, "input")
        assert "have 5 entries; allowed are at most 4" in error_of(answer)["message"]
        keep(app, KEPT, b"a" * 2000)
        answer = await post(app, previous_response_id="resp_1")
        assert (answer.status_code, error_of(answer)["param"]) == (400, "previous_response_id")
        assert f"has {2000 + len(KEPT)} bytes; allowed are at most 2000" in answer.text


async def test_many_parts_are_put_together_and_gone_on_with(app: Served) -> None:
    parts = [{"type": "output_text", "text": text} for text in ["a", *[""] * 300, "b"]]
    first = await respond(app, input=[{"role": "assistant", "content": parts}])
    found = (await listed(app, first["id"]))["data"][0]["content"]
    assert [part["text"] for part in found] == [part["text"] for part in parts]
    await respond(app, input="c", previous_response_id=first["id"])
    assert prompt_of(app.backend).startswith("assistant\nab\nassistant\n")


async def test_a_store_of_none_keeps_nothing() -> None:
    async with served(greeting(), JARVIS_RESPONSE_STORE_COUNT="0") as app:
        body = await respond(app)
        assert (await app.client.get(f"{PATH}/{body['id']}")).status_code == 404


async def test_a_file_keeps_responses_from_one_start_to_the_next(tmp_path: Path) -> None:
    flags = {"JARVIS_RESPONSE_STORE": str(tmp_path / "store.db")}
    async with served(greeting(), **flags) as app:
        first = await respond(app, input="one")
    async with served(greeting(), **flags) as app:
        check_response((await app.client.get(f"{PATH}/{first['id']}")).json())
        await respond(app, input="two", previous_response_id=first["id"])
        assert "user\none\n" in prompt_of(app.backend)


async def test_many_at_once_each_keep_their_own(app: Served) -> None:
    firsts = await asyncio.gather(*(respond(app, input=f"name {i}") for i in range(20)))
    for index, first in enumerate(firsts):
        items = (await listed(app, first["id"]))["data"]
        assert [item["content"][0]["text"] for item in items] == [f"name {index}"]
