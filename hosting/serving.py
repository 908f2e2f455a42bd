"""Owns how uvicorn is set up for an application, and one run of it from start to exit code."""

import socket
import ssl

import uvicorn
from fastapi import FastAPI

from core.operation_settings import OperationSettings
from hosting.connection import connection_class
from hosting.connection_limits import ConnectionStats, connection_limits
from hosting.exit_codes import ExitCode
from hosting.forced_exit import end_now
from hosting.server import Ending, Server
from hosting.tls import tls_context

# Longer than clients keep idle connections (5 s in httpx): else both may give one up at once, and
# a request sent at that moment is lost.
_KEEP_ALIVE_S = 75


def server_config(
    app: FastAPI, settings: OperationSettings, stats: ConnectionStats
) -> uvicorn.Config:
    """`stats` counts what connections are refused or dropped. Raises ConfigurationError."""
    context = tls_context(settings)

    def given_context(*_: object) -> ssl.SSLContext:
        assert context is not None
        return context

    return uvicorn.Config(
        app,
        loop="hosting.event_loop:EventLoop",
        http=connection_class(connection_limits(settings), stats),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        # A line must not name the request before it on the same connection.
        reset_contextvars=True,
        ssl_context_factory=None if context is None else given_context,
    )


def serve(config: uvicorn.Config, listener: socket.socket, ending: Ending) -> int:
    """Blocks until the server has closed. Returns the exit code."""
    server = Server(config, ending)
    try:
        server.run(sockets=[listener])
    except SystemExit as error:
        # A start that failed has a code of uvicorn's, which is ours for something else.
        return ExitCode.FAILED if error.code else ExitCode.STOPPED
    if server.exit_code is ExitCode.ENGINE_LOST:
        # A thread that hangs in native code can't be ended, and clean-up beside it is not safe.
        end_now(server.exit_code, ending.last_words)
    return server.exit_code
