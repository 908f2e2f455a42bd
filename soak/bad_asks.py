"""Owns the requests that are wrong, one line each: the server must refuse every one by a 4xx."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from soak.ask import Ask
from soak.asks import CHAT, COMPLETION, MESSAGES, RESPONSES, Asking
from soak.drawing import Draw, encoded

_REFUSED = frozenset({400, 413})
_MESSAGES = [{"role": "user", "content": "hi"}]
_BODY_LIMIT = 16 << 20
# JSON that is none, or not what it says.
_BROKEN = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'{"messages": [',
    b'{"messages": "\xff\xfe"}',
    b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
    b'{"max_tokens": NaN, "messages": [{"role": "user", "content": "a"}]}',
    b"[" * 20_000,
    b'{"a":' * 20_000,
)
# Beside good messages.
_WRONG: tuple[dict[str, Any], ...] = (
    {"max_tokens": 0},
    {"max_tokens": -1},
    {"max_tokens": "8"},
    {"max_tokens": 10**9},
    {"temperature": 99},
    {"temperature": True},
    {"top_p": 0},
    {"n": 10**6},
    {"stop": ["x"] * 5000},
    {"logit_bias": {"999999999": 1}},
    {"logit_bias": {"a": 1}},
    {"min_tokens": 10**9},
    {"timeout": -1},
    {"timeout": "soon"},
    {"model": "nobody-has-this"},
    {"no_such_field": 1},
    {"prompt_embeds": "AAAA"},
    {"stream": "yes"},
    {"stream_options": {"include_usage": True}},
    {"response_format": {"type": "json_schema"}},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": 3}}},
    {"structured_outputs": {"regex": "[.*"}},
    {"structured_outputs": {"grammar": "start: nothing"}},
    {"structured_outputs": {"choice": []}},
    {"tools": [{"type": "function", "function": {"name": "no name"}}]},
    {"tools": [{"type": "oven"}]},
    {"tool_choice": "required"},
    {"chat_template_kwargs": {"tokenize": True}},
    {"top_logprobs": 3},
    {"priority": 2**70},
    {"cache_salt": "x" * 100_000},
)
_BAD_SCHEMAS: tuple[dict[str, Any], ...] = (
    {"type": "stsring"},
    {"type": "string", "pattern": "[.*"},
    {"$ref": "https://127.0.0.1:1/schema"},
    {"$ref": "#/nowhere"},
    {"type": "object", "properties": {"a": {"type": "something"}}},
    {"allOf": [{"type": "string"}, {"type": "integer"}]},
)


def malformed(draw: Draw) -> Ask:
    """A body that is no JSON object at all."""
    path = draw.one_of(CHAT, COMPLETION, RESPONSES, MESSAGES, "/tokenize", "/detokenize")
    return Ask("malformed", path, draw.one_of(*_BROKEN), expected=frozenset({400}))


def wrong_field(draw: Draw) -> Ask:
    body = {"messages": _MESSAGES, **draw.one_of(*_WRONG)}
    return Ask("wrong field", CHAT, encoded(body), expected=frozenset({400, 404}))


def bad_schema(draw: Draw) -> Ask:
    inner = {"name": "a", "strict": True, "schema": _unseen(draw)}
    wanted = {"type": "json_schema", "json_schema": inner}
    body = {"messages": _MESSAGES, "response_format": wanted, "max_tokens": 8}
    return Ask("bad schema", CHAT, encoded(body), expected=frozenset({400}))


def oversized(draw: Draw) -> Ask:
    """Beyond the body's limit, and maybe dropped while it is sent, or too much of something."""
    if draw.number(0, 3) == 0:
        body = b'{"prompt": "' + b"x" * _BODY_LIMIT + b'"}'
        return Ask("oversized", COMPLETION, body, expected=frozenset({413}), may_be_dropped=True)
    wrong = draw.one_of(
        {"messages": _MESSAGES * 10_001},
        {"messages": _MESSAGES, "tools": [draw.tool() for _ in range(513)]},
        {"messages": [{"role": "user", "content": "word " * draw.window * 4}]},
    )
    return Ask("oversized", CHAT, encoded(wrong), expected=_REFUSED)


def wrong_type(draw: Draw) -> Ask:
    body = encoded({"messages": _MESSAGES})
    kind = draw.one_of("text/plain", "application/xml", "")
    return Ask("wrong type", CHAT, body, content_type=kind, expected=frozenset({400, 415}))


def no_route(draw: Draw) -> Ask:
    method, path = draw.one_of(
        ("GET", f"/nowhere/{draw.number(0, 10**9)}"),
        ("GET", CHAT),
        ("GET", "/v1/responses/resp_unknown"),
        ("DELETE", "/v1/models"),
        ("GET", f"/v1/models/unknown-{draw.number(0, 10**9)}"),
        ("GET", "/../etc/passwd"),
        ("PATCH", "/health"),
    )
    expected = frozenset({400, 404, 405})
    return Ask("no route", path, method=method, expected=expected)


def _unseen(draw: Draw) -> dict[str, Any]:
    """With a name of its own, so that no cache has its refusal."""
    inner = json.loads(json.dumps(draw.one_of(*_BAD_SCHEMAS)))
    name = f"field_{draw.number(0, 10**9)}"
    return {
        "type": "object",
        "properties": {name: inner},
        "required": [name],
        "additionalProperties": False,
    }


BAD_WEIGHTS: Mapping[Asking, float] = MappingProxyType(
    {
        malformed: 3.0,
        wrong_field: 5.0,
        bad_schema: 3.0,
        oversized: 0.5,
        wrong_type: 1.0,
        no_route: 2.0,
    }
)
