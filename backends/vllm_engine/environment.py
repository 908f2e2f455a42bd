"""Owns the environment variables that vLLM reads, which is its only way to be told these things.

They are set for the whole process before vllm is first imported: its engine process inherits them.
"""

import os
from collections.abc import MutableMapping

from core.settings import Settings


def prepare_environment(settings: Settings, environ: MutableMapping[str, str]) -> None:
    """Settings go before what is there; for what has no setting, what is there is kept."""
    environ["VLLM_LOGGING_LEVEL"] = settings.vllm_logging_level.value
    environ["VLLM_CPU_KVCACHE_SPACE"] = str(settings.vllm_cpu_kvcache_gib)
    # No word about the user leaves the machine; the model is on it already.
    environ["VLLM_NO_USAGE_STATS"] = "1"
    environ["DO_NOT_TRACK"] = "1"
    environ["HF_HUB_OFFLINE"] = "1"
    # Bars of progress are for terminals; `report` tells of it, and a log is made of lines.
    environ.setdefault("TQDM_DISABLE", "1")
    # What libraries say of each other, in its processes and past the log's form.
    environ.setdefault("PYTHONWARNINGS", "ignore")
    environ.setdefault("TORCH_LOGS", "-all")
    environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    # Broken logits end their request with an error (steps.py) instead of as nonsense.
    environ.setdefault("VLLM_COMPUTE_NANS_IN_LOGITS", "1")
    environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", _thread_binding())


def _thread_binding() -> str:
    """vLLM's "auto" keeps one core for its scheduler and computes on the others, if there are any.

    Unbound, or on every core, OpenMP's spinning threads wait for each other wherever anything else
    runs: on two cores with one busy, 20 times slower.
    """
    # Only Linux knows of CPUs that this process may not use.
    allowed = getattr(os, "sched_getaffinity", None)
    num_cpus = len(allowed(0)) if allowed is not None else os.cpu_count() or 1
    return "auto" if num_cpus > 1 else "nobind"
