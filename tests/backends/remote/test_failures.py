"""What a failure is called, and how long a server asked to be left alone."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpcore2
import pytest

from backends.remote.failures import MAX_RETRY_AFTER_S, retry_after_s, transport_failed
from core.errors import UpstreamFault


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "1e12"}, MAX_RETRY_AFTER_S),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 9999 07:28:00 GMT"}, MAX_RETRY_AFTER_S),
        ({"retry-after": "Wed, 99 Oct 2015 07:28:00 GMT"}, None),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 -2359"}, MAX_RETRY_AFTER_S),
    ],
)
def test_retry_after_is_read_in_each_of_its_forms(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after_s(headers) == seconds


def test_a_date_to_come_is_so_many_seconds_away() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    seconds = retry_after_s({"retry-after": date})
    assert seconds is not None
    assert 0 < seconds <= 100


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (httpcore2.ConnectTimeout("secret"), UpstreamFault.TIMEOUT),
        (httpcore2.ReadTimeout("secret"), UpstreamFault.TIMEOUT),
        (httpcore2.WriteTimeout("secret"), UpstreamFault.TIMEOUT),
        (httpcore2.PoolTimeout("secret"), UpstreamFault.TIMEOUT),
        (httpcore2.ConnectError("secret"), UpstreamFault.CONNECTION),
        (httpcore2.ReadError("secret"), UpstreamFault.CONNECTION),
        (httpcore2.RemoteProtocolError("secret"), UpstreamFault.BROKEN),
        (httpcore2.LocalProtocolError("secret"), UpstreamFault.BROKEN),
        (ConnectionResetError("secret"), UpstreamFault.CONNECTION),
    ],
)
def test_the_librarys_errors_become_ours_without_their_words(
    error: Exception, fault: UpstreamFault
) -> None:
    failure = transport_failed("gpu-box", error)
    assert failure.failure.fault is fault
    assert str(failure).startswith("upstream gpu-box ")
    assert "secret" not in str(failure)
