"""The responses of the real application, asked for over HTTP and checked strictly."""

from typing import Any

import httpx

from backends.scripted import END_ID, ScriptedBackend
from tests.api.responses.folding import read_frames
from tests.api.responses.strictly import check_response
from tests.api.served import Served

TEXT = "Grüße 👩‍🚀 ok"
PATH = "/v1/responses"


def greeting(**options: Any) -> ScriptedBackend:
    return ScriptedBackend(lambda _: [*TEXT.encode(), END_ID], **options)


async def post(app: Served, **fields: Any) -> httpx.Response:
    return await app.client.post(PATH, json={"input": "hi"} | fields)


async def respond(app: Served, **fields: Any) -> dict[str, Any]:
    """The body of a request that is answered."""
    answer = await post(app, **fields)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    check_response(body)
    return body


async def stream(app: Served, **fields: Any) -> list[dict[str, Any]]:
    """The events of a stream, each checked."""
    answer = await post(app, **fields, stream=True)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return read_frames(answer.content)


def output_text(body: dict[str, Any]) -> str:
    parts = [part for item in body["output"] for part in item.get("content", ())]
    return "".join(part["text"] for part in parts)


def prompt_of(backend: ScriptedBackend, index: int = -1) -> str:
    """The prompt of a request that the engine took, control tokens left out."""
    return bytes(i for i in backend.requests[index].prompt_ids if i < END_ID - 1).decode()
