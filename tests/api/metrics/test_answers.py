"""What answers are counted as, under vLLM's names."""

import pytest

from api.metrics.metrics import Metrics
from core.engine_stats import EngineStats
from core.observation import Outcome
from tests.api.metrics.shown import MODEL, Local, answer, families, metrics_of, value, values


def test_an_answer_is_counted_in_every_histogram_once() -> None:
    metrics = metrics_of()
    metrics.answer_ended(answer())
    metrics.answer_grew(1, 0.03, MODEL)
    histograms = [each for each in families(metrics).values() if each.type == "histogram"]
    assert len(histograms) == 14
    for each in histograms:
        assert value(metrics, f"{each.name}_count") == 1, each.name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vllm:time_to_first_token_seconds", 0.75),
        ("vllm:e2e_request_latency_seconds", 2.75),
        ("vllm:request_queue_time_seconds", 0.5),
        ("vllm:request_inference_time_seconds", 2.25),
        ("vllm:request_prefill_time_seconds", 0.25),
        ("vllm:request_decode_time_seconds", 2.0),
        ("vllm:request_time_per_output_token_seconds", 0.1),
        ("vllm:request_prompt_tokens", 10),
        ("vllm:request_generation_tokens", 21),
        ("vllm:request_max_num_generation_tokens", 21),
        ("vllm:request_prefill_kv_computed_tokens", 6),
        ("vllm:request_params_max_tokens", 64),
        ("vllm:request_params_n", 1),
    ],
)
def test_a_histogram_holds_the_fact_that_it_is_named_after(name: str, expected: float) -> None:
    metrics = metrics_of()
    metrics.answer_ended(answer())
    assert value(metrics, f"{name}_sum") == pytest.approx(expected)


def test_tokens_are_counted_of_whole_answers_and_of_others() -> None:
    metrics = metrics_of()
    for outcome in Outcome:
        metrics.answer_ended(answer(outcome=outcome, finish_reasons=()))
    assert value(metrics, "vllm:prompt_tokens_total") == 40
    assert value(metrics, "vllm:prompt_tokens_cached_total") == 16
    assert value(metrics, "vllm:generation_tokens_total") == 84
    sources = "vllm:prompt_tokens_by_source_total"
    assert value(metrics, sources, source="local_compute") == 24
    assert value(metrics, sources, source="local_cache_hit") == 16
    assert value(metrics, "vllm:e2e_request_latency_seconds_count") == 1


def test_choices_are_counted_by_why_they_ended() -> None:
    metrics = metrics_of()
    metrics.answer_ended(answer(finish_reasons=("stop", "tool_calls", "length"), num_choices=3))
    metrics.answer_ended(answer(outcome=Outcome.GONE, finish_reasons=("stop",), num_choices=3))
    metrics.answer_ended(answer(outcome=Outcome.FAILED, finish_reasons=()))
    metrics.answer_ended(answer(outcome=Outcome.EXPIRED, finish_reasons=()))
    found = {
        dict(key)["finished_reason"]: number
        for key, number in values(metrics, "vllm:request_success_total").items()
    }
    assert found == {"stop": 3, "length": 1, "abort": 3, "error": 1, "repetition": 0}


def test_steps_are_those_of_the_model_that_made_them() -> None:
    metrics = metrics_of()
    metrics.answer_grew(1, 0.03, "elsewhere")
    metrics.answer_grew(1, 0.5, MODEL)
    metrics.answer_grew(1, 0.5, MODEL)
    name = "vllm:inter_token_latency_seconds"
    for model, count, total in (("elsewhere", 1, 0.03), (MODEL, 2, 1.0)):
        assert value(metrics, f"{name}_count", model_name=model) == count
        assert value(metrics, f"{name}_sum", model_name=model) == total


