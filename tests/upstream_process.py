"""One good upstream in a process of its own, to be killed: `python -m tests.upstream_process NAME
PORT`. It prints its port, and puts its name into every answer, which takes a little.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.faulty_upstream import FaultyUpstream, SeenRequest, Slowly, Step, Steps
from tests.upstream_answers import DONE, LAST_CHUNK, STREAM_HEAD, chat, chunk, delta, whole

_PAUSE_S = 0.01
NUM_PIECES = 4


def _after_pieces(name: str) -> Sequence[Step]:
    piece = chunk(delta(name))
    return [Slowly(piece, _PAUSE_S, len(piece))] * NUM_PIECES


def _answer(name: str, request: SeenRequest) -> Steps:
    if json.loads(request.body).get("stream"):
        return (STREAM_HEAD, *_after_pieces(name), chunk(DONE), LAST_CHUNK)
    (answer,) = whole(chat(name))
    assert isinstance(answer, bytes)
    middle = len(answer) // 2
    return (Slowly(answer[:middle], _PAUSE_S, middle), answer[middle:])


async def _serve(name: str, port: int) -> None:
    server = FaultyUpstream([lambda request: _answer(name, request)])
    server.port = port
    await server.start()
    print(server.port, flush=True)
    await asyncio.Event().wait()


class UpstreamProcess:
    """Started, killed, and started again on the same port. Belongs to one event loop."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.upstream_process", self.name, str(self.port)),
            cwd=Path(__file__).parents[1],
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.port = int(await self._process.stdout.readline())

    async def kill(self) -> None:
        """Nothing of it is told to those it is connected to, but by the system. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await process.communicate()


@asynccontextmanager
async def upstream_processes(*names: str) -> AsyncIterator[list[UpstreamProcess]]:
    processes = [UpstreamProcess(name) for name in names]
    try:
        await asyncio.gather(*(process.start() for process in processes))
        yield processes
    finally:
        await asyncio.gather(*(process.kill() for process in processes))


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2])))
