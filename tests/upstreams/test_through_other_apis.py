"""Messages and Responses over upstreams that are asked for chat completions: the same answers, of
the client libraries' own types.
"""

import json
from typing import Any

import httpx2
import pytest

from tests.api.messages.anthropic_types import checked_error, checked_event, checked_message
from tests.api.messages.made_up import events_in
from tests.api.responses.folding import read_frames
from tests.api.responses.strictly import check_response
from tests.clients.questions import REPORT, WEATHER_FUNCTION, WEATHER_SCHEMA, get_weather
from tests.upstream_servers import MODEL_ID, UpstreamServer
from tests.upstreams.through import opened

pytestmark = pytest.mark.engine

MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
HELLO, I_AM = "Hello! What are you?", "I am Jarvis, a tiny language model."
IN_PARIS = "What is the weather in Paris?"
MESSAGE_TOOL = {"name": "get_weather", "input_schema": WEATHER_SCHEMA}
RESPONSE_TOOL = {"type": "function", "strict": False, **WEATHER_FUNCTION}
# What differs from one answer to the next.
CHANGING = ("id", "call_id", "created_at", "completed_at")


@pytest.fixture(params=["jarvis", "vllm"])
def upstream(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(proxy: httpx2.Client, upstream: str, path: str, body: dict[str, Any]) -> httpx2.Response:
    named = {"model": f"{upstream}/{MODEL_ID}", "temperature": 0} | body
    response = proxy.post(path, json=named)
    assert response.status_code == 200, response.text
    assert response.headers["x-jarvis-upstream"] == upstream
    return response


def message(proxy: httpx2.Client, upstream: str, turns: list[Any], **fields: Any) -> Any:
    """What a plain message says, and its stream too."""
    body = {"max_tokens": 60, "messages": turns} | fields
    plain = checked_message(ask(proxy, upstream, MESSAGES, body).json())
    streamed = ask(proxy, upstream, MESSAGES, body | {"stream": True})
    events = [checked_event(event) for event in events_in(streamed.text)]
    assert [event["type"] for event in events].count("message_stop") == 1
    (end,) = [event for event in events if event["type"] == "message_delta"]
    assert end["delta"]["stop_reason"] == plain["stop_reason"]
    assert end["usage"]["output_tokens"] == plain["usage"]["output_tokens"]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    said = "".join(each.get("text") or each.get("partial_json") or "" for each in deltas)
    (block,) = plain["content"]
    if block["type"] == "text":
        assert said == block["text"]
    else:
        assert json.loads(said) == block["input"]
    assert plain["model"] == f"{upstream}/{MODEL_ID}"
    return plain


def test_messages(proxy: httpx2.Client, upstream: str) -> None:
    answer = message(proxy, upstream, [{"role": "user", "content": HELLO}])
    assert answer["content"][0]["text"] == I_AM
    assert answer["stop_reason"] == "end_turn"
    assert answer["usage"]["input_tokens"] + answer["usage"]["cache_read_input_tokens"] == 14
    assert answer["usage"]["output_tokens"] > 8


def test_messages_that_are_cut_off_or_stopped(proxy: httpx2.Client, upstream: str) -> None:
    turns = [{"role": "user", "content": HELLO}]
    cut = message(proxy, upstream, turns, max_tokens=3)
    assert (cut["content"][0]["text"], cut["stop_reason"]) == ("I am Jarvis", "max_tokens")
    stopped = message(proxy, upstream, turns, stop_sequences=[" tiny"])
    assert stopped["content"][0]["text"] == "I am Jarvis, a"


def test_a_tool_loop_of_messages(proxy: httpx2.Client, upstream: str) -> None:
    turns: list[Any] = [{"role": "user", "content": IN_PARIS}]
    asked = message(proxy, upstream, turns, tools=[MESSAGE_TOOL])
    assert asked["stop_reason"] == "tool_use"
    (call,) = asked["content"]
    result = {
        "type": "tool_result",
        "tool_use_id": call["id"],
        "content": get_weather(**call["input"]),
    }
    turns += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    told = message(proxy, upstream, turns, tools=[MESSAGE_TOOL])
    assert told["content"][0]["text"] == REPORT


def test_messages_refused_by_an_upstream_say_so_in_anthropic_s_words(
    proxy: httpx2.Client, upstream: str
) -> None:
    body = {"max_tokens": 3, "messages": [{"role": "user", "content": "word " * 2000}]}
    response = proxy.post(MESSAGES, json=body | {"model": f"{upstream}/{MODEL_ID}"})
    assert response.status_code == 400
    assert checked_error(response.json())["type"] == "invalid_request_error"


def response(proxy: httpx2.Client, upstream: str, **fields: Any) -> Any:
    """What a plain response says, and its stream too."""
    plain = ask(proxy, upstream, RESPONSES, fields).json()
    check_response(plain)
    streamed = ask(proxy, upstream, RESPONSES, fields | {"stream": True})
    last = read_frames(streamed.content)[-1]
    assert last["type"].removeprefix("response.") == plain["status"]
    assert last["response"]["usage"]["output_tokens"] == plain["usage"]["output_tokens"]
    assert lasting(last["response"]["output"]) == lasting(plain["output"])
    return plain


def lasting(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in item.items() if k not in CHANGING} for item in items]


