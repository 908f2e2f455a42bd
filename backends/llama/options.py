"""Owns how llama.cpp is asked to load a model, as one value. Touches no native code."""

import os
from dataclasses import dataclass
from pathlib import Path

from backends.llama.sizing import Wishes
from core.setting_types import FlashAttention, KvCacheType, KvLayout


@dataclass(frozen=True, slots=True)
class LlamaOptions:
    """`context_window` and `kv_tokens` are in tokens. None leaves it to sizing.py.

    An AUTO cache is f32 for a model of f32 matrices, else f16. AUTO flash attention is off beside
    an f32 cache, where it would cost exactness; else llama.cpp decides.
    """

    model_path: Path
    model_name: str
    context_window: int | None = None
    kv_tokens: int | None = None
    num_slots: int | None = None
    layout: KvLayout = KvLayout.AUTO
    batch_tokens: int = 512
    prefill_tokens: int = 256
    reuses_prefixes: bool = True
    prefix_mib: int | None = None
    speculates: bool = True
    cache_type: KvCacheType = KvCacheType.AUTO
    flash_attention: FlashAttention = FlashAttention.AUTO
    num_gpu_layers: int = -1
    num_threads: int | None = None
    num_threads_batch: int | None = None
    uses_mmap: bool = True
    uses_mlock: bool = False
    log_level: str = "WARNING"

    @property
    def wishes(self) -> Wishes:
        return Wishes(self.context_window, self.kv_tokens, self.num_slots, self.layout)

    def batch_size(self, num_running: int) -> int:
        """Tokens of one step; every sequence must be able to decode in it."""
        return max(self.batch_tokens, num_running)

    @property
    def threads_batch(self) -> int:
        """For steps of several tokens."""
        return self.num_threads_batch or self.threads

    @property
    def threads(self) -> int:
        """All the cores that this process may run on, unless told."""
        return self.num_threads or len(os.sched_getaffinity(0))
