"""Owns what clients do, request after request, where one request alone does not tell it."""

import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from itertools import chain
from types import MappingProxyType

import msgspec

from soak.ask import Ask, Form
from soak.asks import CHAT, COMPLETION, RESPONSES, WEIGHTS, Asking
from soak.bad_asks import BAD_WEIGHTS
from soak.client import Client
from soak.crowd_plan import KeyFile
from soak.drawing import encoded
from soak.exchange import Ended, Reply
from soak.key_file import write_keys

Life = Callable[[Client], Awaitable[None]]

_BACKGROUND_WEIGHT = 3.0
_RELOAD_EVERY_S = 3.0
_RELOAD_TRIES = 100
_TRY_EVERY_S = 0.1
_CANARY_EVERY_S = 0.3
_ANY_END = frozenset({200, 404})


async def live_mixed(client: Client) -> None:
    """One kind of request after another, as chance has it."""
    while not client.is_over:
        await client.draw.by_weight(_STEPS)(client)


def _once(asking: Asking) -> Life:
    async def step(client: Client) -> None:
        await client.ask(asking(client.draw))

    return step


async def _in_background(client: Client) -> None:
    """A response that nobody waits for: looked at, cancelled or let go on, deleted or forgotten.

    The server forgets the oldest, which may be this one.
    """
    body = {"input": client.draw.text(1, 30), "max_output_tokens": 64, "background": True}
    reply = await client.ask(Ask("background", RESPONSES, encoded(body)))
    if reply.status != 200 or reply.ended is not Ended.WHOLE:
        return
    path = f"{RESPONSES}/{msgspec.json.decode(reply.body)['id']}"
    steps = (
        Ask("background", path, method="GET", expected=_ANY_END),
        Ask("background", f"{path}/cancel", b"", expected=_ANY_END),
        Ask("background", f"{path}/input_items", method="GET", expected=_ANY_END),
        Ask("background", path, method="DELETE", expected=_ANY_END),
    )
    for step in steps:
        if client.draw.one_of(True, True, False):
            await client.rest(client.draw.seconds(0.0, 0.5))
            await client.ask(step)


_STEPS: Mapping[Life, float] = MappingProxyType(
    {
        _in_background: _BACKGROUND_WEIGHT,
        **{_once(asking): weight for asking, weight in chain(WEIGHTS.items(), BAD_WEIGHTS.items())},
    }
)
_QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
_TEMPERATE = {"temperature": 0, "max_tokens": 24}
_CHAT = {"messages": _QUESTION, **_TEMPERATE}
_SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}}
_FORMAT = {"type": "json_schema", "json_schema": {"name": "city", "schema": _SCHEMA}}
_COUNT = {"prompt": "one two three four one two three", **_TEMPERATE}
_CANARIES = (
    Ask("canary chat", CHAT, encoded(_CHAT)),
    Ask("canary stream", CHAT, encoded({**_CHAT, "stream": True}), form=Form.CHAT),
    Ask("canary structure", CHAT, encoded({**_CHAT, "response_format": _FORMAT})),
    Ask("canary completion", COMPLETION, encoded(_COUNT)),
    Ask(
        "canary seeded",
        COMPLETION,
        encoded({**_COUNT, "temperature": 0.8, "seed": 7, "stream": True}),
        form=Form.CHAT,
    ),
)


class Canaries:
    """Requests whose answers are known: each must say the same at any time, under any load."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self.known = dict(known)

    async def learn(self, client: Client) -> None:
        """Before there is any load."""
        for canary in _CANARIES:
            if canary.kind not in self.known:
                await self._ask(client, canary)

    async def live(self, client: Client) -> None:
        while not client.is_over:
            for canary in _CANARIES:
                await self._ask(client, canary)
                await client.rest(_CANARY_EVERY_S)

    async def _ask(self, client: Client, canary: Ask) -> None:
        reply = await client.ask(canary)
        if reply.ended is not Ended.WHOLE or reply.status != 200:
            return
        said = _said(reply)
        client.tally.add_canary()
        if self.known.setdefault(canary.kind, said) != said:
            known = self.known[canary.kind]
            client.tally.add_fault(canary.kind, f"it said {said!r}, and before {known!r}")


def _said(reply: Reply) -> str:
    if reply.check is not None:
        return f"{reply.check.texts} {reply.check.finish_reasons}"
    choices = msgspec.json.decode(reply.body)["choices"]
    return msgspec.json.encode(choices).decode()


class Reloads:
    """A third key that comes and goes while all others ask: told of by SIGHUP, and by the file's
    change alone.
    """

    def __init__(self, key_file: KeyFile, server_pid: int) -> None:
        self._key_file = key_file
        self._server_pid = server_pid

    async def live(self, client: Client) -> None:
        try:
            while not client.is_over:
                for with_spare, is_told in ((True, True), (False, False), (True, False)):
                    await self._reload(client, with_spare, is_told)
                await self._reload(client, False, True)
        finally:
            write_keys(self._key_file, with_spare=False)

    async def _reload(self, client: Client, with_spare: bool, is_told: bool) -> None:
        if client.is_over:
            return
        write_keys(self._key_file, with_spare=with_spare)
        if is_told:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._server_pid, signal.SIGHUP)
        wanted = 200 if with_spare else 401
        if not await self._becomes(client, wanted) and not client.is_over:
            way = "SIGHUP" if is_told else "the file's change"
            client.tally.add_fault("reload", f"after {way} the spare key got no {wanted}")
        client.tally.add_reload()
        await client.rest(_RELOAD_EVERY_S)

    async def _becomes(self, client: Client, wanted: int) -> bool:
        expected = frozenset({200, 401})
        ask = Ask("reload", "/v1/models", None, "GET", expected, key=self._key_file.spare)
        for _ in range(_RELOAD_TRIES):
            if client.is_over:
                return False
            reply = await client.ask(ask)
            if reply.status == wanted:
                return True
            await client.rest(_TRY_EVERY_S)
        return False
