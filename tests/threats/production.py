"""Serves an application through the connections that users' servers have, in a test's loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from core.settings import Settings
from hosting.connection import connection_class
from hosting.connection_limits import ConnectionStats, connection_limits
from tests.engines import listener_on_loopback


@asynccontextmanager
async def as_in_production(app: FastAPI, settings: Settings) -> AsyncIterator[str]:
    """Its base URL."""
    stats = ConnectionStats()
    with listener_on_loopback() as listener:
        config = uvicorn.Config(
            app,
            http=connection_class(connection_limits(settings), stats),
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="on",
            timeout_keep_alive=75,
        )
        server = uvicorn.Server(config)
        # Its `serve` would take over the process's signals, which are pytest's.
        task = asyncio.create_task(server._serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task
