"""Owns every call into llama.cpp, behind typed, closable wrappers. The one file that imports it.

Import it lazily: importing loads the native library. All objects but `NativeModel`'s tokenizer
belong to the thread that made them. Native failures become ModelLoadError and EngineFailed.
"""

import ctypes
import logging
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from backends.llama.limits import Limits
from backends.llama.memory import MemoryFacts
from backends.llama.options import LlamaOptions
from backends.llama.parked_spans import ParkedSpans
from backends.llama.plan import Copy, Discard, Drop, MemoryOperation, Park, Restore, Share, Span
from core.errors import EngineFailed, ModelLoadError
from core.setting_types import FlashAttention, KvCacheType
from core.vocabulary import Vocabulary

logger = logging.getLogger("llama_cpp")

_GGML_TYPES = {
    KvCacheType.F32: 0,
    KvCacheType.F16: 1,
    KvCacheType.Q4_0: 2,
    KvCacheType.Q8_0: 8,
    KvCacheType.BF16: 30,
}
# Bytes a value takes; the quantised ones come in blocks of 32 with a scale of two bytes.
_TYPE_BYTES = {
    KvCacheType.F32: 4.0,
    KvCacheType.F16: 2.0,
    KvCacheType.BF16: 2.0,
    KvCacheType.Q8_0: 34 / 32,
    KvCacheType.Q4_0: 18 / 32,
}
_FLASH_ATTENTION = {FlashAttention.AUTO: -1, FlashAttention.OFF: 0, FlashAttention.ON: 1}
_LOG_LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}
_FILE_TYPE_ALL_F32 = 0
_VOCABULARY_BYTE_LEVEL = 2
_NO_SLOT_FOUND = 1


def version() -> str:
    """The version of the binding, which carries llama.cpp itself."""
    return str(llama_cpp.__version__)


class LogRoute:
    """Sends llama.cpp's log to `logging` until `close`. The native log is the whole process's: of
    several routes the latest gets all lines.

    `first_error` is the first line that this route's own thread logged as an error: the reason,
    where a load fails.
    """

    _open: ClassVar[list["LogRoute"]] = []
    _changing: ClassVar[threading.Lock] = threading.Lock()
    # Kept for good: another engine's thread may be about to call one that was replaced.
    _callbacks: ClassVar[list[Any]] = []

    def __init__(self, level: str) -> None:
        logger.setLevel(level)
        self.first_error: str | None = None
        self._last_level = logging.INFO
        self._thread = threading.get_ident()
        self._callback = llama_cpp.llama_log_callback(self._log)
        with self._changing:
            self._callbacks.append(self._callback)
            self._open.append(self)
            self._set_latest()

    def _log(self, level: int, text: bytes, _user: object) -> None:
        self._last_level = _LOG_LEVELS.get(level, self._last_level)
        line = text.decode("utf-8", "replace").rstrip()
        if line.strip("."):
            logger.log(self._last_level, "%s", line)
        if self._last_level == logging.ERROR:
            self._own_route().note(line.strip())

    def _own_route(self) -> "LogRoute":
        caller = threading.get_ident()
        return next((route for route in tuple(self._open) if route._thread == caller), self)

    def note(self, error: str) -> None:
        self.first_error = self.first_error or error

    def close(self) -> None:
        """Back to the route before, or to llama.cpp's own log."""
        with self._changing:
            self._open.remove(self)
            self._set_latest()

    def _set_latest(self) -> None:
        latest = self._open[-1]._callback if self._open else llama_cpp.llama_log_callback()
        llama_cpp.llama_log_set(latest, ctypes.c_void_p(0))


