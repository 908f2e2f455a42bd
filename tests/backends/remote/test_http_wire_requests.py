"""What a wire sends, and to whom: fields, paths, keys, and nothing else."""

import json
import logging
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from backends.remote.http_wire import HttpWire
from core.errors import ConfigurationError, InvalidValue, UpstreamFailed, UpstreamFault
from core.upstreams import UpstreamKind
from tests.backends.remote.wires import (
    KEY,
    ask_whole,
    call,
    failure_of,
    open_wire,
    upstream,
)
from tests.faulty_upstream import (
    faulty_upstream,
)
from tests.upstream_answers import (
    chat,
    redirect,
    status,
    whole,
)

CHAT = json.dumps(chat()).encode()


async def test_a_whole_answer_comes_byte_for_byte() -> None:
    odd = b'{"choices":[], "x_unknown" : {"a": 1.0e2}, "choices2": "\xc3\xa9"}\n'
    async with faulty_upstream(whole(odd)) as server, open_wire(server.url) as wire:
        reply = await ask_whole(wire)
        assert (reply.status, reply.body, reply.upstream) == (200, odd, "gpu-box")
        assert reply.media_type == "application/json"


async def test_fields_arrive_byte_for_byte_with_the_servers_name_of_the_model() -> None:
    fields = {"messages": b'[ {"role" : "user"} ]', "model": b'"mine"', "temperature": b"0.70"}
    async with faulty_upstream(whole(CHAT)) as server, open_wire(server.url) as wire:
        await ask_whole(wire, call(fields=fields))
        await ask_whole(wire, call(fields={"prompt": b'"\\u00e9"'}))
        in_place, first = (request.body for request in server.requests)
    assert in_place == b'{"messages":[ {"role" : "user"} ],"model":"tiny","temperature":0.70}'
    assert first == b'{"model":"tiny","prompt":"\\u00e9"}'


async def test_what_is_meant_for_a_kind_of_server_is_sent_to_that_kind_alone() -> None:
    asked = call(fields={"a": b"1"})
    for_others = replace(asked, fields_of_kinds={UpstreamKind.OPENAI: asked.fields})
    for_this_kind = {UpstreamKind.VLLM: {"b": msgspec.Raw(b"2")}}
    async with faulty_upstream(whole(CHAT)) as server, open_wire(server.url) as wire:
        await ask_whole(wire, for_others)
        await ask_whole(wire, replace(for_others, fields_of_kinds=for_this_kind))
        bodies = [request.body for request in server.requests]
    assert bodies == [b'{"model":"tiny","a":1}', b'{"model":"tiny","b":2}']


async def test_paths_stand_behind_the_base_url_or_the_servers_root() -> None:
    async with faulty_upstream(whole(CHAT)) as server:
        base = f"{server.root}/api/v1"
        async with open_wire(base) as wire:
            await ask_whole(wire)
            await ask_whole(wire, call(path="/tokenize"))
            await wire.get("models")
            await wire.get("/metrics")
            assert wire.url == base
        async with open_wire(f"{server.root}/other/") as wire:
            await wire.get("models")
            await wire.get("/health")
        async with open_wire(server.root) as wire:
            await wire.get("models")
        assert [(each.method, each.path) for each in server.requests] == [
            ("POST", "/api/v1/chat/completions"),
            ("POST", "/api/tokenize"),
            ("GET", "/api/v1/models"),
            ("GET", "/api/metrics"),
            ("GET", "/other/models"),
            ("GET", "/other/health"),
            ("GET", "/v1/models"),
        ]


async def test_the_upstreams_key_is_sent_and_the_clients_is_not() -> None:
    async with faulty_upstream(whole(CHAT)) as server:
        extra = {"X-Title": SecretStr("home lab")}
        async with open_wire(server.url, api_key=SecretStr(KEY), extra_headers=extra) as wire:
            await ask_whole(wire, call(client_key="of-a-client"))
            await wire.get("models")
        async with open_wire(server.url) as wire:
            await ask_whole(wire, call(client_key="of-a-client"))
        asked, listed, keyless = (request.headers for request in server.requests)
    assert asked["authorization"] == listed["authorization"] == f"Bearer {KEY}"
    assert asked["x-title"] == "home lab"
    assert asked["host"] == f"127.0.0.1:{server.port}"
    assert asked["accept-encoding"] == "identity"
    assert asked["content-type"] == "application/json"
    assert "authorization" not in keyless
    assert not any("of-a-client" in value for value in keyless.values())


