"""Owns what vLLM tells of its steps, as the seam's statistics. Imports vllm.

It is given to vLLM as its one stat logger. That it derives from vLLM's own for Prometheus, of which
it uses nothing, keeps vLLM from adding that one: it would count everything once more, into a
registry that is the whole process's.
"""

import time
from collections.abc import Callable
from typing import Any

from vllm.v1.metrics.loggers import PrometheusStatLogger

from core.engine_stats import EngineStats

MANY_STEPS = 500


class StepStats(PrometheusStatLogger):  # type: ignore[misc]
    """Made by vLLM. All calls come on the event loop."""

    def __init__(self, vllm_config: Any, engine_indexes: list[int] | None = None) -> None:
        self._num_running = self._num_waiting = 0
        self._kv_cache_usage = 0.0
        self._prefix_queries = self._prefix_hits = 0
        self._num_preemptions = self._num_steps = 0
        self._step_s = 0.0
        self._step_began = time.perf_counter()
        # Called after every so many steps.
        self.on_many: Callable[[], None] = lambda: None

    @property
    def stats(self) -> EngineStats:
        return EngineStats(
            num_running=self._num_running,
            num_waiting=self._num_waiting,
            kv_cache_usage=self._kv_cache_usage,
            prefix_queries=self._prefix_queries,
            prefix_hits=self._prefix_hits,
            num_preemptions=self._num_preemptions,
            num_steps=self._num_steps,
            step_s=self._step_s,
        )

    def note_request(self) -> None:
        """Before a request goes to vLLM: where it was idle, its next step begins now."""
        if not self._num_running and not self._num_waiting:
            self._step_began = time.perf_counter()

    def record(
        self,
        scheduler_stats: Any,
        iteration_stats: Any,
        mm_cache_stats: Any = None,
        engine_idx: int = 0,
    ) -> None:
        """After each step: while there is work, one begins where the one before it ended."""
        if scheduler_stats is None:
            return
        # After its last sequence, and after an abort, vLLM makes a step without work.
        if iteration_stats is not None or scheduler_stats.num_running_reqs:
            now = time.perf_counter()
            self._num_steps += 1
            self._step_s += now - self._step_began
            self._step_began = now
            if self._num_steps % MANY_STEPS == 0:
                self.on_many()
        self._num_running = scheduler_stats.num_running_reqs
        deferred = scheduler_stats.num_skipped_waiting_reqs
        self._num_waiting = scheduler_stats.num_waiting_reqs + deferred
        self._kv_cache_usage = scheduler_stats.kv_cache_usage
        self._prefix_queries += scheduler_stats.prefix_cache_stats.queries
        self._prefix_hits += scheduler_stats.prefix_cache_stats.hits
        if iteration_stats is not None:
            self._num_preemptions += iteration_stats.num_preempted_reqs

    def log_engine_initialized(self) -> None:
        """Nothing to tell."""

    def record_sleep_state(self, sleep: int = 0, level: int = 0) -> None:
        """It never sleeps."""

    def record_admission_rejection(self, reason: str) -> None:
        """vLLM rejects nothing: admission is above the seam."""
