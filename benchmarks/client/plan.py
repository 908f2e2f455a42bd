"""Owns what the load client is told to do, and what it reports: plain values, JSON between."""

from typing import Any

import msgspec


class Ask(msgspec.Struct, frozen=True):
    """One request. With `user`, it is the next turn of the client's growing conversation."""

    body: dict[str, Any]
    user: str | None = None


class ClientPlan(msgspec.Struct, frozen=True):
    """Sends each request as soon as the one before has ended.

    `after_events`: starts once every client that is in the background has had that many events.
    A client in the background sends no further request once those in the foreground are done.
    """

    asks: list[Ask]
    after_events: int | None = None
    is_background: bool = False


class LoadPlan(msgspec.Struct, frozen=True):
    """All clients of one measurement, against one server."""

    host: str
    port: int
    path: str
    clients: list[ClientPlan]


class Answer(msgspec.Struct):
    """One stream. Times are in seconds of one clock; `event_times_s` are those of text."""

    client: int
    sent_s: float
    num_wanted: int
    is_background: bool = False
    event_times_s: list[float] = []
    ended_s: float = 0.0
    num_prompt_tokens: int | None = None
    num_cached_tokens: int | None = None
    # As the server counts; None where it doesn't tell.
    num_tokens: int | None = None
    finish_reason: str | None = None
    error: str | None = None


class LoadResult(msgspec.Struct):
    """What came back, and what the client itself took."""

    answers: list[Answer]
    client_cpu_s: float
