"""The client's process: a plan in as JSON, what was measured out as JSON."""

import sys

import msgspec
import uvloop

from benchmarks.client.closed_loop import run_load
from benchmarks.client.plan import LoadPlan


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=LoadPlan)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(run_load(plan))))


if __name__ == "__main__":
    main()
