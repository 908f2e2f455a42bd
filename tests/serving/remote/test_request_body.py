"""Every wish of a request is sent by a name that the server has for it, or refused by name."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given

from api.schemas.chat import ChatRequest, read_chat
from api.schemas.completions import CompletionRequest, read_completion
from api.schemas.validation import UnknownFields
from core.errors import InvalidValue, RequestError, UnsupportedField
from core.messages import Conversation, Message, Tool, ToolCall
from core.requests import Ending, GenerationRequest, SamplingWish, View
from core.structures import (
    Choice,
    JsonObject,
    JsonSchema,
    LarkGrammar,
    Regex,
    Structure,
)
from core.thinking import Effort, Thinking
from core.tool_choice import ToolChoice, ToolMode
from core.upstreams import UpstreamKind
from serving.remote.request_body import chat_body, completion_body, encoded
from tests.serving.remote.made_requests import chats, plain_prompts

VLLM, LLAMA_CPP = UpstreamKind.VLLM, UpstreamKind.LLAMA_CPP
OPENAI, OPENROUTER = UpstreamKind.OPENAI, UpstreamKind.OPENROUTER
JARVIS = UpstreamKind.JARVIS
TALK = Conversation((Message("user", "hi"),))
OPEN = Conversation(
    (Message("user", "hi"), Message("assistant", "He")),
    add_generation_prompt=False,
    continue_final_message=True,
)
TOOLS = Conversation(TALK.messages, (Tool("f", "Tells.", {"type": "object"}, True),))
EACH = tuple(UpstreamKind)
ALWAYS = {"messages", "stream", "stream_options"}


def body_of(request: GenerationRequest, kind: UpstreamKind) -> dict[str, Any]:
    """As the server reads it."""
    prompt = request.prompt
    if isinstance(prompt, Conversation):
        made = chat_body(request, prompt, kind)
    else:
        made = completion_body(request, kind)
    return {name: json.loads(bytes(value)) for name, value in encoded(made).items()}


def said(kind: UpstreamKind, **fields: Any) -> dict[str, Any]:
    """What a body holds beside what all do."""
    request = GenerationRequest(**{"id": "r", "prompt": TALK, **fields})
    return {name: v for name, v in body_of(request, kind).items() if name not in ALWAYS}


def as_read(request: GenerationRequest, body: ChatRequest | CompletionRequest) -> GenerationRequest:
    """What this project's own server makes of a body."""
    is_chat = isinstance(body, ChatRequest)
    return GenerationRequest(
        id=request.id,
        prompt=body.conversation if isinstance(body, ChatRequest) else body.prompt[0],
        suffix=None if isinstance(body, ChatRequest) else body.suffix,
        sampling=body.sampling,
        ending=body.ending,
        view=body.view,
        structure=body.structure,
        tool_choice=body.choice_of_tools if isinstance(body, ChatRequest) else ToolChoice(),
        thinking=body.thinking if isinstance(body, ChatRequest) else Thinking(),
        max_tokens=body.token_limit if is_chat else body.max_tokens,
        priority=body.priority or 0,
        cache_salt=body.cache_salt,
    )


@given(chats())
def test_our_own_server_reads_the_same_request_of_a_chat(request: GenerationRequest) -> None:
    read = read_chat(body_of(request, JARVIS), UnknownFields(are_refused=True))
    assert as_read(request, read) == request
    assert (read.stream, read.includes_usage) == (True, True)


@given(plain_prompts())
def test_our_own_server_reads_the_same_request_of_a_prompt(request: GenerationRequest) -> None:
    read = read_completion(body_of(request, JARVIS), UnknownFields(are_refused=True))
    assert as_read(request, read) == request


def refused_field(request: GenerationRequest, kind: UpstreamKind) -> str | None:
    """The field that is named; None where the request is taken."""
    try:
        body_of(request, kind)
    except RequestError as error:
        return error.param or "?"
    return None


