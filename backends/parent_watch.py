"""Owns that a child process ends with the one that started it, also where that one was killed.

Runs in the child, in a thread that sleeps until then. PR_SET_PDEATHSIG would be sent when the
*thread* ends that started the child, which is not always the process's main one.
"""

import os
import select
import signal
import threading
from contextlib import suppress


def end_with_parent(parent_id: int) -> None:
    """Call it early. `parent_id` is told by the parent: it may be dead already."""
    if not hasattr(os, "pidfd_open"):
        return
    try:
        parent = os.pidfd_open(parent_id)
    except ProcessLookupError:
        _end_all()
        return
    threading.Thread(target=_watch, args=(parent,), name="parent-watch", daemon=True).start()


def _watch(parent: int) -> None:
    waiting = select.poll()
    waiting.register(parent, select.POLLIN)
    waiting.poll()
    _end_all()


def _end_all() -> None:
    """Children first, which nobody else would look after."""
    try:
        # Here and not at the top: it is needed once in a life.
        import psutil

        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
    finally:
        os.kill(os.getpid(), signal.SIGKILL)
