"""Owns what a response says of who was asked for it: who answered, and who could not."""

from collections.abc import Mapping

from starlette.requests import Request

from core.errors import EngineFailed, JarvisError, UpstreamFailed

UPSTREAM_HEADER = "x-jarvis-upstream"
ATTEMPTS_HEADER = "x-jarvis-attempts"
# How the engine in this process is called there.
LOCAL = "local"


def note_attempt(request: Request, error: JarvisError) -> None:
    """Remembers who failed: another one is asked, or nobody is left."""
    name, reason = LOCAL, "failed" if isinstance(error, EngineFailed) else "unavailable"
    if isinstance(error, UpstreamFailed):
        failure = error.failure
        name, reason = failure.upstream, str(failure.status or failure.fault.name.lower())
    attempts: list[str] = getattr(request.state, "attempts", [])
    request.state.attempts = [*attempts, f"{header_text(name)}={reason}"]


def header_text(name: str) -> str:
    """A name as a header can have it, whatever it holds."""
    return ascii(name)[1:-1]


def attempts_of(request: Request) -> str:
    """Who failed, in order; empty where nobody did."""
    return ", ".join(getattr(request.state, "attempts", []))


def attempts_header(request: Request) -> Mapping[str, str]:
    attempts = attempts_of(request)
    return {ATTEMPTS_HEADER: attempts} if attempts else {}