@given(chats())
def test_each_kind_takes_a_request_or_names_a_field(request: GenerationRequest) -> None:
    refused = {kind: refused_field(request, kind) for kind in UpstreamKind}
    assert "?" not in refused.values()
    assert refused[JARVIS] is None
    is_compact = getattr(request.structure, "is_compact", False)
    assert refused[VLLM] == ("structured_outputs" if is_compact else None)


SAMPLING = {
    "temperature": 0.5,
    "top_p": 0.9,
    "presence_penalty": 1.0,
    "frequency_penalty": -1.0,
}
FILTERS = {"top_k": 4, "min_p": 0.1, "repetition_penalty": 1.5}


@pytest.mark.parametrize("kind", UpstreamKind)
def test_what_all_know_is_sent_to_all(kind: UpstreamKind) -> None:
    wish = SamplingWish(SAMPLING, logit_bias=((7, -1.0),), seed=5)
    body = said(kind, sampling=wish, ending=Ending(("END",)), max_tokens=9)
    body.pop("provider", None)
    limit = "max_completion_tokens" if kind is OPENAI else "max_tokens"
    others = {"logit_bias": {"7": -1.0}, "seed": 5, "stop": ["END"], limit: 9}
    assert body == SAMPLING | others


@pytest.mark.parametrize("kind", UpstreamKind)
def test_a_request_that_wishes_nothing_says_nothing(kind: UpstreamKind) -> None:
    assert said(kind) == {}


def test_filters_have_other_names_or_none() -> None:
    wish = SamplingWish(FILTERS)
    assert said(VLLM, sampling=wish) == FILTERS
    assert said(LLAMA_CPP, sampling=wish) == {"top_k": 4, "min_p": 0.1, "repeat_penalty": 1.5}
    assert said(OPENROUTER, sampling=wish).items() >= FILTERS.items()
    for name, value in FILTERS.items():
        with pytest.raises(UnsupportedField, match=name) as refused:
            said(OPENAI, sampling=SamplingWish({name: value}))
        assert refused.value.param == name


def test_what_a_server_does_anyway_is_not_refused() -> None:
    wish = SamplingWish({"top_k": None, "min_p": 0.0, "repetition_penalty": 1.0})
    assert said(OPENAI, sampling=wish) == {}
    assert said(VLLM, sampling=wish)["top_k"] == 0


ONLY_ENGINES: dict[str, dict[str, Any]] = {
    "allowed_token_ids": {"sampling": SamplingWish(allowed_token_ids=(1,))},
    "bad_words": {"sampling": SamplingWish(bad_words=("a",))},
    "min_tokens": {"sampling": SamplingWish(min_tokens=1)},
    "stop_token_ids": {"ending": Ending(stop_token_ids=(1,))},
    "ignore_eos": {"ending": Ending(ignores_eos=True)},
    "include_stop_str_in_output": {"ending": Ending(keeps_stop=True)},
    "skip_special_tokens": {"view": View(shows_control=True)},
    "priority": {"priority": 1},
    "cache_salt": {"cache_salt": "a"},
    "structured_outputs": {"structure": Regex("a")},
    "add_generation_prompt": {"prompt": replace(TALK, add_generation_prompt=False)},
}


@pytest.mark.parametrize("name", ONLY_ENGINES)
def test_what_only_engines_know_is_refused_elsewhere(name: str) -> None:
    for kind in (VLLM, JARVIS):
        assert name in said(kind, **ONLY_ENGINES[name])
    for kind in (OPENAI, OPENROUTER, LLAMA_CPP):
        with pytest.raises(UnsupportedField, match=f"{name}.*{kind}") as refused:
            said(kind, **ONLY_ENGINES[name])
        assert refused.value.param == name


NOWHERE: dict[str, dict[str, Any]] = {
    "logprobs": {"view": View(num_logprobs=0)},
    "prompt_logprobs": {"view": View(num_prompt_logprobs=0)},
    "echo": {"prompt": "a", "max_tokens": 1, "view": View(echoes=True)},
    "n": {"num_choices": 2},
    "suffix": {"suffix": "a"},
}


