"""Owns what a connection and the application above it both know of one HTTP request, in the state
of its ASGI scope: its id, and whether the connection answered in the application's place.
"""

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

REQUEST_ID_HEADER = "x-request-id"
_NAME = REQUEST_ID_HEADER.encode()
# What is safe in a header and in a log line.
_SAFE_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


@dataclass(frozen=True, slots=True)
class EarlyAnswer:
    """An error that the client was answered with before the application had begun to answer."""

    status: int
    code: str


def request_id_of(state: dict[str, Any], headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The client's own where that is safe, else a new one; the same as often as it is asked for.

    Nothing is looked up by it. Of the headers, those suffice that have come.
    """
    if "request_id" not in state:
        given = next((value for name, value in headers if name == _NAME), b"")
        state["request_id"] = given.decode() if _SAFE_ID.fullmatch(given) else new_request_id()
    return str(state["request_id"])


def new_request_id() -> str:
    return uuid.uuid4().hex


def put_early_answer(state: dict[str, Any], answer: EarlyAnswer) -> None:
    state["early_answer"] = answer


def early_answer_of(state: dict[str, Any]) -> EarlyAnswer | None:
    answer: EarlyAnswer | None = state.get("early_answer")
    return answer
