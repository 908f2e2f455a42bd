"""Owns what upstreams answer in tests, as steps of tests/faulty_upstream.py: good ones and not."""

import gzip
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.faulty_upstream import (
    Answer,
    FaultyUpstream,
    SeenRequest,
    Step,
    Steps,
    faulty_upstream,
)

DONE = b"data: [DONE]\n\n"
EVENT_STREAM = "text/event-stream; charset=utf-8"


def head(
    code: int = 200, media_type: str = "application/json", headers: Mapping[str, str] | None = None
) -> bytes:
    """Without the blank line's end of a length: give content-length or transfer-encoding."""
    lines = [f"HTTP/1.1 {code} Whatever", f"content-type: {media_type}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def whole(
    body: bytes | Mapping[str, Any],
    code: int = 200,
    media_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Steps:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    length = {"content-length": str(len(data)), **(headers or {})}
    return (head(code, media_type, length) + data,)


def status(code: int, headers: Mapping[str, str] | None = None, message: str = "made up") -> Steps:
    """An error as OpenAI's API writes it."""
    return whole({"error": {"message": message, "code": code}}, code, headers=headers)


def rate_limited(retry_after: str = "1") -> Steps:
    return status(429, {"retry-after": retry_after})


def redirect(to: str) -> Steps:
    return whole(b"", 302, headers={"location": to})


def gzip_bomb(size: int = 1 << 30) -> Steps:
    """A JSON body of so many bytes, in very few on the wire."""
    data = gzip.compress(b'{"a":"' + b" " * min(size, 1 << 26) + b'"}')
    return whole(data, headers={"content-encoding": "gzip"})


def chunk(data: bytes) -> bytes:
    """One piece of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


STREAM_HEAD = head(200, EVENT_STREAM, {"transfer-encoding": "chunked"})
LAST_CHUNK = b"0\r\n\r\n"


def stream(*steps: Step) -> Steps:
    """A stream of server-sent events whose end the server marks well; bytes are pieces of it."""
    return (*unended(*steps), LAST_CHUNK)


def unended(*steps: Step) -> Steps:
    """A stream that the steps decide the end of."""
    return (STREAM_HEAD, *(chunk(each) if isinstance(each, bytes) else each for each in steps))


def event(value: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def delta(text: str | None = None, model: str = "tiny", **delta_fields: Any) -> bytes:
    """One event of a chat; without anything its delta is empty."""
    fields = delta_fields if text is None else {"content": text, **delta_fields}
    choice = {"index": 0, "delta": fields, "finish_reason": None}
    return event(
        {"id": "c1", "object": "chat.completion.chunk", "model": model, "choices": [choice]}
    )


def last_delta(model: str = "tiny", reason: str = "stop") -> bytes:
    choice = {"index": 0, "delta": {}, "finish_reason": reason}
    return event(
        {"id": "c1", "object": "chat.completion.chunk", "model": model, "choices": [choice]}
    )


def chat_stream(*texts: str, model: str = "tiny") -> Steps:
    """A good stream with a role, one event a text, a reason and [DONE]."""
    middle = (delta(text, model) for text in texts)
    return stream(delta(role="assistant", model=model, text=""), *middle, last_delta(model), DONE)


def chat(text: str = "Hello", model: str = "tiny") -> dict[str, Any]:
    """A whole answer's body."""
    message = {"role": "assistant", "content": text}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


def models(*names: str, **facts: Any) -> dict[str, Any]:
    """The body of a list; `facts` are said of every model."""
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "owned_by": "test", **facts} for name in names],
    }


def embeddings(num_inputs: int = 1, model: str = "tiny") -> dict[str, Any]:
    data = [
        {"object": "embedding", "index": index, "embedding": [0.6, 0.8]}
        for index in range(num_inputs)
    ]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return {"object": "list", "model": model, "data": data, "usage": usage}


def chat_answer(*texts: str) -> Answer:
    """A good answer to a chat in the asked model's name, as a stream where that was asked for."""

    def answer(request: SeenRequest) -> Steps:
        fields = json.loads(request.body)
        if fields.get("stream"):
            return chat_stream(*texts, model=fields["model"])
        return whole(chat("".join(texts), fields["model"]))

    return answer


def _embeddings_answer(request: SeenRequest) -> Steps:
    fields = json.loads(request.body)
    inputs = fields["input"]
    return whole(embeddings(len(inputs) if isinstance(inputs, list) else 1, fields["model"]))


@asynccontextmanager
async def good_upstream(*names: str, num_chunks: int = 3) -> AsyncIterator[FaultyUpstream]:
    """A server that does all well: models, chats, embeddings, /health and /metrics."""
    texts = [f"t{number} " for number in range(num_chunks)]
    paths: dict[str, Answer] = {
        "/v1/models": whole(models(*(names or ("tiny",)), max_model_len=4096)),
        "/v1/chat/completions": chat_answer(*texts),
        "/v1/embeddings": _embeddings_answer,
        "/health": whole(b"", media_type="text/plain"),
        "/metrics": whole(METRICS, media_type="text/plain; version=0.0.4"),
    }
    async with faulty_upstream(paths=paths) as server:
        yield server


METRICS = b"""# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny"} 2.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="tiny"} 1.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="tiny"} 0.25
"""
