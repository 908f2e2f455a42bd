"""Owns which child processes this process has. Knows no engine."""

import multiprocessing


def child_ids() -> frozenset[int]:
    """The process ids of the children that `multiprocessing` started and that still run."""
    return frozenset(child.pid for child in multiprocessing.active_children() if child.pid)
