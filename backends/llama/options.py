"""Owns how llama.cpp is asked to load a model, as one value. Touches no native code."""

import os
from dataclasses import dataclass
from pathlib import Path

from core.setting_types import FlashAttention, KvCacheType


@dataclass(frozen=True, slots=True)
class LlamaOptions:
    """`context_window` and `kv_tokens` are in tokens; None is automatic.

    An AUTO cache is f32 for a model of f32 matrices, else f16. AUTO flash attention is off beside
    an f32 cache, where it would cost exactness; else llama.cpp decides.
    """

    model_path: Path
    model_name: str
    context_window: int = 4096
    kv_tokens: int | None = None
    num_slots: int = 32
    batch_tokens: int = 512
    prefill_tokens: int = 256
    reuses_prefixes: bool = True
    speculates: bool = True
    cache_type: KvCacheType = KvCacheType.AUTO
    flash_attention: FlashAttention = FlashAttention.AUTO
    num_gpu_layers: int = -1
    num_threads: int | None = None
    num_threads_batch: int | None = None
    uses_mmap: bool = True
    uses_mlock: bool = False
    log_level: str = "WARNING"

    def window(self, trained: int) -> int:
        """The context window in force: what was asked for, but never more than was trained."""
        return min(self.context_window, trained)

    def num_cells(self, window: int) -> int:
        """KV cells in all, a multiple of 256 as llama.cpp rounds: four whole windows by default."""
        wanted = self.kv_tokens if self.kv_tokens is not None else 4 * window
        return -(-max(wanted, window) // 256) * 256

    @property
    def batch_size(self) -> int:
        """Tokens of one step; every slot must be able to decode in it."""
        return max(self.batch_tokens, self.num_slots)

    @property
    def threads_batch(self) -> int:
        """For steps of several tokens."""
        return self.num_threads_batch or self.threads

    @property
    def threads(self) -> int:
        """All the cores that this process may run on, unless told."""
        return self.num_threads or len(os.sched_getaffinity(0))
