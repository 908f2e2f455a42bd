"""Requests as they are behind the outermost layer, for what is called without an application."""

from typing import Any

from starlette.requests import Request
from starlette.types import Receive

from api.cutoff import Cutoff
from api.visit import Visit, put_visit


def visiting(receive: Receive, **scope: Any) -> Request:
    """One that has arrived; `scope` is what it has besides."""
    whole = {"type": "http", "method": "POST", "path": "/", "headers": [], **scope}
    put_visit(whole, Visit("r", Cutoff()))
    return Request(whole, receive)
