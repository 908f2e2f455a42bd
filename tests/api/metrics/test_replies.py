"""What HTTP requests and keys are counted as."""

import pytest

from core.observation import Outcome
from tests.api.metrics.shown import answer, metrics_of, reply, value, values


def test_requests_are_counted_by_route_method_and_status() -> None:
    metrics = metrics_of()
    metrics.replied(reply())
    metrics.replied(reply())
    metrics.replied(reply(method="GET", route="/v1/models"))
    labels = {"route": "/v1/chat/completions", "method": "POST", "status": "200"}
    assert value(metrics, "jarvis_http_requests_total", **labels) == 2
    assert len(values(metrics, "jarvis_http_requests_total")) == 2


def test_methods_that_nobody_knows_are_one_label() -> None:
    metrics = metrics_of()
    for number in range(1000):
        metrics.replied(reply(method=f"FOO{number}", route="unknown", status=405))
    assert value(metrics, "jarvis_http_requests_total", route="unknown", method="other") == 1000


def test_labels_that_were_not_fixed_after_all_are_bounded() -> None:
    metrics = metrics_of()
    for number in range(5000):
        name = f"made-up-{number}"
        metrics.replied(reply(route=name, account=name, status=400, error=name))
        metrics.answer_ended(answer(account=name))
    assert len(values(metrics, "jarvis_http_requests_total")) == 129
    assert len(values(metrics, "jarvis_rejected_requests_total")) == 65
    assert len(values(metrics, "jarvis_key_requests_total")) == 1025
    assert len(values(metrics, "jarvis_key_prompt_tokens_total")) == 1025


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, "invalid_value"), (401, "invalid_api_key"), (429, "queue_full"), (503, "draining")],
)
def test_what_is_refused_is_counted_by_its_code_and_has_not_failed(status: int, error: str) -> None:
    metrics = metrics_of()
    metrics.replied(reply(status=status, error=error))
    assert value(metrics, "jarvis_rejected_requests_total", code=error) == 1
    assert value(metrics, "jarvis_failed_requests_total") == 0


@pytest.mark.parametrize(
    ("outcome", "name"),
    [
        (Outcome.GONE, "jarvis_aborted_requests_total"),
        (Outcome.EXPIRED, "jarvis_expired_requests_total"),
        (Outcome.FAILED, "jarvis_failed_requests_total"),
    ],
)
def test_an_answer_that_was_cut_short_is_counted_once_with_its_reply(
    outcome: Outcome, name: str
) -> None:
    metrics = metrics_of()
    ended = answer(outcome=outcome)
    metrics.answer_ended(ended)
    metrics.replied(reply(answer=ended, is_whole=outcome is not Outcome.GONE))
    counts = {
        each: value(metrics, each)
        for each in (
            "jarvis_aborted_requests_total",
            "jarvis_expired_requests_total",
            "jarvis_failed_requests_total",
        )
    }
    assert counts == {each: float(each == name) for each in counts}


def test_a_request_without_an_answer_is_counted_by_how_it_ended() -> None:
    metrics = metrics_of()
    metrics.replied(reply(status=499, is_whole=False))
    metrics.replied(reply(status=408, error="deadline_exceeded"))
    metrics.replied(reply(status=500, error="internal_error"))
    assert value(metrics, "jarvis_aborted_requests_total") == 1
    assert value(metrics, "jarvis_expired_requests_total") == 1
    assert value(metrics, "jarvis_failed_requests_total") == 1
    assert values(metrics, "jarvis_rejected_requests_total").keys() == {
        (("code", "deadline_exceeded"),)
    }


def test_a_whole_answer_whose_last_bytes_were_not_taken_counts_as_aborted() -> None:
    metrics = metrics_of()
    metrics.answer_ended(answer())
    metrics.replied(reply(answer=answer(), is_whole=False))
    assert value(metrics, "jarvis_aborted_requests_total") == 1


def test_a_key_has_its_requests_and_tokens_and_nobody_has_none() -> None:
    metrics = metrics_of()
    metrics.answer_ended(answer(account="phone"))
    metrics.replied(reply(account="phone", answer=answer(account="phone")))
    metrics.answer_ended(answer())
    metrics.replied(reply(answer=answer()))
    assert values(metrics, "jarvis_key_requests_total") == {(("key", "phone"),): 1}
    assert values(metrics, "jarvis_key_prompt_tokens_total") == {(("key", "phone"),): 10}
    assert values(metrics, "jarvis_key_generation_tokens_total") == {(("key", "phone"),): 21}
