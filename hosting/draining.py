"""Owns how what is under way comes to its end when the server stops. Knows no signal, no socket."""

import asyncio
import logging
from typing import Protocol

from core.errors import EngineFailed, JarvisError, ServerStopping

logger = logging.getLogger(__name__)


class Traffic(Protocol):
    """What is under way."""

    @property
    def num_active(self) -> int: ...

    def stop(self, reason: str) -> None:
        """Refuses what comes from now on."""
        ...

    async def emptied(self) -> None:
        """Returns when nothing is under way."""
        ...

    def end_all(self, error: JarvisError) -> None:
        """Ends what is under way with this error."""
        ...


async def drain(traffic: Traffic, timeout_s: float) -> None:
    """Refuses what is new, and returns when the rest has ended, or was told to end."""
    traffic.stop("the server stops: it takes no new requests")
    logger.info("stopping", extra={"facts": {"active": traffic.num_active, "limit_s": timeout_s}})
    if not traffic.num_active:
        return
    try:
        await asyncio.wait_for(traffic.emptied(), timeout_s)
    except TimeoutError:
        logger.warning("ending what is under way", extra={"facts": {"active": traffic.num_active}})
        traffic.end_all(ServerStopping("the server stopped before the answer was whole"))


def cut_off(traffic: Traffic, reason: str) -> None:
    """Refuses what is new, and ends the rest: nobody can answer it any more."""
    traffic.stop(f"the server stops: {reason}")
    traffic.end_all(EngineFailed(reason))
