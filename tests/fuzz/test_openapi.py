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


async def loaded(attacked: Attacked) -> list[APIOperation[Any, Any, Any, Any]]:
    document = (await attacked.client.get("/openapi.json")).json()
    load_all_checks()
    schema = schemathesis.openapi.from_dict(document)
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
