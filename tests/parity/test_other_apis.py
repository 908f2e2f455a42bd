"""Responses and Messages say the same on both engines, streamed or not."""

import json
from typing import Any

import httpx
import pytest

from tests.parity.conftest import Pair
from tests.parity.other_requests import other_requests
from tests.parity.test_corpus import corpus, post_all

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]

# Of so many requests in all, one in these other words, and fewer in the other formats.
SHARE, SMALL_SHARE = 5, 25
# Ids, times, and what tells engines apart.
VOLATILE = {"id", "item_id", "call_id", "created_at", "completed_at", "request_id"}
CACHED = {"cached_tokens", "cache_read_input_tokens"}
Event = dict[str, Any]


def stable(body: Any) -> Any:
    """A body without what may differ. Anthropic counts cached tokens apart from the others."""
    if isinstance(body, list):
        return [stable(item) for item in body]
    if not isinstance(body, dict):
        return body
    if "cache_read_input_tokens" in body:
        body = body | {"input_tokens": body["input_tokens"] + body["cache_read_input_tokens"]}
    volatile = VOLATILE | CACHED | {"sequence_number"}
    return {key: stable(value) for key, value in body.items() if key not in volatile}


def events_of(response: httpx.Response) -> list[Event]:
    """The stream's events, their names checked, neighbouring deltas joined."""
    joined: list[Event] = []
    for frame in response.text.split("\n\n"):
        lines = [line for line in frame.split("\n") if line and not line.startswith(":")]
        if not lines or lines == ["data: [DONE]"]:
            continue
        name, data = lines[0].removeprefix("event: "), lines[-1].removeprefix("data: ")
        event = stable(json.loads(data))
        assert event["type"] == name
        if name != "ping":
            _join(joined, event)
    return joined


def _join(joined: list[Event], event: Event) -> None:
    """How much text an event holds depends on when it was sent."""
    last = joined[-1] if joined else None
    if last is None or "delta" not in event or _place(last) != _place(event):
        joined.append(event)
        return
    delta = event["delta"]
    if isinstance(delta, str):
        joined[-1] = last | {"delta": last["delta"] + delta}
        return
    (key,) = delta.keys() - {"type"}
    joined[-1] = last | {"delta": delta | {key: last["delta"][key] + delta[key]}}


def _place(event: Event) -> tuple[Any, ...]:
    delta = event.get("delta")
    kind = delta.get("type") if isinstance(delta, dict) else None
    places = ("output_index", "content_index", "index")
    return (event["type"], "delta" in event, kind, *(event.get(place) for place in places))


async def test_other_apis_say_the_same(pairs: dict[str, Pair], num_requests: int) -> None:
    pair = pairs["chatml"]
    made = corpus(max(num_requests // SHARE, 20), other_requests())
    can_stream = [(path, body) for path, body in made if not path.endswith("count_tokens")]
    streams = [(path, body | {"stream": True}) for path, body in can_stream]
    ours, theirs = await post_all(pair.llama, made), await post_all(pair.vllm, made)
    statuses = [response.status_code for response in ours]
    assert set(statuses) <= {200, 400, 404}
    assert 0.5 < statuses.count(200) / len(made) < 0.97
    for request, left, right in zip(made, ours, theirs, strict=True):
        assert left.status_code == right.status_code, (request, left.text, right.text)
        assert stable(left.json()) == stable(right.json()), request
    our_streams = await post_all(pair.llama, streams)
    their_streams = await post_all(pair.vllm, streams)
    whole = {json.dumps(request): response for request, response in zip(made, ours, strict=True)}
    for request, *found in zip(can_stream, our_streams, their_streams, strict=True):
        plain = whole[json.dumps(request)]
        assert {response.status_code for response in found} == {plain.status_code}, request
        if plain.status_code != 200:
            assert stable(found[0].json()) == stable(found[1].json()) == stable(plain.json())
            continue
        events, others = map(events_of, found)
        assert len(events) == len(others), request
        for event, other in zip(events, others, strict=True):
            assert event == other, request
        if request[0] == "/v1/responses":
            assert events[-1]["response"] == stable(plain.json()), request


@pytest.mark.parametrize("name", ["thinking", "fallback"])
async def test_thoughts_and_other_calls_are_told_the_same(
    pairs: dict[str, Pair], name: str, num_requests: int
) -> None:
    pair = pairs[name]
    made = corpus(max(num_requests // SMALL_SHARE, 20), other_requests())
    ours, theirs = await post_all(pair.llama, made), await post_all(pair.vllm, made)
    for request, left, right in zip(made, ours, theirs, strict=True):
        assert left.status_code == right.status_code, (request, left.text, right.text)
        assert stable(left.json()) == stable(right.json()), request
