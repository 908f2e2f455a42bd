"""Owns what an engine tells of its work, the same for every engine. Measures nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineStats:
    """How an engine is at one moment. Counts of sequences now, and totals since it was loaded.

    `num_running` have a slot, `num_waiting` don't. `kv_cache_usage` is the share of the KV cache's
    tokens that is taken, 0 to 1. Of the prompt ids that were looked up for reuse
    (`prefix_queries`), `prefix_hits` were found. `num_steps` grows with each step of computing, and
    with nothing else: a watchdog sees by it that the engine goes on. `step_s` is the time they took
    together.
    """

    num_running: int = 0
    num_waiting: int = 0
    kv_cache_usage: float = 0.0
    prefix_queries: int = 0
    prefix_hits: int = 0
    num_preemptions: int = 0
    num_steps: int = 0
    step_s: float = 0.0


IDLE = EngineStats()
