"""Owns what vLLM's workers are asked for besides computing: to give freed memory back.

On a CPU oneDNN makes a small program for each number of rows it meets, and drops the oldest ones:
within ten minutes of mixed traffic the heap of a worker with a model of 40 MB held 300 MB of gaps.
Imported by the workers, whose class gets this one as a base: vLLM's own way to add a call.
"""

from core import heap

EXTENSION = "backends.vllm_engine.worker_heap.WorkerHeap"
CALL = "give_heap_back"


class WorkerHeap:
    """Runs between two steps."""

    def give_heap_back(self) -> None:
        heap.give_back()
