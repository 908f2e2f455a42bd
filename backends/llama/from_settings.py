"""Owns which settings llama.cpp is loaded by."""

from pathlib import Path

from backends.llama.options import LlamaOptions
from core.settings import Settings


def llama_options(settings: Settings, model_path: Path) -> LlamaOptions:
    return LlamaOptions(
        model_path=model_path.absolute(),
        model_name=settings.served_model_id,
        context_window=settings.default_context_window,
        kv_tokens=settings.llama_kv_tokens,
        num_slots=settings.llama_max_num_seqs,
        batch_tokens=settings.llama_batch_tokens,
        cache_type=settings.llama_kv_cache_type,
        flash_attention=settings.llama_flash_attention,
        num_gpu_layers=settings.n_gpu_layers,
        num_threads=settings.llama_threads,
        log_level=settings.llama_log_level,
    )
