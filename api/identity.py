"""The outermost layer: gives each request an id, lets it enter, and tells how it ended.

Works on messages alone and answers nothing itself but that the server stops.
"""

import time
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.cutoff import Cutoff
from api.disconnect import CLIENT_CLOSED_REQUEST, ClientGone
from api.errors import on_foreign_error, response_to
from api.request_watch import Observers
from api.route_kinds import METHODS, QUIET_ROUTES
from api.traffic import Traffic
from api.visit import Visit, account_of, put_visit
from core.errors import ServerStopping
from core.observation import ReplySummary
from core.request_context import request_id as current_request_id
from core.request_scope import REQUEST_ID_HEADER, early_answer_of, request_id_of

# How long a key was looked at is not told.
_UNTIMED = frozenset({401, 403})


class Identity:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, traffic: Traffic, observers: Observers) -> None:
        self._app = app
        self._traffic = traffic
        self._observers = observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        reply = _Reply(request, send, self._traffic)
        token = current_request_id.set(reply.request_id)
        cutoff: Cutoff | None = None
        put_visit(scope, Visit(reply.request_id, Cutoff()))
        try:
            cutoff = self._enter(scope)
            put_visit(scope, Visit(reply.request_id, cutoff or Cutoff(), self._observers))
            await self._app(scope, receive, reply.send)
        except ServerStopping as error:
            await response_to(request, error)(scope, receive, reply.send)
        except ClientGone:
            # Nobody is there to be answered: the summary tells.
            pass
        except Exception as error:
            if reply.has_begun:
                raise
            await on_foreign_error(request, error)(scope, receive, reply.send)
        finally:
            if cutoff is not None:
                self._traffic.leave(cutoff)
            summary = reply.summary()
            for observer in self._observers:
                observer.replied(summary)
            current_request_id.reset(token)

    def _enter(self, scope: Scope) -> Cutoff | None:
        """Raises ServerStopping."""
        return None if scope["path"] in QUIET_ROUTES else self._traffic.enter()


class _Reply:
    """What is sent for one request, seen as it goes by."""

    def __init__(self, request: Request, send: Send, traffic: Traffic) -> None:
        self.request_id = request_id_of(request.scope.setdefault("state", {}), request.headers.raw)
        self._request = request
        self._send = send
        self._traffic = traffic
        self._started_at = time.monotonic()
        self._status: int | None = None
        self._is_whole = False

    @property
    def has_begun(self) -> bool:
        return self._status is not None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._add_headers(message)
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self._is_whole = True

    def summary(self) -> ReplySummary:
        scope = self._request.scope
        visit: Visit = scope["state"]["visit"]
        answer = None if visit.watch is None else visit.watch.summary
        early = early_answer_of(scope["state"])
        status, error = self._status, scope["state"].get("error_code")
        if early is not None:
            status, error = early.status, early.code
        return ReplySummary(
            request_id=self.request_id,
            account=account_of(self._request).name,
            method=scope["method"] if scope["method"] in METHODS else "OTHER",
            route=getattr(scope.get("route"), "path", "unknown"),
            status=CLIENT_CLOSED_REQUEST if status is None else status,
            error=error,
            is_whole=early is not None or (self._is_whole and status != CLIENT_CLOSED_REQUEST),
            total_s=time.monotonic() - self._started_at,
            answer=visit.answer or answer,
        )

    def _add_headers(self, message: MutableMapping[str, Any]) -> None:
        headers = MutableHeaders(scope=message)
        headers[REQUEST_ID_HEADER] = self.request_id
        if self._traffic.is_stopping:
            headers["connection"] = "close"
        if message["status"] in _UNTIMED:
            return
        visit: Visit = self._request.scope["state"]["visit"]
        known = "" if visit.watch is None else visit.watch.timing()
        total_ms = (time.monotonic() - self._started_at) * 1e3
        headers["server-timing"] = ", ".join(filter(None, (known, f"total;dur={total_ms:.1f}")))
