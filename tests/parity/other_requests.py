"""Requests in the words of other APIs: OpenAI's Responses and Anthropic's Messages."""

from typing import Any

from hypothesis import strategies as st

from tests.parity.requests import ASKED, CITY, SCHEMA, TEXTS, some_of

RESPONSE_TOOLS = [
    {"type": "function", "name": "get_weather", "description": "Weather.", "parameters": CITY},
    {"type": "function", "name": "person", "parameters": SCHEMA, "strict": True},
]
MESSAGE_TOOLS = [
    {"name": "get_weather", "description": "Weather.", "input_schema": CITY},
    {"name": "now", "input_schema": {"type": "object", "properties": {}}},
]
RESPONSE_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "instructions": TEXTS,
    "tool_choice": st.sampled_from(
        ["auto", "none", "required", {"type": "function", "name": "get_weather"}]
    ),
    "parallel_tool_calls": st.booleans(),
    "reasoning": st.sampled_from([{"effort": "none"}, {"effort": "low"}]),
    "top_p": st.sampled_from([0.3, 1.0]),
    "metadata": st.just({"a": "b"}),
    "store": st.booleans(),
    "text": st.sampled_from(
        [
            {"format": {"type": "text"}},
            {"format": {"type": "json_schema", "name": "person", "schema": SCHEMA}},
        ]
    ),
    "previous_response_id": st.just("resp_unknown"),
    "no_such_field": st.just(1),
}
MESSAGE_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "system": st.one_of(TEXTS, st.just([{"type": "text", "text": "Be brief."}])),
    "tool_choice": st.sampled_from(
        [
            {"type": "auto"},
            {"type": "none"},
            {"type": "any"},
            {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
        ]
    ),
    "stop_sequences": st.lists(st.sampled_from(["the", ".", "e"]), min_size=1, max_size=2),
    "top_k": st.sampled_from([1, 5]),
    "top_p": st.sampled_from([0.3, 1.0]),
    "metadata": st.just({"user_id": "me"}),
    "thinking": st.just({"type": "disabled"}),
    "temperature": st.sampled_from([-1, 2]),
    "no_such_field": st.just(1),
}


@st.composite
def responses(draw: st.DrawFn) -> dict[str, Any]:
    """Greedy: the Responses API has no seed."""
    asked = draw(st.sampled_from(ASKED))
    given: Any = draw(
        st.sampled_from(
            [
                asked,
                [{"role": "user", "content": asked}],
                [{"type": "message", "role": "user", "content": [
                    {"type": "input_text", "text": asked}]}],
                [
                    {"role": "user", "content": asked},
                    {"type": "function_call", "call_id": "call_1", "name": "get_weather",
                     "arguments": '{"city": "Rome"}'},
                    {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
                ],
            ]
        )
    )  # fmt: skip
    body: dict[str, Any] = {"input": given, "temperature": 0}
    body["max_output_tokens"] = draw(st.integers(16, 60))
    if draw(st.booleans()):
        body["tools"] = RESPONSE_TOOLS[: draw(st.integers(1, 2))]
    return body | draw(some_of(RESPONSE_FIELDS, 3))


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """Greedy: the Messages API has no seed."""
    turns: list[Any] = [{"role": "user", "content": draw(st.sampled_from(ASKED))}]
    if draw(st.integers(0, 3)) == 0:
        call = {
            "type": "tool_use",
            "id": "toolu_1",
            "name": "get_weather",
            "input": {"city": "Rome"},
        }
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}
        turns += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    elif draw(st.integers(0, 3)) == 0:
        turns.append({"role": "assistant", "content": "The"})
    body: dict[str, Any] = {"model": "jarvis-tiny", "messages": turns, "temperature": 0}
    body["max_tokens"] = draw(st.integers(1, 60))
    if draw(st.booleans()):
        body["tools"] = MESSAGE_TOOLS[: draw(st.integers(1, 2))]
    return body | draw(some_of(MESSAGE_FIELDS, 3))


def other_requests() -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    """A path and a body."""
    return st.one_of(
        st.tuples(st.just("/v1/responses"), responses()),
        st.tuples(st.just("/v1/messages"), messages()),
        st.tuples(
            st.just("/v1/messages/count_tokens"),
            messages().map(
                lambda body: {
                    k: v for k, v in body.items() if k not in ("max_tokens", "temperature")
                }
            ),
        ),
    )