@pytest.mark.parametrize("name", NOWHERE)
@pytest.mark.parametrize("kind", UpstreamKind)
def test_what_another_server_can_not_tell_is_refused(kind: UpstreamKind, name: str) -> None:
    with pytest.raises(UnsupportedField) as refused:
        said(kind, **NOWHERE[name])
    assert refused.value.param == name


STRUCTURES: list[tuple[Structure, dict[str, Any]]] = [
    (JsonObject(), {"response_format": {"type": "json_object"}}),
    (Regex("a+"), {"structured_outputs": {"regex": "a+"}}),
    (Choice(("a", "b")), {"structured_outputs": {"choice": ["a", "b"]}}),
    (LarkGrammar("start: x"), {"structured_outputs": {"grammar": "start: x"}}),
]


@pytest.mark.parametrize(("structure", "fields"), STRUCTURES)
def test_structures_are_sent_in_vllms_words(structure: Structure, fields: dict[str, Any]) -> None:
    assert said(VLLM, structure=structure) == said(JARVIS, structure=structure) == fields


@pytest.mark.parametrize("structure", [JsonObject, partial(JsonSchema, {"a": 1})])
def test_compact_json_is_asked_of_our_own_server_alone(structure: Callable[..., Structure]) -> None:
    wanted = structure(is_compact=True, param="structured_outputs")
    fields = said(JARVIS, structure=wanted)["structured_outputs"]
    assert fields.pop("disable_any_whitespace") is True
    assert fields in ({"json_object": True}, {"json": {"a": 1}})
    for kind in set(UpstreamKind) - {JARVIS}:
        with pytest.raises(UnsupportedField) as refused:
            said(kind, structure=wanted)
        assert refused.value.param == "structured_outputs"


def test_schemas_are_sent_in_each_kinds_words() -> None:
    schema = JsonSchema({"type": "object"}, is_strict=True, param="text.format")
    named = {"name": "answer", "schema": {"type": "object"}, "strict": True}
    openais = {"type": "json_schema", "json_schema": named}
    for kind in (VLLM, JARVIS, OPENAI, OPENROUTER):
        assert said(kind, structure=schema)["response_format"] == openais
    assert said(LLAMA_CPP, structure=schema) == {
        "response_format": {"type": "json_object", "schema": {"type": "object"}}
    }
    assert said(VLLM, structure=JsonSchema(True))["response_format"]["json_schema"]["schema"] == {}
    with pytest.raises(UnsupportedField) as refused:
        said(OPENAI, structure=replace(schema, is_compact=True))
    assert refused.value.param == "text.format"


@pytest.mark.parametrize("kind", UpstreamKind)
def test_tools_are_sent_to_all(kind: UpstreamKind) -> None:
    named = ToolChoice(ToolMode.NAMED, "f", is_parallel=False)
    body = said(kind, prompt=TOOLS, tool_choice=named)
    function = {
        "name": "f",
        "description": "Tells.",
        "parameters": {"type": "object"},
        "strict": True,
    }
    assert body["tools"] == [{"type": "function", "function": function}]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert body["parallel_tool_calls"] is False
    assert "tool_choice" not in said(kind, prompt=TOOLS)
    for mode in (ToolMode.NONE, ToolMode.REQUIRED):
        choice = said(kind, prompt=TOOLS, tool_choice=ToolChoice(mode))["tool_choice"]
        assert choice == mode.name.lower()


def test_thoughts_of_earlier_turns_stand_where_a_kind_has_a_place() -> None:
    calls = (ToolCall("f", "{}", "c"),)
    turns = (Message("assistant", None, tool_calls=calls, reasoning="hm"),)
    talk = Conversation((*turns, Message("tool", "1", tool_call_id="c")))
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    plain = {"role": "assistant", "content": None, "tool_calls": [call]}
    expected: dict[UpstreamKind, dict[str, str]] = {
        VLLM: {"reasoning": "hm"},
        OPENROUTER: {"reasoning": "hm"},
        JARVIS: {"reasoning_content": "hm"},
        LLAMA_CPP: {"reasoning_content": "hm"},
        OPENAI: {},
    }
    for kind, thoughts in expected.items():
        body = body_of(GenerationRequest("r", talk), kind)
        content = {"content": ""} if kind is LLAMA_CPP else {}
        assert body["messages"] == [
            plain | thoughts | content,
            {"role": "tool", "content": "1", "tool_call_id": "c"},
        ]


