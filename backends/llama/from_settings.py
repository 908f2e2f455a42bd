"""Owns which settings llama.cpp is loaded by."""

from pathlib import Path

from backends.llama.options import LlamaOptions
from core.settings import Settings, Speculation


def llama_options(settings: Settings, model_path: Path) -> LlamaOptions:
    return LlamaOptions(
        model_path=model_path.absolute(),
        model_name=settings.served_model_id,
        context_window=settings.model_context_window,
        kv_tokens=settings.llama_kv_tokens,
        num_slots=settings.llama_max_num_seqs,
        layout=settings.llama_kv_layout,
        batch_tokens=settings.llama_batch_tokens,
        prefill_tokens=settings.llama_prefill_tokens,
        reuses_prefixes=settings.llama_prefix_cache,
        prefix_mib=settings.llama_prefix_mib,
        speculates=settings.llama_speculation is Speculation.AUTO,
        cache_type=settings.llama_kv_cache_type,
        flash_attention=settings.llama_flash_attention,
        num_gpu_layers=settings.n_gpu_layers,
        num_threads=settings.llama_threads,
        num_threads_batch=settings.llama_threads_batch,
        uses_mmap=settings.llama_mmap,
        uses_mlock=settings.llama_mlock,
        log_level=settings.llama_log_level,
    )