def test_responses(proxy: httpx2.Client, upstream: str) -> None:
    answer = response(proxy, upstream, input=HELLO, instructions="Be brief.")
    assert I_AM in answer["output"][0]["content"][0]["text"]
    assert answer["model"] == f"{upstream}/{MODEL_ID}"
    cut = response(proxy, upstream, input=HELLO, max_output_tokens=3)
    assert cut["status"] == "incomplete"
    assert cut["incomplete_details"] == {"reason": "max_output_tokens"}


def test_a_tool_loop_of_responses(proxy: httpx2.Client, upstream: str) -> None:
    asked = response(proxy, upstream, input=IN_PARIS, tools=[RESPONSE_TOOL])
    (call,) = asked["output"]
    assert (call["type"], call["name"]) == ("function_call", "get_weather")
    told = {
        "type": "function_call_output",
        "call_id": call["call_id"],
        "output": get_weather(**json.loads(call["arguments"])),
    }
    rest: dict[str, Any] = {"input": [told], "tools": [RESPONSE_TOOL]}
    answer = response(proxy, upstream, **rest, previous_response_id=asked["id"])
    assert answer["output"][0]["content"][0]["text"] == REPORT


def test_a_response_in_a_schema(proxy: httpx2.Client, upstream: str) -> None:
    form = {"type": "json_schema", "name": "city", "schema": WEATHER_SCHEMA, "strict": False}
    answer = response(proxy, upstream, input=IN_PARIS, text={"format": form}, max_output_tokens=60)
    assert json.loads(answer["output"][0]["content"][0]["text"]).keys() == {"city"}


@pytest.mark.parametrize("path", [MESSAGES, RESPONSES])
def test_a_jarvis_upstream_s_own_answer_is_the_same(
    proxy: httpx2.Client, upstream_servers: dict[str, UpstreamServer], path: str
) -> None:
    said = {"messages": [{"role": "user", "content": HELLO}], "max_tokens": 20}
    body = (said if path == MESSAGES else {"input": HELLO}) | {"temperature": 0}
    through = ask(proxy, "jarvis", path, body).json()
    with opened(upstream_servers["jarvis"]) as client:
        direct = client.post(path, json=body | {"model": MODEL_ID}).json()
    for name in ("output", "content"):
        assert lasting(through.pop(name, [])) == lasting(direct.pop(name, []))
    differ = {
        name
        for name in through.keys() | direct.keys()
        if through.get(name, "absent") != direct.get(name, "absent")
    }
    assert differ <= {"model", *CHANGING}