def test_a_developer_is_the_system_where_the_word_is_not_known() -> None:
    talk = Conversation((Message("developer", "Be short."), Message("user", "hi")))
    roles = {k: body_of(GenerationRequest("r", talk), k)["messages"][0]["role"] for k in EACH}
    assert roles == dict.fromkeys(EACH, "developer") | {LLAMA_CPP: "system"}


def test_thinking_is_asked_for_in_each_kinds_words() -> None:
    wish = Thinking(Effort.LOW, 7)
    both = {"reasoning_effort": "low", "thinking_token_budget": 7}
    assert said(VLLM, thinking=wish) == said(JARVIS, thinking=wish) == both
    assert said(OPENROUTER, thinking=wish)["reasoning"] == {"effort": "low", "max_tokens": 7}
    assert said(OPENAI, thinking=Thinking(Effort.LOW)) == {"reasoning_effort": "low"}
    assert said(LLAMA_CPP, thinking=Thinking(Effort.NONE, 7)) == {
        "chat_template_kwargs": {"enable_thinking": False},
        "thinking_budget_tokens": 7,
    }
    refused = [(OPENAI, wish, "thinking_token_budget"), (LLAMA_CPP, wish, "reasoning_effort")]
    for kind, thinking, name in refused:
        with pytest.raises(UnsupportedField) as error:
            said(kind, thinking=thinking)
        assert error.value.param == name


def test_an_open_turn_is_gone_on_with_where_a_kind_can() -> None:
    for kind in (VLLM, JARVIS):
        open_fields = {"continue_final_message": True, "add_generation_prompt": False}
        assert said(kind, prompt=OPEN) == open_fields
    assert "provider" not in said(OPENROUTER, prompt=OPEN)
    assert said(OPENROUTER, prompt=OPEN) == {}
    for kind in (OPENAI, LLAMA_CPP):
        with pytest.raises(UnsupportedField):
            said(kind, prompt=OPEN)


def test_openrouter_asks_only_those_who_know_all_fields() -> None:
    strict = {"require_parameters": True}
    assert said(OPENROUTER, prompt=TOOLS)["provider"] == strict
    assert said(OPENROUTER, sampling=SamplingWish(seed=1))["provider"] == strict
    assert "provider" not in said(OPENROUTER, max_tokens=9)


def test_plain_prompts_have_the_fields_of_completions() -> None:
    body = said(JARVIS, prompt=(1, 2), suffix="c", max_tokens=0)
    assert body == {"prompt": [1, 2], "suffix": "c", "max_tokens": 0}
    assert said(OPENAI, prompt="a", max_tokens=9) == {"prompt": "a", "max_tokens": 9}
    wish = Thinking(Effort.LOW)
    refused: list[tuple[UpstreamKind, str, dict[str, Any]]] = [
        (OPENROUTER, "prompt", {"prompt": (1,)}),
        (OPENROUTER, "suffix", {"suffix": "c"}),
        (OPENAI, "response_format", {"structure": JsonObject()}),
        (VLLM, "reasoning_effort", {"thinking": wish}),
        (VLLM, "tool_choice", {"tool_choice": ToolChoice(ToolMode.REQUIRED)}),
    ]
    for kind, name, fields in refused:
        with pytest.raises(UnsupportedField) as error:
            said(kind, **{"prompt": "a", "max_tokens": 1} | fields)
        assert error.value.param == name
    with pytest.raises(InvalidValue) as missing:
        said(VLLM, prompt="a")
    assert missing.value.param == "max_tokens"


def test_any_text_and_number_is_sent_as_it_is() -> None:
    half = Conversation((Message("user", "half \ud83d"),), (Tool("f", None, {"const": 2**70}),))
    body = body_of(GenerationRequest("r", half), VLLM)
    assert body["messages"][0]["content"] == "half \ud83d"
    assert body["tools"][0]["function"]["parameters"] == {"const": 2**70}
