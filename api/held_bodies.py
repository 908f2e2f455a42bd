"""Owns what bodies of requests hold all together, from their first byte to the end of the reply.

The first bytes of each are not counted: connections hold as much anyway, and are bounded in number.
So large bodies may be turned away for a while, ordinary ones never.
"""

from contextlib import AsyncExitStack

from starlette.requests import Request

from api.request_bounds import bounds_of
from api.visit import account_of
from serving.shares import Share, Shares

_FREE_BYTES = 64 * 1024


class HeldBody:
    """One body, while it comes and until its request has been replied to."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._share: Share | None = None

    def reach(self, num_bytes: int) -> None:
        """Holds so many from now on. Raises QueueFull; then it holds what it held."""
        if num_bytes <= _FREE_BYTES:
            return
        if self._share is None:
            self._share = self._taken(num_bytes - _FREE_BYTES)
        else:
            self._share.reach(num_bytes - _FREE_BYTES)

    def _taken(self, amount: int) -> Share:
        request = self._request
        share = _shares_of(request).take(account_of(request).name, amount)
        # FastAPI closes it when the reply has been sent, or has failed.
        until_reply: AsyncExitStack = request.scope["fastapi_inner_astack"]
        until_reply.callback(share.end)
        return share


def _shares_of(request: Request) -> Shares:
    """The application's own, made when its first large body comes."""
    state = request.app.state
    if not hasattr(state, "held_bodies"):
        state.held_bodies = Shares(bounds_of(request).all_bodies_bytes, "bytes of large bodies")
    shares: Shares = state.held_bodies
    return shares
