"""The crowd's process: a plan in as JSON, what all clients saw out as JSON."""

import asyncio
import sys
import time
from pathlib import Path

import msgspec
import uvloop

from soak.client import Client, Place
from soak.crowd_plan import CrowdPlan, CrowdResult
from soak.drawing import Draw
from soak.lives import Canaries, Life, Reloads, live_mixed
from soak.tally import Tally


async def run_crowd(plan: CrowdPlan) -> CrowdResult:
    """All clients until the time is over, and then until their last answers have come."""
    tally, canaries = Tally(), Canaries(plan.canaries)
    place = Place(plan.port, time.monotonic() + plan.seconds, tally, plan.seed)
    clients = [_client(plan, place, index) for index in range(plan.num_clients)]
    await canaries.learn(clients[0])
    reloads = Reloads(plan.key_file, plan.server_pid)
    lives: list[Life] = [canaries.live, reloads.live]
    lives += [live_mixed] * (plan.num_clients - len(lives))
    try:
        await asyncio.gather(*(live(each) for live, each in zip(lives, clients, strict=False)))
    finally:
        for client in clients:
            client.close()
    return tally.result(canaries.known)


def _client(plan: CrowdPlan, place: Place, index: int) -> Client:
    keys = tuple(plan.key_file.keys.values())
    draw = Draw(plan.seed, index, window=plan.window)
    return Client(place, str(index), keys[index % len(keys)], draw)


def main() -> None:
    """The plan's file and the result's are named by the command line."""
    plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=CrowdPlan)
    Path(sys.argv[2]).write_bytes(msgspec.json.encode(uvloop.run(run_crowd(plan))))


if __name__ == "__main__":
    main()
