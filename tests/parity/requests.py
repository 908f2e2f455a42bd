"""Requests over all fields of both endpoints, right and wrong ones, as hypothesis makes them up."""

from typing import Any

from hypothesis import strategies as st

WORDS = ("hello", "What is 3 + 4?", "Say é 🙂", "capital of Peru", "[1, 2]", "The sky is", "a", " ")
SCHEMA = {
    "type": "object",
    "properties": {"name": {"enum": ["Ada", "Omar"]}, "age": {"type": "integer", "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def tool(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


WEATHER = tool("get_weather", description="Tells the weather.", parameters=CITY)
TOOLS = (
    WEATHER,
    tool("add", parameters=SCHEMA | {"properties": {"a": {"type": "integer"}}, "required": []}),
    tool("now"),
    tool("person", parameters=SCHEMA, strict=True),
)
TOOL_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "tool_choice": st.sampled_from(
        [
            *("auto", "none", "required", "required"),
            {"type": "function", "function": {"name": "get_weather"}},
        ]
    ),
    "parallel_tool_calls": st.booleans(),
}
THINKING: dict[str, st.SearchStrategy[Any]] = {
    "thinking_token_budget": st.sampled_from([0, 1, 3, 9]),
    "reasoning_effort": st.sampled_from(["none", "minimal", "high"]),
    "chat_template_kwargs": st.sampled_from(
        [{"enable_thinking": True}, {"enable_thinking": False}]
    ),
}
ASKED = ("What is the weather in Paris?", "Is it cold in Oslo?", "Hello!", "What is 3 + 4?")
CALLED = [
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "22 degrees, sunny"},
]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
IDS = st.integers(0, 4095)

SAMPLING: dict[str, st.SearchStrategy[Any]] = {
    "top_p": st.sampled_from([0.3, 0.9, 0.95, 1.0]),
    "top_k": st.sampled_from([-1, 0, 1, 5, 50]),
    "min_p": st.sampled_from([0.0, 0.02, 0.2]),
    "presence_penalty": st.sampled_from([-0.5, 0.0, 0.7]),
    "frequency_penalty": st.sampled_from([-0.2, 0.0, 0.6]),
    "repetition_penalty": st.sampled_from([0.9, 1.0, 1.3]),
    "logit_bias": st.dictionaries(IDS.map(str), st.sampled_from([-100, -2, 1.5, 4]), max_size=4),
    "allowed_token_ids": st.lists(IDS, min_size=2, max_size=40),
    "bad_words": st.lists(st.sampled_from(["the", " is", "Hello", "é", "is a"]), max_size=3),
    "min_tokens": st.integers(0, 12),
}
ENDING: dict[str, st.SearchStrategy[Any]] = {
    "stop": st.one_of(
        st.sampled_from([" is", ".", "e", "\n"]),
        st.lists(st.sampled_from(["the", "Hello!", " 7", "o"]), max_size=16),
    ),
    "stop_token_ids": st.lists(IDS, max_size=60),
    "include_stop_str_in_output": st.booleans(),
    "ignore_eos": st.booleans(),
    "skip_special_tokens": st.booleans(),
}
SHARED: dict[str, st.SearchStrategy[Any]] = {
    "n": st.sampled_from([1, 2, 3]),
    "prompt_logprobs": st.sampled_from([0, 2]),
    "priority": st.integers(-2, 2),
    "cache_salt": st.sampled_from(["mine", "yours"]),
    "user": st.just("me"),
    "metadata": st.just({"a": "b"}),
    "store": st.just(False),
    "service_tier": st.sampled_from(["auto", "flex"]),
}
STRUCTURE: dict[str, st.SearchStrategy[Any]] = {
    "response_format": st.sampled_from(
        [
            {"type": "text"},
            {"type": "json_object"},
            {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}},
        ]
    ),
    "structured_outputs": st.sampled_from(
        [
            {"json": SCHEMA},
            {"regex": "[a-c]{1,4}(-[0-9]{2})?"},
            {"choice": ["yes", "no", "maybe"]},
            {"grammar": 'start: "a" ("," "b")*'},
        ]
    ),
}
WRONG: dict[str, st.SearchStrategy[Any]] = {
    "temperature": st.sampled_from([-1, 3, "warm", True]),
    "top_p": st.sampled_from([0, 1.5]),
    "top_k": st.sampled_from([-2, 1.5]),
    "seed": st.sampled_from([2**63, "x", 1.5]),
    "logit_bias": st.sampled_from([{"x": 1}, {"1": 200}, {"99999": 1}, []]),
    "allowed_token_ids": st.sampled_from([[], [4096], ["1"]]),
    "stop": st.sampled_from(["", ["a"] * 17, [1]]),
    "stop_token_ids": st.sampled_from([[-1], [10**9]]),
    "bad_words": st.sampled_from([[""], "x" * 300]),
    "min_tokens": st.sampled_from([-1, 5000]),
    "n": st.sampled_from([0, 129]),
    "prompt_logprobs": st.sampled_from([-1, 21]),
    "response_format": st.sampled_from(
        [
            {"type": "xml"},
            {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "wrong"}}},
            {"type": "json_schema", "json_schema": {"name": "a", "schema": {"not": {}}}},
        ]
    ),
    "structured_outputs": st.sampled_from([{}, {"regex": "("}, {"choice": []}, {"grammar": "x"}]),
    "tools": st.sampled_from([[{"type": "function"}], [tool("a b")], [tool("f"), tool("f")]]),
    "tool_choice": st.just("required"),
    "no_such_field": st.integers(),
    "cache_salt": st.just(""),
}


