"""Lets nobody in without a key that allows it, and holds each key to its limits. Pure ASGI; knows
which key a request presents, and nothing of what is asked.
"""

from typing import Protocol

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access import rules
from api.access.allowances import Allowances, Visit
from api.access.credentials import presented_key
from api.access.key_ring import KeyRing
from api.access.rate_headers import rate_headers
from api.errors import response_to
from core.access import EVERYBODY, Account
from core.errors import JarvisError, KeyRequired, LimitReached, NotAllowed

# Whom requests count for that need no key, where others do.
NOBODY = Account("", frozenset())
_KEY_WANTED = (
    "this server needs a key it knows, and one alone: 'Authorization: Bearer KEY' or"
    " 'x-api-key: KEY'"
)


class Gate(Protocol):
    """The keys as they are now; `ring` is None where none is needed."""

    @property
    def ring(self) -> KeyRing | None: ...

    @property
    def allowances(self) -> Allowances: ...


class Guard:
    """Everything needs a key unless `rules` say otherwise. Puts the account into the request's
    state, under "account".
    """

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        else:
            # No route is a WebSocket; before it is accepted, this is a 403.
            await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        account = self._account(scope)
        if account is None:
            await _refuse(KeyRequired(_KEY_WANTED), scope, receive, send)
            return
        scope.setdefault("state", {})["account"] = account
        if account.name:
            await self._serve_account(account, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _account(self, scope: Scope) -> Account | None:
        ring = self._gate.ring
        if ring is None:
            return EVERYBODY
        if rules.needs_no_key(scope):
            return NOBODY
        # A key that is missing is looked for all the same: that takes as long as a wrong one.
        return ring.find(presented_key(scope["headers"]) or "")

    async def _serve_account(
        self, account: Account, scope: Scope, receive: Receive, send: Send
    ) -> None:
        visit: Visit | None = None

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                standing = self._gate.allowances.standing(account)
                headers = [*message.get("headers", ()), *rate_headers(standing)]
                message = {**message, "headers": headers}
            # Before it is sent: a client that sees the end may ask again at once.
            elif visit is not None and not message.get("more_body", False):
                visit.end()
            await send(message)

        try:
            visit = self._begin(account, scope)
        except (NotAllowed, LimitReached) as error:
            await _refuse(error, scope, receive, tell)
            return
        try:
            await self._app(scope, receive, tell)
        finally:
            if visit is not None:
                visit.end()

    def _begin(self, account: Account, scope: Scope) -> Visit | None:
        if not rules.is_allowed(account.roles, scope["path"]):
            raise NotAllowed("this key's roles do not allow this")
        return self._gate.allowances.begin(account) if rules.is_counted(scope) else None


async def _refuse(error: JarvisError, scope: Scope, receive: Receive, send: Send) -> None:
    await response_to(Request(scope), error)(scope, receive, send)
