"""Owns how a request becomes the body of a chat or plain completion, for a kind of server.

Nothing is dropped: what a server of the kind does not honour is refused by name. Knows no HTTP.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from core.errors import InvalidValue, UnsupportedField
from core.messages import Conversation
from core.requests import GenerationRequest
from core.structures import Choice, JsonObject, JsonSchema, Regex, Structure
from core.thinking import Effort
from core.tool_choice import ToolMode
from core.upstreams import UpstreamKind
from serving.remote.body_fields import CHAT_FIELDS, COMPLETION_FIELDS, NEUTRAL
from serving.remote.written_messages import Body, written_choice, written_message, written_tool

Wish = tuple[str, Any]

_STRUCTURES = ("response_format", "structured_outputs", "compact_json")
_SCHEMA_NAME = "answer"


def chat_body(request: GenerationRequest, conversation: Conversation, kind: UpstreamKind) -> Body:
    """Raises UnsupportedField or InvalidValue."""
    messages = [written_message(each, kind) for each in conversation.messages]
    wishes = dict(_shared_wishes(request)) | dict(_chat_wishes(request, conversation))
    if kind is UpstreamKind.OPENROUTER and conversation.continue_final_message:
        # It goes on with a last message that is the assistant's, and has no field that says so.
        del wishes["continue_final_message"], wishes["add_generation_prompt"]
    named = _named(wishes, request, kind, CHAT_FIELDS[kind])
    return _streamed({"messages": messages, **_adapted(named, kind)})


def completion_body(request: GenerationRequest, kind: UpstreamKind) -> Body:
    """Raises UnsupportedField or InvalidValue."""
    prompt = request.prompt
    assert not isinstance(prompt, Conversation)
    if request.max_tokens is None:
        raise InvalidValue(
            "max_tokens is missing: for a plain prompt other servers would answer with 16 tokens",
            param="max_tokens",
        )
    wishes = dict(_shared_wishes(request)) | dict(_thinking_wishes(request))
    if request.suffix is not None:
        wishes["suffix"] = request.suffix
    if request.tool_choice.is_forced:
        wishes["tool_choice"] = written_choice(request.tool_choice)
    if not isinstance(prompt, str):
        wishes["prompt_ids"] = prompt
    named = _named(wishes, request, kind, COMPLETION_FIELDS[kind])
    named.pop("prompt_ids", None)
    return _streamed({"prompt": prompt, **_adapted(named, kind)})


def encoded(body: Body) -> dict[str, msgspec.Raw]:
    """Each field as JSON."""
    return {name: msgspec.Raw(_encoded(value)) for name, value in body.items()}


def _encoded(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (OverflowError, UnicodeEncodeError):
        # A schema may hold integers beyond 64 bits, and a text half a surrogate pair.
        return json.dumps(value).encode()


def _streamed(body: Body) -> Body:
    return {**body, "stream": True, "stream_options": {"include_usage": True}}


def _named(
    wishes: Mapping[str, Any],
    request: GenerationRequest,
    kind: UpstreamKind,
    names: Mapping[str, str],
) -> Body:
    """The wishes by the names that the kind has. Raises UnsupportedField."""
    body: Body = {}
    for field, value in wishes.items():
        if field in names:
            body[names[field]] = value
        elif field not in NEUTRAL or NEUTRAL[field] != value:
            raise _refusal(_param(field, request), kind)
    return body


def _param(field: str, request: GenerationRequest) -> str:
    """The client's own name of the field."""
    if field in _STRUCTURES and request.structure is not None:
        return request.structure.param
    return "prompt" if field == "prompt_ids" else field


def _refusal(param: str, kind: UpstreamKind) -> UnsupportedField:
    return UnsupportedField(
        f"{param} can't be honoured by the server that has this model, one of kind {kind}: leave it"
        " out",
        param=param,
    )


def _shared_wishes(request: GenerationRequest) -> Iterator[Wish]:
    """What chat and plain prompts have in common, but for defaults. Raises UnsupportedField."""
    _check_view(request)
    wish, ending = request.sampling, request.ending
    for name, value in wish.given.items():
        yield name, 0 if name == "top_k" and value is None else value
    optional: Body = {
        "logit_bias": {str(token_id): bias for token_id, bias in wish.logit_bias},
        "bad_words": wish.bad_words,
        "min_tokens": wish.min_tokens,
        "stop": ending.stop,
        "stop_token_ids": ending.stop_token_ids,
        "ignore_eos": ending.ignores_eos,
        "include_stop_str_in_output": ending.keeps_stop,
        "priority": request.priority,
    }
    yield from ((name, value) for name, value in optional.items() if value)
    nullable: Body = {
        "allowed_token_ids": wish.allowed_token_ids,
        "seed": wish.seed,
        "max_tokens": request.max_tokens,
        "cache_salt": request.cache_salt,
    }
    yield from ((name, value) for name, value in nullable.items() if value is not None)
    if request.view.shows_control:
        yield "skip_special_tokens", False
    if request.structure is not None:
        yield _structure(request.structure)