class NativeModel:
    """Weights and vocabulary. `progress` gets the share loaded and returns False to give up."""

    def __init__(
        self, options: LlamaOptions, progress: Callable[[float], bool], route: LogRoute
    ) -> None:
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = options.num_gpu_layers
        params.use_mmap, params.use_mlock = options.uses_mmap, options.uses_mlock
        callback = llama_cpp.llama_progress_callback(lambda share, _user: progress(float(share)))
        params.progress_callback = callback
        self._handle: Any = llama_cpp.llama_model_load_from_file(
            str(options.model_path).encode(), params
        )
        if not self._handle:
            reason = route.first_error or "it gave no reason"
            raise ModelLoadError(f"llama.cpp could not load {options.model_path.name}: {reason}")
        self._vocab: Any = llama_cpp.llama_model_get_vocab(self._handle)

    @property
    def handle(self) -> object:
        return self._handle

    @property
    def trained_window(self) -> int:
        return int(llama_cpp.llama_model_n_ctx_train(self._handle))

    @property
    def num_vocabulary(self) -> int:
        return int(llama_cpp.llama_vocab_n_tokens(self._vocab))

    @property
    def is_float32(self) -> bool:
        return bool(llama_cpp.llama_model_ftype(self._handle) == _FILE_TYPE_ALL_F32)

    @property
    def memory_facts(self) -> MemoryFacts:
        return MemoryFacts(
            is_recurrent=bool(llama_cpp.llama_model_is_recurrent(self._handle)),
            is_hybrid=bool(llama_cpp.llama_model_is_hybrid(self._handle)),
            sliding_window=int(llama_cpp.llama_model_n_swa(self._handle)) or None,
        )

    def is_offloaded(self, options: LlamaOptions) -> bool:
        """Whether layers, and their KV cells with them, are on a GPU."""
        return options.num_gpu_layers != 0 and bool(llama_cpp.llama_supports_gpu_offload())

    @property
    def num_bytes(self) -> int:
        """All tensors together."""
        return int(llama_cpp.llama_model_size(self._handle))

    def cache_type(self, options: LlamaOptions) -> KvCacheType:
        if options.cache_type is not KvCacheType.AUTO:
            return options.cache_type
        return KvCacheType.F32 if self.is_float32 else KvCacheType.F16

    def cell_bytes(self, options: LlamaOptions) -> int:
        """What a KV cell takes in all layers; too much where only some layers have one."""
        num_heads = max(1, int(llama_cpp.llama_model_n_head(self._handle)))
        num_kv_heads = int(llama_cpp.llama_model_n_head_kv(self._handle))
        width = int(llama_cpp.llama_model_n_embd(self._handle)) // num_heads
        architecture = self.metadata("general.architecture")
        lengths = [self.metadata(f"{architecture}.attention.{x}_length") for x in ("key", "value")]
        per_head = sum(int(x) if x and x.isdigit() else width for x in lengths)
        num_values = int(llama_cpp.llama_model_n_layer(self._handle)) * num_kv_heads * per_head
        return int(num_values * _TYPE_BYTES[self.cache_type(options)])

    @property
    def is_byte_level(self) -> bool:
        return bool(llama_cpp.llama_vocab_type(self._vocab) == _VOCABULARY_BYTE_LEVEL)

    def metadata(self, key: str) -> str | None:
        """A metadata value as text; None where the file has no such key."""
        size = 256
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = llama_cpp.llama_model_meta_val_str(self._handle, key.encode(), buffer, size)
            if length < 0:
                return None
            if length < size:
                return buffer.value.decode("utf-8", "replace")
            size = length + 1

    def tokenize(self, text: bytes, *, parse_control: bool) -> list[int]:
        """Ids of `text`, nothing added. May be called from any thread."""
        capacity = len(text) + 8
        ids = (ctypes.c_int32 * capacity)()
        count = llama_cpp.llama_tokenize(
            self._vocab, text, len(text), ids, capacity, False, parse_control
        )
        if count < 0:
            raise EngineFailed(f"llama.cpp's tokenizer failed on {len(text)} bytes")
        return list(ids[:count])

    def vocabulary(self) -> Vocabulary:
        count = self.num_vocabulary
        vocab = self._vocab
        ends = ("eos", "eot", "eom")
        end_ids = (self._metadata_id(f"tokenizer.ggml.{end}_token_id") for end in ends)
        return Vocabulary(
            pieces=tuple(self._piece(i) for i in range(count)),
            control_ids=frozenset(
                i for i in range(count) if llama_cpp.llama_vocab_is_control(vocab, i)
            ),
            bos_id=self._known_id(llama_cpp.llama_vocab_bos(vocab)),
            eos_id=self._known_id(llama_cpp.llama_vocab_eos(vocab)),
            metadata_end_ids=frozenset(i for i in end_ids if i is not None),
            add_bos=bool(llama_cpp.llama_vocab_get_add_bos(vocab)),
        )

    def close(self) -> None:
        if self._handle:
            llama_cpp.llama_model_free(self._handle)
            self._handle = self._vocab = None

    def _metadata_id(self, key: str) -> int | None:
        text = self.metadata(key)
        return self._known_id(int(text)) if text is not None and text.isdigit() else None

    def _known_id(self, token_id: int) -> int | None:
        return int(token_id) if 0 <= token_id < self.num_vocabulary else None

    def _piece(self, token_id: int) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = llama_cpp.llama_token_to_piece(self._vocab, token_id, buffer, size, 0, True)
            if length >= 0:
                return buffer.raw[:length]
            size = -length


