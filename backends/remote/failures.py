"""Owns what an upstream's failure is called: errors of the HTTP library, waits that were asked for.

Messages name the upstream and say what happened, in no words of the library: those may hold what
an address or a header holds.
"""

import math
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import h2.exceptions
import httpcore2

from core.errors import UpstreamFailed, UpstreamFailure, UpstreamFault

# What anything below can raise where a server or the way to it fails.
TRANSPORT_ERRORS = (
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    h2.exceptions.H2Error,
    OSError,
)
# The first that fits holds.
_MEANINGS: tuple[tuple[type[Exception], UpstreamFault, str], ...] = (
    (httpcore2.ConnectTimeout, UpstreamFault.TIMEOUT, "took too long to accept a connection"),
    (httpcore2.WriteTimeout, UpstreamFault.TIMEOUT, "took too long to read the request"),
    (httpcore2.TimeoutException, UpstreamFault.TIMEOUT, "took too long to send anything"),
    (httpcore2.ConnectError, UpstreamFault.CONNECTION, "could not be reached"),
    (httpcore2.NetworkError, UpstreamFault.CONNECTION, "broke the connection"),
    (httpcore2.ProtocolError, UpstreamFault.BROKEN, "sent an answer that is not valid HTTP"),
    (h2.exceptions.H2Error, UpstreamFault.BROKEN, "sent an answer that is not valid HTTP/2"),
    (OSError, UpstreamFault.CONNECTION, "could not be reached"),
)
_UNTRUSTED = (
    "has a certificate that is not trusted or not for its host; name the authority's certificate"
    " as ca_file, or set verify_ssl to false"
)
# Longer is no advice any more: whoever waits asks again earlier.
MAX_RETRY_AFTER_S = 3600.0


def failed(upstream: str, fault: UpstreamFault, what: str) -> UpstreamFailed:
    """`what` goes on from the upstream's name, in past tense."""
    return UpstreamFailed(f"upstream {upstream} {what}", UpstreamFailure(upstream, fault))


def transport_failed(upstream: str, error: Exception) -> UpstreamFailed:
    """For one of TRANSPORT_ERRORS."""
    if _is_certificate_error(error):
        return failed(upstream, UpstreamFault.CONNECTION, _UNTRUSTED)
    for kind, fault, what in _MEANINGS:
        if isinstance(error, kind):
            return failed(upstream, fault, what)
    raise AssertionError("an error that is not of TRANSPORT_ERRORS")


def _is_certificate_error(error: BaseException | None) -> bool:
    # The pool raises again without the cause, but the context stays.
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """An answer that says by its status that another server, or a later time, is to be asked.
    Names of headers are in small letters.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


def status_failed(upstream: str, answer: StatusAnswer) -> UpstreamFailed:
    failure = UpstreamFailure(
        upstream,
        UpstreamFault.STATUS,
        answer.status,
        answer.headers.get("content-type", ""),
        answer.body,
        retry_after_s(answer.headers),
    )
    return UpstreamFailed(f"upstream {upstream} answered with status {answer.status}", failure)


def error_failed(upstream: str, status: int | None, body: bytes) -> UpstreamFailed:
    """For an error in the body of an answer that said success. `status` is what stands in it."""
    fault = UpstreamFault.BROKEN if status is None else UpstreamFault.STATUS
    failure = UpstreamFailure(upstream, fault, status, "application/json", body)
    return UpstreamFailed(f"upstream {upstream} sent an error instead of an answer", failure)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds from `retry-after-ms` or `retry-after`, which may be a date. What makes no sense is
    None; what is far away is MAX_RETRY_AFTER_S.
    """
    waits = (
        _seconds(headers.get("retry-after-ms", ""), per_second=1000.0),
        _seconds(headers.get("retry-after", "")),
        _seconds_until(headers.get("retry-after", "")),
    )
    found = next((wait for wait in waits if wait is not None), None)
    return None if found is None else min(found, MAX_RETRY_AFTER_S)


def _seconds(text: str, per_second: float = 1.0) -> float | None:
    try:
        seconds = float(text) / per_second
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _seconds_until(text: str) -> float | None:
    """A date that has gone by is 0."""
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # A date that says no zone is meant as HTTP means all of them.
    zoned = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return max((zoned - datetime.now(UTC)).total_seconds(), 0.0)