def _check_view(request: GenerationRequest) -> None:
    """Scores are of ids of a vocabulary, which only an engine in this process tells."""
    view = request.view
    asked = {
        "logprobs": view.num_logprobs is not None,
        "prompt_logprobs": view.num_prompt_logprobs is not None,
        "echo": view.echoes,
        "n": request.num_choices > 1,
        "suffix": request.suffix is not None and isinstance(request.prompt, Conversation),
    }
    for name, is_asked in asked.items():
        if is_asked:
            raise UnsupportedField(
                f"{name} can't be honoured for a model that another server has: leave it out",
                param=name,
            )


def _structure(structure: Structure) -> Wish:
    match structure:
        case JsonObject(is_compact=False):
            return "response_format", {"type": "json_object"}
        case JsonSchema(schema, is_strict, is_compact=False):
            named = {"name": _SCHEMA_NAME, "schema": _schema(schema), "strict": is_strict}
            return "response_format", {"type": "json_schema", "json_schema": named}
        case JsonObject():
            return "compact_json", {"json_object": True, "disable_any_whitespace": True}
        case JsonSchema(schema):
            return "compact_json", {"json": _schema(schema), "disable_any_whitespace": True}
        case Regex(pattern):
            return "structured_outputs", {"regex": pattern}
        case Choice(options):
            return "structured_outputs", {"choice": options}
        case _:
            return "structured_outputs", {"grammar": structure.text}


def _schema(schema: Mapping[str, Any] | bool) -> Mapping[str, Any]:
    """Most servers take objects alone."""
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    return schema


def _chat_wishes(request: GenerationRequest, conversation: Conversation) -> Iterator[Wish]:
    choice = request.tool_choice
    if conversation.tools:
        yield "tools", [written_tool(each) for each in conversation.tools]
        if not choice.is_parallel:
            yield "parallel_tool_calls", False
    if (conversation.tools or choice.is_forced) and choice.mode is not ToolMode.AUTO:
        yield "tool_choice", written_choice(choice)
    yield from _thinking_wishes(request)
    if conversation.template_kwargs:
        yield "chat_template_kwargs", conversation.template_kwargs
    if not conversation.add_generation_prompt:
        yield "add_generation_prompt", False
    if conversation.continue_final_message:
        yield "continue_final_message", True


def _thinking_wishes(request: GenerationRequest) -> Iterator[Wish]:
    thinking = request.thinking
    if thinking.effort is not None:
        yield "reasoning_effort", thinking.effort.value
    if thinking.budget is not None:
        yield "thinking_token_budget", thinking.budget


def _adapted(body: Body, kind: UpstreamKind) -> Body:
    """What a kind spells in a way of its own. Raises UnsupportedField."""
    if kind is UpstreamKind.OPENROUTER:
        return _for_openrouter(body)
    if kind is UpstreamKind.LLAMA_CPP:
        return _for_llama_cpp(body)
    return body


def _for_openrouter(body: Body) -> Body:
    spelled = {"reasoning_effort": "effort", "thinking_token_budget": "max_tokens"}
    reasoning = {to: body[name] for name, to in spelled.items() if name in body}
    rest = {name: value for name, value in body.items() if name not in spelled}
    if reasoning:
        rest["reasoning"] = reasoning
    if set(rest) - {"max_tokens"}:
        rest["provider"] = {"require_parameters": True}
    return rest


def _for_llama_cpp(body: Body) -> Body:
    body = dict(body)
    effort = body.pop("reasoning_effort", None)
    if effort not in (None, Effort.NONE.value):
        raise _refusal("reasoning_effort", UpstreamKind.LLAMA_CPP)
    if effort is not None:
        variables = body.get("chat_template_kwargs", {})
        body["chat_template_kwargs"] = {"enable_thinking": False, **variables}
    wanted = body.get("response_format", {}).get("json_schema")
    if wanted is not None:
        body["response_format"] = {"type": "json_object", "schema": wanted["schema"]}
    return body