async def test_a_clients_key_goes_instead_of_the_upstreams_where_that_is_set() -> None:
    settings: dict[str, Any] = {"api_key": SecretStr(KEY), "passes_client_key": True}
    async with (
        faulty_upstream(whole(CHAT)) as server,
        open_wire(server.url, **settings) as wire,
    ):
        await ask_whole(wire, call(client_key="of-a-client"))
        await ask_whole(wire)
        await wire.get("models")
        keys = [request.headers["authorization"] for request in server.requests]
        assert keys == ["Bearer of-a-client", f"Bearer {KEY}", f"Bearer {KEY}"]
        with pytest.raises(InvalidValue) as raised:
            await ask_whole(wire, call(client_key="split\r\nx-evil: 1"))
        assert "evil" not in str(raised.value)
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    "settings",
    [
        {"api_key": SecretStr("sec\nret")},
        {"extra_headers": {"x-a": SecretStr("sec\rret")}},
        {"extra_headers": {"bad name": SecretStr("sec")}},
        {"extra_headers": {"Content-Length": SecretStr("sec")}},
        {"extra_headers": {"Authorization": SecretStr("sec")}, "api_key": SecretStr("sec")},
    ],
)
def test_headers_that_cannot_be_sent_stop_the_start_and_are_not_shown(
    settings: dict[str, Any],
) -> None:
    url = "http://127.0.0.1:1/v1"
    with pytest.raises(ConfigurationError) as raised:
        HttpWire(upstream(url, **settings), url)
    assert "sec" not in str(raised.value)


@pytest.mark.parametrize("url", ["http://a:secret@host/v1", "http://host/v1?k=secret", "ftp://a/"])
def test_urls_with_secrets_or_of_another_kind_stop_the_start(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        HttpWire(upstream(url), url)
    assert "secret" not in str(raised.value)


async def test_redirects_are_failures_and_nobody_else_is_contacted() -> None:
    async with faulty_upstream(whole(CHAT)) as other:
        away = redirect(f"{other.url}/chat/completions")
        async with (
            faulty_upstream(away) as server,
            open_wire(server.url, api_key=SecretStr(KEY)) as wire,
        ):
            failure = await failure_of(wire)
            assert (failure.fault, failure.status) == (UpstreamFault.STATUS, 302)
            assert (await wire.get("models")).status == 302
        assert other.num_connections == 0


async def test_the_environment_names_no_proxy_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    async with faulty_upstream(whole(CHAT)) as proxy, faulty_upstream(whole(CHAT)) as server:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.root)
        async with open_wire(server.url) as wire:
            await ask_whole(wire)
        assert (len(server.requests), proxy.num_connections) == (1, 0)


async def test_cookies_of_one_answer_do_not_go_with_the_next_request() -> None:
    answer = whole(CHAT, headers={"set-cookie": "who=somebody; Path=/"})
    async with faulty_upstream(answer) as server, open_wire(server.url) as wire:
        await ask_whole(wire)
        await ask_whole(wire)
        assert "cookie" not in server.requests[1].headers


async def test_no_key_is_in_any_log(caplog: pytest.LogCaptureFixture) -> None:
    extra = {"x-secret": SecretStr("also-secret")}
    settings: dict[str, Any] = {
        "api_key": SecretStr(KEY),
        "extra_headers": extra,
        "passes_client_key": True,
    }
    with caplog.at_level(logging.DEBUG):
        async with (
            faulty_upstream(whole(CHAT), status(500)) as server,
            open_wire(server.url, **settings) as wire,
        ):
            await ask_whole(wire)
            await failure_of(wire)
            await failure_of_client_key(wire)
    assert KEY not in caplog.text
    assert "also-secret" not in caplog.text
    assert "of-a-client" not in caplog.text


async def failure_of_client_key(wire: HttpWire) -> None:
    with pytest.raises(UpstreamFailed):
        await wire.ask(call(client_key="of-a-client"), "tiny")
