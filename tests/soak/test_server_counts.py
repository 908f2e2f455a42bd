"""What is read of the server's metrics and of its log."""

from pathlib import Path

import pytest

from soak.server_counts import Counts, read_counts, read_log

TEXT = """\
# TYPE jarvis_http_requests_total counter
jarvis_http_requests_total{route="/a",method="POST",status="200"} 5.0
jarvis_http_requests_total{route="/b",method="GET",status="200"} 2.0
jarvis_http_requests_total{route="/a",method="POST",status="429"} 1.0
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="m",engine="0"} 3.0
vllm:num_requests_waiting{model_name="m",engine="0"} 1.0
"""


def test_metrics_are_summed_by_name_and_status() -> None:
    found = read_counts(TEXT)
    assert found.by_status == {200: 7, 429: 1}
    assert found.num_requests == 8
    assert found.num_unfinished == 4
    assert found.value("no_such_metric") is None


def test_totals_are_those_since_then_and_gauges_those_of_now() -> None:
    before = Counts({"a_total": 2.0, "gauge": 9.0}, {200: 2})
    found = Counts({"a_total": 5.0, "gauge": 3.0, "b_total": 1.0}, {200: 5, 400: 1}).since(before)
    assert found.sums == {"a_total": 3.0, "gauge": 3.0, "b_total": 1.0}
    assert found.by_status == {200: 3, 400: 1}


@pytest.mark.parametrize(
    "error",
    [
        "Traceback (most recent call last):",
        "2026-01-01 ERROR api.errors path='/x'",
        "RuntimeWarning: coroutine 'x' was never awaited",
    ],
)
def test_the_log_tells_each_request_once(tmp_path: Path, error: str) -> None:
    log = tmp_path / "server.log"
    lines = [
        "INFO api.reply_log request=soak-a-main-1-1 method=POST status=200 total_s=0.1",
        "INFO api.reply_log request=soak-a-main-1-2 method=POST status=400 total_s=0.1",
        "INFO api.reply_log request=soak-a-main-1-2 method=POST status=400 total_s=0.1",
        "INFO api.reply_log request=soak-a-main-1-1 answer=resp_1 outcome=gone total_s=0.4",
        "INFO api.reply_log request=other method=POST status=200 total_s=0.1",
        error,
    ]
    log.write_text("\n".join(lines))
    found = read_log(log)
    assert (found.num_told, found.num_told_twice, found.num_errors) == (2, 1, 1)
    assert found.errors == (error,)
