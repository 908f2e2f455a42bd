"""Owns what vLLM's engine process does before it is vLLM's: it ends with the server, and when the
server says so, and lets no sequence see what another computed. Imports vllm.

vLLM's workers end with the engine process, but nothing of vLLM ends that one with a server which
was killed: it would keep its memory, and a GPU's, for ever. And signals that mean the server reach
its whole group from a terminal or a supervisor: vLLM would drop what the server still lets end.
"""

import multiprocessing
import multiprocessing.resource_tracker
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vllm.platforms import current_platform
from vllm.v1.engine.core import EngineCoreProc
from vllm.v1.kv_cache_interface import KVCacheConfig

from backends.parent_watch import end_with_parent

_ENDING = frozenset((signal.SIGINT, signal.SIGTERM))
_run_engine_core = EngineCoreProc.run_engine_core


def run_engine_core(*args: Any, **kwargs: Any) -> None:
    """The engine process's own function, which a spawned process finds by its name."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        end_with_parent(parent.pid)
        if _can_block():
            threading.Thread(target=_obey, args=(parent.pid,), name="obey", daemon=True).start()
    # On CPUs, attention multiplies what lies behind a sequence's end in its last block by 0, and a
    # NaN that another sequence left there stays one. What GPUs do was not tried.
    if current_platform.is_cpu():
        KVCacheConfig.needs_kv_cache_zeroing = True
    _run_engine_core(*args, **kwargs)


@contextmanager
def bound_to_us() -> Iterator[None]:
    """For the processes that this thread starts meanwhile through vLLM, which has no setting for
    what they run: they end with this process, and a SIGTERM from it alone ends them before.
    """
    EngineCoreProc.run_engine_core = staticmethod(run_engine_core)
    # Its start, which would come with the first process, takes both signals off the mask.
    multiprocessing.resource_tracker.ensure_running()
    # They inherit the mask from their first instruction on, with all threads and workers.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING if _can_block() else ())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        EngineCoreProc.run_engine_core = staticmethod(_run_engine_core)


def _can_block() -> bool:
    """Only where it can be asked who sent a signal."""
    return hasattr(signal, "sigwaitinfo")


def _obey(parent_id: int) -> None:
    """Hands the server's SIGTERM to vLLM's handler, which only sets flags, and drops others'."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent_id:
        continue
    handler = signal.getsignal(signal.SIGTERM)
    if callable(handler):
        handler(signal.SIGTERM, None)
    else:
        os.kill(os.getpid(), signal.SIGKILL)