def test_tokens_that_nobody_counted_are_under_a_name_of_their_own() -> None:
    metrics = metrics_of()
    metrics.answer_ended(answer(is_counted=False))
    metrics.answer_ended(answer(is_counted=False, num_completion_tokens=0, outcome=Outcome.FAILED))
    assert value(metrics, "jarvis_uncounted_answers_total") == 1
    assert value(metrics, "jarvis_uncounted_events_total") == 21
    families_of_tokens = (
        *("vllm:prompt_tokens_total", "vllm:generation_tokens_total"),
        *("vllm:prompt_tokens_cached_total", "vllm:prefix_cache_queries_total"),
        *("vllm:request_prompt_tokens_count", "vllm:request_generation_tokens_count"),
        "vllm:request_max_num_generation_tokens_count",
        "vllm:request_prefill_kv_computed_tokens_count",
        "vllm:request_time_per_output_token_seconds_count",
    )
    assert {value(metrics, name) for name in families_of_tokens} == {0}
    assert value(metrics, "vllm:e2e_request_latency_seconds_count") == 1
    assert value(metrics, "vllm:time_to_first_token_seconds_count") == 2
    assert value(metrics, "vllm:request_success_total", finished_reason="stop") == 2
    metrics.answer_ended(answer(is_counted=False, num_completion_tokens=0))
    assert value(metrics, "jarvis_uncounted_answers_total") == 2, "one that was no stream"


def test_vectors_have_no_tokens_that_were_generated() -> None:
    metrics = metrics_of()
    vectors = answer(first_token_s=None, num_completion_tokens=0, num_choices=2000, max_tokens=None)
    metrics.answer_ended(vectors)
    assert value(metrics, "vllm:request_params_n_count") == 0
    assert value(metrics, "vllm:request_generation_tokens_count") == 0
    assert value(metrics, "vllm:request_time_per_output_token_seconds_count") == 0
    assert value(metrics, "vllm:request_prompt_tokens_count") == 1


def test_choices_that_share_a_prompt_reuse_no_more_than_there_is() -> None:
    metrics = metrics_of()
    metrics.answer_ended(answer(num_reused=40, num_choices=4))
    assert value(metrics, "vllm:prompt_tokens_cached_total") == 10
    assert value(metrics, "vllm:request_prefill_kv_computed_tokens_sum") == 0


def test_what_is_reused_is_the_engines_own_number_here_and_told_by_answers_elsewhere() -> None:
    metrics = metrics_of(Local(stats=EngineStats(prefix_queries=100, prefix_hits=30)))
    metrics.answer_ended(answer())
    metrics.answer_ended(answer(model="elsewhere"))
    for name, here, there in (("queries", 100, 10), ("hits", 30, 4)):
        sample = f"vllm:prefix_cache_{name}_total"
        assert value(metrics, sample, model_name="jarvis-tiny") == here
        assert value(metrics, sample, model_name="elsewhere") == there


def test_bounds_of_tokens_end_at_the_window_and_stay_while_the_engine_is_loaded_again() -> None:
    local = Local(is_loaded=False)
    metrics = metrics_of(local)
    assert bounds(metrics) == []
    local.is_loaded = True
    metrics.answer_ended(answer(num_completion_tokens=256))
    expected = ["1.0", "2.0", "5.0", "10.0", "20.0", "50.0", "100.0", "200.0", "+Inf"]
    assert bounds(metrics) == expected
    local.is_loaded = False
    assert bounds(metrics) == expected
    assert value(metrics, "vllm:request_generation_tokens_bucket", le="200.0") == 0
    assert value(metrics, "vllm:request_generation_tokens_bucket", le="+Inf") == 1


def bounds(metrics: Metrics) -> list[str]:
    return [dict(labels)["le"] for labels in values(metrics, "vllm:request_prompt_tokens_bucket")]


def test_names_beyond_the_limit_are_one() -> None:
    metrics = metrics_of()
    for number in range(1000):
        metrics.answer_ended(answer(model=f"model-{number}"))
    models = {dict(key)["model_name"] for key in values(metrics, "vllm:prompt_tokens_total")}
    assert len(models) == 33
    assert value(metrics, "vllm:prompt_tokens_total", model_name="other") == 9690