class NativeBatch:
    """A batch of at most `capacity` tokens, filled through numpy views of its own memory.

    Each token belongs to `num_holders` native sequences: its slot, and `num_slots` further on.
    """

    def __init__(self, capacity: int, *, num_holders: int, num_slots: int) -> None:
        self._batch = llama_cpp.llama_batch_init(capacity, 0, 1)
        shape = (capacity,)
        self.token_ids = np.ctypeslib.as_array(self._batch.token, shape)
        self.positions = np.ctypeslib.as_array(self._batch.pos, shape)
        self.wants_logits = np.ctypeslib.as_array(self._batch.logits, shape)
        np.ctypeslib.as_array(self._batch.n_seq_id, shape)[:] = num_holders
        # Each row's pointer is replaced once by a row of one flat array.
        self._holders = np.zeros((capacity, num_holders), dtype=np.int32)
        self._offsets = np.arange(num_holders, dtype=np.int32) * num_slots
        self._rows = np.ctypeslib.as_array(
            ctypes.cast(self._batch.seq_id, ctypes.POINTER(ctypes.c_size_t)), shape
        )
        self._own_rows = self._rows.copy()
        row = num_holders * ctypes.sizeof(ctypes.c_int32)
        self._rows[:] = self._holders.ctypes.data + np.arange(capacity, dtype=np.uintp) * row

    def put_slots(self, slots: list[int]) -> None:
        """The slot of each token, from the first on."""
        self._holders[: len(slots)] = np.array(slots, dtype=np.int32)[:, None] + self._offsets

    def sized(self, num_tokens: int) -> object:
        """The native batch, to be passed on to llama_decode at once."""
        self._batch.n_tokens = num_tokens
        return self._batch

    def close(self) -> None:
        """Gives llama.cpp its own row pointers back first, which it frees. Call it once."""
        self._rows[:] = self._own_rows
        llama_cpp.llama_batch_free(self._batch)


