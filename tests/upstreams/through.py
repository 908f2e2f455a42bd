"""This project's server before others, as a process: what its file of upstreams says, and how an
answer through it is held against the direct one.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.upstream_servers import MODEL_ID, UpstreamServer

KEY = "sk-not-to-be-told-{}"
WAIT_S = 60
# Text that is new with each answer. Servers differ in the blank behind a colon.
_VOLATILE = re.compile(rb'("id": ?"[^"]*"|"created": ?\d+)')

# Their streams say the same in larger pieces where a reader is slow.
MERGING = ("jarvis", "jarvis-two", "vllm")
_PARTS = ("content", "text", "arguments")


def entry(name: str, kind: str, *base_urls: str, **fields: Any) -> dict[str, Any]:
    """An upstream as the file has it. It is asked once, and stays in use however often it fails."""
    usual = {"max_retries": 0, "breaker": {"failures": 1000}, "api_key": KEY.format(name)}
    return {"name": name, "kind": kind, "base_url": list(base_urls)} | usual | fields


def upstreams_file(
    folder: Path,
    *upstreams: dict[str, Any],
    fallbacks: Mapping[str, list[str]] | None = None,
    refresh_s: float = 60.0,
) -> Path:
    """What JSON writes of texts, numbers, lists of texts and truth is TOML too."""
    lines = [f"refresh_s = {refresh_s}"]
    for upstream in upstreams:
        lines += ["[[upstreams]]", *_assigned(upstream)]
        for name, table in upstream.items():
            if isinstance(table, dict):
                lines += [f"[upstreams.{name}]", *_assigned(table)]
    lines += ["[model_fallbacks]", *_assigned(fallbacks or {})]
    path = folder / "upstreams.toml"
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")
    return path


def _assigned(table: Mapping[str, Any]) -> list[str]:
    plain = {name: value for name, value in table.items() if not isinstance(value, dict)}
    return [f"{json.dumps(name)} = {json.dumps(value)}" for name, value in plain.items()]


@dataclass(frozen=True, slots=True)
class Through:
    """One upstream, asked by itself and through the server before it."""

    name: str
    direct: httpx2.Client
    proxy: httpx2.Client

    @property
    def model(self) -> str:
        return f"{self.name}/{MODEL_ID}"

    def ask_directly(self, path: str, body: dict[str, Any]) -> httpx2.Response:
        return self.direct.post(path, json={"model": MODEL_ID} | body)

    def ask(self, path: str, body: dict[str, Any]) -> httpx2.Response:
        """The same, with the upstream's name before that of the model."""
        named = body | {"model": f"{self.name}/{body.get('model', MODEL_ID)}"}
        return self.proxy.post(path, json=named)


def opened(server: UpstreamServer) -> httpx2.Client:
    return httpx2.Client(base_url=server.root_url, timeout=WAIT_S)


def stable(body: bytes) -> bytes:
    """Without what is new with each answer; all else byte for byte."""
    return _VOLATILE.sub(b"*", body)


def without_upstream(response: httpx2.Response, name: str) -> Any:
    """An error's body as the upstream sent it: its name has to be where the error is told."""
    body = response.json()
    error = body.get("error")
    told = error if isinstance(error, dict) else body
    assert told.pop("upstream") == name
    return body


def assert_same(direct: httpx2.Response, through: httpx2.Response, name: str) -> None:
    """The same status and body, but for ids, times, and who sent an error."""
    assert through.status_code == direct.status_code, through.text
    assert through.headers["x-jarvis-upstream"] == name
    if direct.status_code != httpx2.codes.OK:
        assert without_upstream(through, name) == direct.json()
        return
    kind = direct.headers["content-type"].partition(";")[0]
    assert through.headers["content-type"].partition(";")[0] == kind
    got, wanted = stable(through.content), stable(direct.content)
    if kind == "text/event-stream" and name in MERGING:
        assert joined(got) == joined(wanted)
    else:
        assert got == wanted


def events_of(body: bytes) -> list[dict[str, Any]]:
    """Of a whole stream: one `data` line an event, and the mark of its end."""
    *events, end, rest = body.split(b"\n\n")
    assert (end, rest) == (b"data: [DONE]", b"")
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


def joined(stream: bytes) -> tuple[list[str], dict[str, list[Any]]]:
    """All that it says wherever its borders are: its events, in their order and the order of their
    fields, without what they say, each kind once in a row; and what they say, joined.
    """
    said: dict[str, list[Any]] = {}
    shapes: list[str] = []
    for event in events_of(stream.replace(b"{*", b'{"id":0').replace(b",*", b',"is_new":0')):
        for choice in event["choices"]:
            _take_apart(choice, f"{choice['index']}", said)
        shape = json.dumps(event)
        shapes += [] if shapes[-1:] == [shape] else [shape]
    return shapes, said


def _take_apart(value: dict[str, Any], path: str, said: dict[str, list[Any]]) -> None:
    for name, each in value.items():
        here = f"{path}.{name}"
        if isinstance(each, dict):
            _take_apart(each, here, said)
        elif name == "tool_calls" and each:
            for call in each:
                _take_apart(call, f"{here}.{call['index']}", said)
        elif isinstance(each, list) or (isinstance(each, str) and name in _PARTS):
            said.setdefault(here, []).extend(each)
            value[name] = type(each)()
