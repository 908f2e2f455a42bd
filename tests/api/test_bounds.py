"""How large a request may be in each way: as the operator says, on every route that reads one."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from api.remote.fields import passed_body
from api.request_bounds import check_bounds
from api.schemas import chat, completions, fields, lists, tools
from api.schemas.responses import items
from core.bounds import RequestBounds
from core.errors import InvalidValue
from core.settings import Settings
from serving import embedding
from tests.api.served import HELLO, Served, error_of, served
from tests.script import scripted_backend

SMALL = RequestBounds(messages=3, tools=2, schema_bytes=400, stop=2, n=4, logit_bias=2, prompts=3)
SCHEMA = {"type": "object", "description": "x" * 500}
TURN = {"role": "user", "content": "hi"}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def of_schema(schema: object) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}


# A body that is just allowed, one that is not, the field at fault, and its two numbers.
BOUNDS: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "messages": ({"messages": [TURN] * 3}, {"messages": [TURN] * 4}, "messages", "4 3"),
    "items": ({"input": [TURN] * 3}, {"input": [TURN] * 4}, "input", "4 3"),
    "inputs": ({"input": ["a"] * 3}, {"input": ["a"] * 4}, "input", "4 3"),
    "ids of one input": ({"input": [1] * 99}, {"input": [[1]] * 4}, "input", "4 3"),
    "prompts": ({"prompt": ["a"] * 3}, {"prompt": ["a"] * 4}, "prompt", "4 3"),
    "ids of one prompt": ({"prompt": [1] * 99}, {"prompt": [[1]] * 4}, "prompt", "4 3"),
    "documents": ({"documents": ["a"] * 3}, {"documents": ["a"] * 4}, "documents", "4 3"),
    "documents with names": (
        {"documents": [{"text": "a"}] * 3},
        {"documents": [{"text": "a"}] * 4},
        "documents",
        "4 3",
    ),
    "texts": ({"text_2": "a"}, {"text_2": ["a"] * 4}, "text_2", "4 3"),
    "tools": ({"tools": [FUNCTION] * 2}, {"tools": [FUNCTION] * 3}, "tools", "3 2"),
    "stop": ({"stop": ["a"] * 2}, {"stop": ["a"] * 3}, "stop", "3 2"),
    "stop sequences": ({"stop": "abc"}, {"stop_sequences": ["a"] * 3}, "stop_sequences", "3 2"),
    "n": ({"n": 4}, {"n": 5}, "n", "5 4"),
    "n that is no whole number": ({"n": None}, {"n": 1e300}, "n", "4"),
    "best of": ({"best_of": 4}, {"best_of": 10**30}, "best_of", "4"),
    "choices in all": ({"prompt": ["a"] * 2, "n": 2}, {"prompt": ["a"] * 3, "n": 2}, "n", "6 4"),
    "biases": (
        {"logit_bias": {"1": 0, "2": 0}},
        {"logit_bias": {"1": 0, "2": 0, "3": 0}},
        "logit_bias",
        "3 2",
    ),
    "format": (
        {"response_format": of_schema({})},
        {"response_format": of_schema(SCHEMA)},
        "response_format",
        "400",
    ),
    "structured outputs": (
        {"structured_outputs": {"regex": "x" * 300}},
        {"structured_outputs": {"regex": "x" * 500}},
        "structured_outputs",
        "400",
    ),
    "guided": ({"guided_json": {}}, {"guided_json": SCHEMA}, "guided_json", "400"),
    "text of a response": (
        {"text": {"format": {"type": "text"}}},
        {"text": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        "text",
        "400",
    ),
    "output of a message": (
        {"output_config": {}},
        {"output_config": {"format": {"schema": SCHEMA}}},
        "output_config",
        "400",
    ),
    "parameters of a function": (
        {"tools": [{"type": "function", "function": {"name": "f", "description": "x" * 900}}]},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]},
        "tools",
        "400",
    ),
    "parameters of a response's tool": (
        {"tools": [{"name": "f", "parameters": {}}]},
        {"tools": [{"name": "f", "parameters": SCHEMA}]},
        "tools",
        "400",
    ),
    "input of a message's tool": (
        {"tools": [{"name": "f", "input_schema": {}}]},
        {"tools": [{"name": "f", "input_schema": SCHEMA}]},
        "tools",
        "400",
    ),
    "all schemas together": (
        {"tools": [{"name": "f", "parameters": {"a": "x" * 300}}]},
        {"tools": [{"name": "f", "parameters": {"a": "x" * 300}}] * 2},
        "tools",
        "400",
    ),
}


@pytest.mark.parametrize(("good", "bad", "param", "numbers"), BOUNDS.values(), ids=BOUNDS)
async def test_what_is_too_much_is_refused_by_name_here_and_on_its_way_to_others(
    good: dict[str, Any], bad: dict[str, Any], param: str, numbers: str
) -> None:
    check_bounds(good, SMALL)
    await passed_body(msgspec.json.encode(good), SMALL)
    with pytest.raises(InvalidValue) as here:
        check_bounds(bad, SMALL)
    with pytest.raises(InvalidValue) as passed:
        await passed_body(msgspec.json.encode(bad), SMALL)
    assert str(here.value) == str(passed.value)
    assert here.value.param == passed.value.param == param
    assert set(numbers.split()) <= set(re.findall(r"\d+", str(here.value)))


ODD: list[Any] = [None, True, 7, -1, "a", "", [], {}, [None], [[]], [{}], {"function": 7}, [1, "a"]]


@pytest.mark.parametrize("value", ODD, ids=repr)
async def test_other_kinds_of_value_are_left_to_who_knows_the_fields(value: Any) -> None:
    names = ("messages", "input", "prompt", "tools", "stop", "logit_bias", "text", "best_of")
    given = dict.fromkeys(names, value)
    await passed_body(msgspec.json.encode(given), replace(SMALL, schema_bytes=60, n=7))
    check_bounds(given, replace(SMALL, n=7))


def test_settings_may_raise_each_bound_as_far_as_the_fields_schemas_go() -> None:
    most = {
        name: next(m.le for m in field.metadata if hasattr(m, "le"))
        for name, field in Settings.model_fields.items()
        if name.startswith("max_") and any(hasattr(m, "le") for m in field.metadata)
    }
    assert most["max_messages"] == chat.MAX_MESSAGES == items.MAX_ITEMS
    assert most["max_tools"] == tools.MAX_TOOLS
    assert most["max_stop"] == lists.MAX_STOP_STRINGS
    assert most["max_n"] == fields.MAX_CHOICES == completions.MAX_PROMPTS
    assert most["max_logit_bias"] == lists.MAX_BIASED_IDS
    assert most["max_prompts"] == embedding.MAX_INPUTS


RAISED = {
    "JARVIS_MAX_STOP": "20",
    "JARVIS_MAX_N": "130",
    "JARVIS_MAX_TOOLS": "1",
    "JARVIS_MAX_MESSAGES": "2",
    "JARVIS_MAX_BODY_BYTES": "5000",
    "JARVIS_MAX_SCHEMA_BYTES": "300",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app() -> AsyncIterator[Served]:
    async with served(scripted_backend(), **RAISED) as made:
        yield made


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/chat/completions", {"messages": HELLO * 3}, "messages"),
        ("/v1/chat/completions", {"messages": HELLO, "stop": ["a"] * 21}, "stop"),
        ("/v1/chat/completions", {"messages": HELLO, "n": 131}, "n"),
        ("/v1/chat/completions", {"messages": HELLO, "tools": [FUNCTION] * 2}, "tools"),
        ("/v1/completions", {"prompt": ["a"] * 131}, "prompt"),
        ("/v1/responses", {"input": HELLO * 3}, "input"),
        ("/v1/messages", {"messages": HELLO * 3, "max_tokens": 1}, "messages"),
        ("/v1/messages/count_tokens", {"messages": HELLO * 3}, "messages"),
        ("/tokenize", {"messages": HELLO * 3}, "messages"),
        ("/apply-template", {"messages": HELLO * 3}, "messages"),
    ],
)
async def test_every_route_keeps_the_operators_bounds(
    app: Served, path: str, body: dict[str, Any], param: str
) -> None:
    response = await app.client.post(path, json=body)
    assert response.status_code == 400, response.text
    assert param in response.text
    assert (
        "allowed are at most" in response.text or "allowed is a value of at most" in response.text
    )


@pytest.mark.asyncio(loop_scope="module")
async def test_a_bound_that_was_raised_lets_more_through(app: Served) -> None:
    response = await app.chat(stop=[f"s{i}" for i in range(20)], n=129, max_tokens=1)
    assert response.status_code == 200, response.text
    assert len(response.json()["choices"]) == 129
    told = (await app.client.get("/v1/capabilities")).json()["limits"]
    assert (told["stop_strings"], told["choices"], told["body_bytes"]) == (20, 130, 5000)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_body_may_be_as_long_as_the_operator_says(app: Served) -> None:
    response = await app.chat(messages=[{"role": "user", "content": "x" * 5000}])
    assert response.status_code == 413
    assert "5000 bytes" in error_of(response)["message"]
