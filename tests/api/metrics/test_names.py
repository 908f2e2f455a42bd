"""That names, types, labels and buckets are vLLM's own, as vLLM itself shows them."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.api.metrics.shown import MODEL, WINDOW, answer, families, metrics_of, open_families

ROOT = Path(__file__).resolve().parents[3]
# What vLLM tells beside them: what only its own scheduler knows, and what there is none of here.
NOT_HERE = {
    "vllm:admission_rejections",
    "vllm:estimated_flops_per_gpu",
    "vllm:estimated_read_bytes_per_gpu",
    "vllm:estimated_write_bytes_per_gpu",
    "vllm:iteration_tokens_total",
    "vllm:prompt_tokens_cached_by_source",
    "vllm:request_num_preemptions",
}


@pytest.mark.engine
async def test_what_is_called_as_vllm_calls_it_is_shown_as_vllm_shows_it() -> None:
    theirs = await shown_by_vllm()
    metrics = metrics_of()
    metrics.answer_ended(answer())
    ours = {n: f for n, f in families(metrics).items() if n.startswith("vllm:")}
    assert set(theirs) - set(ours) == NOT_HERE
    assert set(ours) <= set(theirs)
    for name, family in ours.items():
        assert family.type == theirs[name].type, name
        assert series(family) == series(theirs[name]), name


def test_both_formats_hold_the_same_series() -> None:
    metrics = metrics_of()
    metrics.answer_ended(answer())
    plain, in_open_metrics = families(metrics), open_families(metrics)
    assert plain.keys() == in_open_metrics.keys()
    for name, family in plain.items():
        assert series(family) == series(in_open_metrics[name]), name


def series(family: Metric) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """All samples but the times at which they were made, with their labels."""
    return {
        (sample.name, frozenset(sample.labels.items()))
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


async def shown_by_vllm() -> dict[str, Metric]:
    command = (sys.executable, "-m", "tests.api.metrics.vllm_exposition", MODEL, str(WINDOW))
    # An engine that was started here counts NaNs, which vLLM does and shows where it is told to.
    environ = {k: v for k, v in os.environ.items() if k != "VLLM_COMPUTE_NANS_IN_LOGITS"}
    pipe, nowhere = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environ, stdout=pipe, stderr=nowhere
    )
    text, _ = await process.communicate()
    assert process.returncode == 0
    read = text_string_to_metric_families(text.decode())
    return {
        family.name: family
        for family in read
        if family.name.startswith("vllm:") and not family.name.endswith("_created")
    }
