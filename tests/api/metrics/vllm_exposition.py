"""Prints what vLLM itself shows to Prometheus before any request, for the context window given.

A program of its own: vLLM's metrics are the process's.
"""

import sys
from types import SimpleNamespace

from prometheus_client import generate_latest
from vllm.v1.metrics.loggers import PrometheusStatLogger


def main(model: str, window: int) -> None:
    """Asks for no engine: only what decides which metrics there are is filled in."""
    config = SimpleNamespace(
        model_config=SimpleNamespace(
            served_model_name=model, max_model_len=window, is_diffusion=False
        ),
        observability_config=SimpleNamespace(
            show_hidden_metrics=False, kv_cache_metrics=False, custom_histogram_buckets=None
        ),
        speculative_config=None,
        kv_transfer_config=None,
        ec_transfer_config=None,
        watermark_config=None,
        lora_config=None,
        parallel_config=SimpleNamespace(),
    )
    PrometheusStatLogger(config)
    sys.stdout.buffer.write(generate_latest())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
