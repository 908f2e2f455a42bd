"""Owns what one request of the crowd is: its bytes, how it is read, and what may come of it."""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto

OK = frozenset({200})


class Form(StrEnum):
    """How an answer comes: one body, or the events of one of the APIs."""

    BODY = "body"
    CHAT = "chat"
    RESPONSES = "responses"
    MESSAGES = "messages"


class Point(Enum):
    """Where a client leaves: in the request's head or body, as soon as all was sent, after a while,
    after some events, or between the event that ends the text and the stream's last bytes.
    """

    IN_HEAD = auto()
    IN_BODY = auto()
    AT_ONCE = auto()
    AFTER_WAIT = auto()
    MID_STREAM = auto()
    LAST_FRAME = auto()


@dataclass(frozen=True, slots=True)
class Abort:
    """`wait_s` goes with AFTER_WAIT, `num_events` with MID_STREAM."""

    point: Point
    wait_s: float = 0.0
    num_events: int = 0


@dataclass(frozen=True, slots=True)
class Pace:
    """Reads a byte a second for a while, or nothing at all; then all the rest at once."""

    slow_s: float
    reads_nothing: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `body` None: it has none. `key` None: the client's own, empty: none is sent.

    `expected` are the statuses that are right, besides 429. `may_expire`: the server may end it
    for its time. `may_be_dropped`: it may end the connection in the middle.
    """

    kind: str
    path: str
    body: bytes | None = None
    method: str = "POST"
    expected: frozenset[int] = OK
    form: Form = Form.BODY
    abort: Abort | None = None
    pace: Pace | None = None
    key: str | None = None
    content_type: str = "application/json"
    may_expire: bool = False
    may_be_dropped: bool = False
