"""Follows conversions in tests."""

import threading

from backends.conversion_listener import Listener
from core.lifecycle import LoadProgress


def following(reports: list[LoadProgress]) -> Listener:
    return Listener(reports.append, threading.Event())


def unheard() -> Listener:
    return following([])


def cancelled_at(begin: str) -> Listener:
    """By the first report of a step that begins so."""
    cancelled = threading.Event()

    def report(progress: LoadProgress) -> None:
        if progress.step.startswith(begin):
            cancelled.set()

    return Listener(report, cancelled)
