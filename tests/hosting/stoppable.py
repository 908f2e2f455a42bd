"""A small server that can be stopped: a program for tests of its end. Its first argument is how
long it drains, in seconds; its second is a program that it starts.
"""

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import uvicorn

from api.cutoff import Cutoff
from api.traffic import Traffic
from core.errors import ConfigurationError, JarvisError, ServerStopping
from core.setting_types import LogFormat
from core.settings import Settings, load_settings
from hosting.log_output import writing_logs
from hosting.reloading import reloading
from hosting.server import Ending, Server

_PLAIN = [(b"content-type", b"text/plain")]


class App:
    """/stream says one line, and another when /release was asked for, or why it was ended."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.traffic = Traffic()
        self.released = asyncio.Event()
        self.lost: asyncio.Future[str] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
                # In one piece, beside the lines of the log's own thread.
                print(f"{step} on {self._url}\n", end="", flush=True)
            return
        if scope["path"] == "/release":
            self.released.set()
        if scope["path"] == "/lose":
            self._lost().set_result("it burned down")
        try:
            cutoff = self.traffic.enter()
        except ServerStopping as error:
            await _answer(send, 503, str(error))
            return
        try:
            await (self._stream(cutoff, send) if scope["path"] == "/stream" else _answer(send, 200))
        finally:
            self.traffic.leave(cutoff)

    async def given_up(self) -> str:
        return await self._lost()

    def _lost(self) -> asyncio.Future[str]:
        if self.lost is None:
            self.lost = asyncio.get_running_loop().create_future()
        return self.lost

    async def _stream(self, cutoff: Cutoff, send: Any) -> None:
        ended: list[JarvisError] = []

        def end(error: JarvisError) -> None:
            ended.append(error)
            self.released.set()

        cutoff.on_cut(end)
        await send({"type": "http.response.start", "status": 200, "headers": _PLAIN})
        await _line(send, "begun", more=True)
        await self.released.wait()
        await _line(send, f"error: {ended[0]}" if ended else "whole", more=False)


async def _answer(send: Any, status: int, text: str = "fine") -> None:
    await send({"type": "http.response.start", "status": status, "headers": _PLAIN})
    await _line(send, text, more=False)


async def _line(send: Any, text: str, *, more: bool) -> None:
    body = f"{text}\n".encode()
    await send({"type": "http.response.body", "body": body, "more_body": more})


def _read() -> Settings:
    if os.path.exists("bad"):
        raise ConfigurationError("JARVIS_PORT='x' (.env): allowed: an integer")
    return load_settings({}, environ={}, env_file=None)


async def _serve(drain_timeout_s: float, last_words: Callable[[], None]) -> int:
    listener = socket.create_server(("127.0.0.1", 0))
    app = App(f"http://127.0.0.1:{listener.getsockname()[1]}")
    config = uvicorn.Config(app, lifespan="on", log_config=None, access_log=False)
    ending = Ending(
        traffic=app.traffic,
        drain_timeout_s=drain_timeout_s,
        reload=reloading(_read, lambda _: logging.info("adopted")),
        given_up=(app.given_up,),
        last_words=last_words,
    )
    server = Server(config, ending)
    await server.serve([listener])
    return server.exit_code


if __name__ == "__main__":
    logging.getLogger().setLevel(logging.INFO)
    if len(sys.argv) > 2:
        subprocess.Popen(sys.argv[2:])
    with writing_logs(LogFormat.TEXT) as lines:
        code = asyncio.run(_serve(float(sys.argv[1]), lines.end))
    sys.exit(code)
