"""Owns how settings become vLLM's engine arguments. Knows no process; `vllm` is not imported.

The names that the installed vLLM takes are handed in.
"""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.vllm_engine.worker_heap import EXTENSION
from core.errors import ConfigurationError
from core.scores import MAX_TOP_LOGPROBS
from core.settings import Settings, VllmDtype

# What another variable owns, or what the seam rests on (None).
_OWNERS: Mapping[str, str | None] = {
    "model": "JARVIS_MODEL_NAME",
    "tokenizer": "JARVIS_MODEL_NAME",
    "hf_config_path": "JARVIS_MODEL_NAME",
    "served_model_name": "JARVIS_MODEL_ALIASES",
    "hf_token": "HF_TOKEN",
    "dtype": "JARVIS_VLLM_DTYPE",
    "max_model_len": "JARVIS_VLLM_MAX_MODEL_LEN",
    "tensor_parallel_size": "JARVIS_VLLM_TENSOR_PARALLEL_SIZE",
    "pipeline_parallel_size": "JARVIS_VLLM_PIPELINE_PARALLEL_SIZE",
    "gpu_memory_utilization": "JARVIS_VLLM_GPU_MEMORY_UTILIZATION",
    "max_num_seqs": "JARVIS_VLLM_MAX_NUM_SEQS",
    "quantization": "JARVIS_VLLM_QUANTIZATION",
    "enable_prefix_caching": "JARVIS_VLLM_ENABLE_PREFIX_CACHING",
    "enforce_eager": "JARVIS_VLLM_ENFORCE_EAGER",
    "speculative_config": "JARVIS_VLLM_SPECULATIVE_CONFIG",
    "distributed_executor_backend": "JARVIS_VLLM_DISTRIBUTED_EXECUTOR_BACKEND",
    "log_level": "VLLM_LOGGING_LEVEL",
    "generation_config": None,
    "override_generation_config": None,
    "skip_tokenizer_init": None,
    "structured_outputs_config": None,
    "max_logprobs": None,
    "logits_processors": None,
    "scheduling_policy": None,
    "runner": None,
    "tokenizer_mode": None,
}
_SEEDED_DRAWS = "backends.vllm_engine.seeded_draws:SeededDraws"
_LONG_NAMES = {VllmDtype.HALF: "float16", VllmDtype.FLOAT: "float32"}


@dataclass(frozen=True, slots=True)
class EngineModel:
    """What vLLM is to load: a folder or GGUF file, its configuration's place, in which format."""

    path: Path
    config_path: Path
    dtype: str


def engine_args(
    settings: Settings, model: EngineModel, known_names: Collection[str], *, is_cpu: bool
) -> dict[str, Any]:
    """Keyword arguments for AsyncEngineArgs, but for max_model_len, which the model limits.

    `known_names` are its fields. Raises ConfigurationError.
    """
    backend = settings.vllm_distributed_executor_backend
    args: dict[str, Any] = {
        "model": str(model.path),
        "dtype": model.dtype,
        # Grammars need vLLM's own tokenizer; nothing else uses it.
        "skip_tokenizer_init": False,
        "structured_outputs_config": {"backend": "guidance"},
        "generation_config": "vllm",
        "runner": "generate",
        "scheduling_policy": "priority",
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
        "tensor_parallel_size": settings.vllm_tensor_parallel_size,
        "pipeline_parallel_size": settings.vllm_pipeline_parallel_size,
        "gpu_memory_utilization": settings.vllm_gpu_memory_utilization,
        "enable_prefix_caching": settings.vllm_enable_prefix_caching,
        "enforce_eager": _is_eager(settings, is_cpu=is_cpu),
        "max_logprobs": MAX_TOP_LOGPROBS,
    }
    # vLLM takes no processors beside speculative decoding: see `unsupported_fields`.
    if settings.vllm_speculative_config is None:
        args["logits_processors"] = [_SEEDED_DRAWS]
    optional = {
        "worker_extension_cls": EXTENSION if is_cpu else None,
        "max_num_seqs": settings.vllm_max_num_seqs,
        "quantization": settings.vllm_quantization,
        "speculative_config": settings.vllm_speculative_config,
        "distributed_executor_backend": backend.value if backend else None,
        "hf_config_path": str(model.config_path) if model.config_path != model.path else None,
    }
    args |= {name: value for name, value in optional.items() if value is not None}
    return args | _extra_args(settings, known_names)


def unsupported_fields(settings: Settings) -> frozenset[str]:
    """Request fields that vLLM can't honour beside speculative decoding, which refuses logits
    processors, its own for min_p and logit_bias too.
    """
    if settings.vllm_speculative_config is None:
        return frozenset()
    return frozenset({"seed", "min_p", "logit_bias"})


def compute_dtype(settings: Settings, own: str | None) -> str:
    """The format that is set, else the model's own, else bfloat16.

    vLLM's own "auto" would make float16 or bfloat16 of a float32 model.
    """
    if settings.vllm_dtype is VllmDtype.AUTO:
        return own if own in ("float32", "float16", "bfloat16") else "bfloat16"
    return _LONG_NAMES.get(settings.vllm_dtype, settings.vllm_dtype.value)


def _is_eager(settings: Settings, *, is_cpu: bool) -> bool:
    """On a CPU compiling needs a C++ compiler, and made a start twice as long and a small model no
    faster: there it is for those who ask for it.
    """
    is_set = "vllm_enforce_eager" in settings.model_fields_set
    return settings.vllm_enforce_eager if is_set else is_cpu


def _extra_args(settings: Settings, known_names: Collection[str]) -> dict[str, Any]:
    extra = settings.vllm_extra_args or {}
    for name in extra:
        if name in _OWNERS:
            owner = _OWNERS[name]
            remedy = f"set {owner} instead" if owner else "the proxy itself decides that"
            raise ConfigurationError(f"JARVIS_VLLM_EXTRA_ARGS: {name} is not allowed: {remedy}")
        if name not in known_names:
            near = difflib.get_close_matches(name, known_names)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise ConfigurationError(
                f"JARVIS_VLLM_EXTRA_ARGS: the installed vLLM has no argument {name}{hint}"
            )
    return extra