@st.composite
def some_of(
    draw: st.DrawFn, fields: dict[str, st.SearchStrategy[Any]], most: int
) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(sorted(fields)), max_size=most, unique=True))
    return {name: draw(fields[name]) for name in names}


@st.composite
def shared_fields(draw: st.DrawFn) -> dict[str, Any]:
    """Draws are greedy or seeded: others have no one right answer."""
    how = draw(st.sampled_from(["greedy", "seeded", "seeded"]))
    body: dict[str, Any] = {"temperature": 0} if how == "greedy" else {}
    if how == "seeded":
        body = {"seed": draw(st.integers(-(2**63), 2**63 - 1))}
        body |= draw(some_of({"temperature": st.sampled_from([0.2, 0.8, 1.0, 1.5, 2.0])}, 1))
    body |= {"max_tokens": draw(st.integers(1, 24))}
    body |= draw(some_of(SAMPLING, 4)) | draw(some_of(ENDING, 2)) | draw(some_of(SHARED, 2))
    if draw(st.integers(0, 3)) == 0:
        body |= draw(some_of(STRUCTURE, 1)) | {"max_tokens": draw(st.integers(1, 48))}
    if draw(st.integers(0, 7)) == 0:
        body |= draw(some_of(WRONG, 1))
    return body


@st.composite
def chats(draw: st.DrawFn) -> dict[str, Any]:
    messages = [{"role": "user", "content": draw(TEXTS)}]
    if draw(st.booleans()):
        messages.insert(0, {"role": "system", "content": draw(TEXTS)})
    body = draw(shared_fields()) | {"messages": messages}
    if draw(st.integers(0, 2)) == 0:
        body |= {"logprobs": True, "top_logprobs": draw(st.sampled_from([0, 3, 20]))}
    if draw(st.integers(0, 5)) == 0:
        messages.append({"role": "assistant", "content": draw(TEXTS)})
        body["continue_final_message"] = draw(st.booleans())
    if draw(st.integers(0, 9)) == 0:
        body["add_generation_prompt"] = draw(st.booleans())
    return body


@st.composite
def tool_chats(draw: st.DrawFn) -> dict[str, Any]:
    """With tools, sometimes called before; and with wishes for thinking."""
    messages: list[Any] = [{"role": "user", "content": draw(st.sampled_from(ASKED))}]
    if draw(st.integers(0, 3)) == 0:
        messages += CALLED
    body = draw(shared_fields()) | {"messages": messages, "max_tokens": draw(st.integers(1, 60))}
    if draw(st.integers(0, 5)):
        count = draw(st.integers(1, len(TOOLS)))
        body |= {"tools": list(TOOLS[:count])} | draw(some_of(TOOL_FIELDS, 2))
    if draw(st.integers(0, 3)) == 0:
        body |= {"logprobs": True, "top_logprobs": draw(st.sampled_from([0, 3]))}
    return body | draw(some_of(THINKING, 1))


@st.composite
def completions(draw: st.DrawFn) -> dict[str, Any]:
    prompts = st.one_of(TEXTS, st.lists(IDS, min_size=1, max_size=6), st.lists(TEXTS, max_size=2))
    body = draw(shared_fields()) | {"prompt": draw(prompts)}
    if draw(st.integers(0, 2)) == 0:
        body["logprobs"] = draw(st.sampled_from([0, 3, 20]))
    if draw(st.integers(0, 3)) == 0:
        body["echo"] = draw(st.booleans())
        body["max_tokens"] = draw(st.sampled_from([0, 1, 8]))
    if draw(st.integers(0, 19)) == 0:
        body["suffix"] = draw(TEXTS)
    return body


def requests() -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    """A path and a body."""
    return st.one_of(
        st.tuples(st.just("/v1/chat/completions"), chats()),
        st.tuples(st.just("/v1/chat/completions"), tool_chats()),
        st.tuples(st.just("/v1/completions"), completions()),
    )


def tool_requests() -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    """Those that may call tools or think."""
    return st.tuples(st.just("/v1/chat/completions"), tool_chats())
