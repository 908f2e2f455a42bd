"""What schemathesis makes of /openapi.json, right and wrong, over real HTTP: no answer is an error
of the server, each is of a kind that its route may give, and errors have their API's shape.
"""

import asyncio
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.fuzz.conftest import Attacked
from tests.threats.oracle import canary

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

_TEXT = {"type": "string"}
_NULLABLE = {"type": ["string", "null"]}
OPENAI_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string", "minLength": 1, "maxLength": 1500},
                "type": _TEXT,
                "param": _NULLABLE,
                "code": _NULLABLE,
            },
            "required": ["message", "type", "param", "code"],
            "additionalProperties": False,
        }
    },
    "required": ["error"],
}
ANTHROPIC_ERROR = {
    "type": "object",
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "properties": {"type": _TEXT, "message": {"type": "string", "minLength": 1}},
            "required": ["type", "message"],
            "additionalProperties": False,
        },
        "request_id": _TEXT,
    },
    "required": ["type", "error", "request_id"],
}


def with_responses(document: dict[str, Any]) -> dict[str, Any]:
    """The document with what every route may answer: 200, or one of our refusals."""
    for path, methods in document["paths"].items():
        error = ANTHROPIC_ERROR if path.startswith("/v1/messages") else OPENAI_ERROR
        refused = {"description": "", "content": {"application/json": {"schema": error}}}
        done: dict[str, Any] = {"application/json": {}, "text/event-stream": {}, "text/plain": {}}
        for operation in methods.values():
            operation["responses"] = {
                "200": {"description": "", "content": done},
                **{str(status): refused for status in (400, 404, 405, 413, 415)},
            }
    return document


async def loaded(attacked: Attacked) -> list[APIOperation[Any, Any, Any, Any]]:
    document = (await attacked.client.get("/openapi.json")).json()
    load_all_checks()
    schema = schemathesis.openapi.from_dict(with_responses(document))
    return [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]


def attack(operation: Any, mode: GenerationMode, count: int, url: str) -> None:
    """Sends so many cases. Blocking."""
    checks = [
        schemathesis.checks.not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
        unsupported_method,
    ]

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def each(case: Case[Any]) -> None:
        case.call_and_validate(base_url=url, checks=checks, timeout=60)

    each()


@pytest.mark.parametrize("mode", list(GenerationMode))
async def test_schemathesis_finds_no_server_error(
    attacked: Attacked, mode: GenerationMode, num_spoiled: int
) -> None:
    alone = await canary(attacked.client)
    count = max(num_spoiled // 200, 1)
    for operation in await loaded(attacked):
        # Of what takes no body nothing can be made wrong: an id is any text.
        if operation.body or mode is GenerationMode.POSITIVE:
            await asyncio.to_thread(attack, operation, mode, count, attacked.url)
    await attacked.is_idle()
    assert await canary(attacked.client) == alone