class NativeContext:
    """The KV cache and compute buffers of a model, for `num_slots` sequences at once."""

    def __init__(
        self, model: NativeModel, options: LlamaOptions, limits: Limits, num_holders: int
    ) -> None:
        cache_type = model.cache_type(options)
        num_cells = limits.num_cells
        flash = options.flash_attention
        if flash is FlashAttention.AUTO and cache_type is KvCacheType.F32:
            flash = FlashAttention.OFF
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = num_cells
        # One more sequence, through which parts of others are parked and restored.
        self._transit = limits.num_slots * num_holders
        self._is_shared = limits.slot_cells is None
        params.kv_unified = self._is_shared
        has_transit = self._is_shared and limits.max_parked > 0
        params.n_seq_max = self._transit + has_transit
        params.swa_full = num_holders > 1
        params.n_batch = params.n_ubatch = limits.batch_tokens
        params.n_threads, params.n_threads_batch = options.threads, options.threads_batch
        params.type_k = params.type_v = _GGML_TYPES[cache_type]
        params.flash_attn_type = _FLASH_ATTENTION[flash]
        self._handle: Any = llama_cpp.llama_init_from_model(model.handle, params)
        if not self._handle:
            raise ModelLoadError(
                f"llama.cpp could not make a KV cache of {num_cells} tokens in {cache_type}: "
                "lower JARVIS_LLAMA_KV_TOKENS or JARVIS_MODEL_CONTEXT_WINDOW"
            )
        self._memory = llama_cpp.llama_get_memory(self._handle)
        if not self._memory:
            self.close()
            raise ModelLoadError("this model keeps nothing of a sequence: it can't continue one")
        self._offsets = [limits.num_slots * number for number in range(num_holders)]
        self._spans = ParkedSpans()
        self._num_vocabulary = model.num_vocabulary

    @property
    def handle(self) -> object:
        return self._handle

    def decode(self, batch: NativeBatch, num_tokens: int) -> None:
        """Computes the batch's first `num_tokens` tokens. Raises EngineFailed."""
        status = llama_cpp.llama_decode(self._handle, batch.sized(num_tokens))
        if status == _NO_SLOT_FOUND:
            raise EngineFailed(f"llama.cpp found no room in its KV cache for {num_tokens} tokens")
        if status != 0:
            raise EngineFailed(f"llama_decode returned {status} for {num_tokens} tokens")

    def logits(self, num_rows: int) -> NDArray[np.float32]:
        """(rows, vocabulary), in the batch's order, valid until the next decode."""
        pointer = llama_cpp.llama_get_logits(self._handle)
        return np.ctypeslib.as_array(
            ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), (num_rows, self._num_vocabulary)
        )

    def apply(self, operation: MemoryOperation) -> None:
        """Raises EngineFailed where the memory can't, which its kind should have told."""
        match operation:
            case Share(source, target, start, end):
                for offset in self._offsets:
                    self._copy(source, target + offset, start, end)
            case Copy(source, target, end):
                size = llama_cpp.llama_state_seq_get_size(self._handle, source)
                self._save(source, passing := self._spans.passing(size))
                self._load(target, passing)
                self._remove(target, end, -1)
            case Drop(slot, start, end):
                for offset in self._offsets:
                    self._remove(slot + offset, start, -1 if end is None else end)
            case Park(slot, span) if not self._is_shared:
                self._park(slot, span)
            case Restore(slot, span, _, end) if not self._is_shared:
                self._load(slot, self._spans.read(span.id))
                self._remove(slot, end, -1)
            case Park(slot, span):
                self._copy(slot, self._transit, span.start, span.end)
                self._park(self._transit, span)
                self._remove(self._transit, 0, -1)
            case Restore(slot, span, start, end):
                self._load(self._transit, self._spans.read(span.id))
                self._copy(self._transit, slot, start, end)
                self._remove(self._transit, 0, -1)
            case Discard(span):
                self._spans.discard(span.id)

    def clear(self) -> None:
        """Overwrites what is kept of all sequences, parked spans too: a NaN in a cell that nobody
        uses reaches other sequences all the same, since a NaN masked out is a NaN.
        """
        llama_cpp.llama_memory_clear(self._memory, True)
        self._spans.clear()

    def _copy(self, source: int, target: int, start: int, end: int) -> None:
        """The target holds the same cells: no data is copied."""
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, start, end)

    def _remove(self, slot: int, start: int, end: int) -> None:
        if not llama_cpp.llama_memory_seq_rm(self._memory, slot, start, end):
            raise EngineFailed(f"llama.cpp could not drop positions from {start} on")

    def _save(self, slot: int, into: NDArray[np.uint8]) -> None:
        pointer = into.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        if llama_cpp.llama_state_seq_get_data(self._handle, pointer, into.size, slot) != into.size:
            raise EngineFailed(f"llama.cpp could not copy {into.size} bytes of its KV cache")

    def _park(self, slot: int, span: Span) -> None:
        size = llama_cpp.llama_state_seq_get_size(self._handle, slot)
        self._spans.keep(span.id, size, lambda into: self._save(slot, into))

    def _load(self, slot: int, saved: NDArray[np.uint8]) -> None:
        pointer = saved.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        if not llama_cpp.llama_state_seq_set_data(self._handle, pointer, saved.size, slot):
            raise EngineFailed(f"llama.cpp could not restore {saved.size} bytes of its KV cache")

    def close(self) -> None:
        if self._handle:
            llama_cpp.llama_free(self._handle)
            self._handle = self._memory = None
