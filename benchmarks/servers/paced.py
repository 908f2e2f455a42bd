"""A server with a pace: every stream's tokens come at fixed times, whatever the machine does.

It stands for a server on another machine, which takes none of this one's cores.
"""

import asyncio
import selectors
import sys
from collections.abc import Callable
from functools import partial

from benchmarks.servers.instant import Wait, serve_connection

# What a prompt takes there.
FIRST_S = 0.03


def pacing(tokens_per_s: float) -> Callable[[], Wait]:
    """Makes the clock of each answer, which begins when its request has come."""
    return partial(_clock, 1 / tokens_per_s)


def _clock(gap_s: float) -> Wait:
    loop = asyncio.get_running_loop()
    first_s = loop.time() + FIRST_S

    async def wait(number: int) -> None:
        # By the times of the plan and not from token to token: a late one delays no other.
        left_s = first_s + number * gap_s - loop.time()
        if left_s > 0:
            await asyncio.sleep(left_s)

    return wait


async def _serve(port: int, tokens_per_s: float) -> None:
    begin = pacing(tokens_per_s)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve_connection(reader, writer, begin)

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    await server.serve_forever()


def _precise_loop() -> asyncio.AbstractEventLoop:
    """Timers of epoll and of libuv are whole milliseconds, as long as what is measured."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=_precise_loop) as runner:
        runner.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
