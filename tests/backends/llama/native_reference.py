"""Right answers, computed as plainly as llama.cpp allows: one sequence, one id a step, no reuse."""

import ctypes
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.llama import native_environment

# Read once, when the library is loaded: other tests may have the cores now.
native_environment.prepare()
llama_cpp: Any = importlib.import_module("llama_cpp")

CONTEXT = 1024
# llama.cpp sums in another order for other batches; logits then differ by less than this.
TIE = 1e-3


@dataclass(frozen=True, slots=True)
class RightAnswer:
    """Greedy ids, and by how much each one's logit led the next best."""

    token_ids: tuple[int, ...]
    gaps: tuple[float, ...]


class NativeReference:
    """A model for answers one at a time, each in a context of its own. Close it."""

    def __init__(self, path: Path) -> None:
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = 0
        self._model: Any = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        assert self._model, path
        vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self._num_vocabulary = int(llama_cpp.llama_vocab_n_tokens(vocabulary))
        self.answer = cache(self._answer)

    @property
    def facts(self) -> tuple[bool, bool, int]:
        """Whether it is recurrent, whether it is hybrid, and its sliding window or 0."""
        return (
            bool(llama_cpp.llama_model_is_recurrent(self._model)),
            bool(llama_cpp.llama_model_is_hybrid(self._model)),
            int(llama_cpp.llama_model_n_swa(self._model)),
        )

    def close(self) -> None:
        llama_cpp.llama_model_free(self._model)

    def logits(self, prompt_ids: Sequence[int]) -> NDArray[np.float32]:
        """(vocabulary,): what follows the prompt."""
        last: NDArray[np.float32] = self.rows(prompt_ids)[-1]
        return last

    def rows(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """(tokens, vocabulary): what follows each of the ids."""
        context = _open(self._model)
        try:
            return np.stack([self._decode(context, i, at).copy() for at, i in enumerate(token_ids)])
        finally:
            llama_cpp.llama_free(context)

    def _answer(self, prompt_ids: tuple[int, ...], num_tokens: int) -> RightAnswer:
        context = _open(self._model)
        try:
            for position, token_id in enumerate(prompt_ids):
                logits = self._decode(context, token_id, position)
            token_ids: list[int] = []
            gaps: list[float] = []
            while len(token_ids) < num_tokens:
                second, first = np.sort(logits)[-2:]
                gaps.append(float(first - second))
                token_ids.append(int(logits.argmax()))
                position = len(prompt_ids) + len(token_ids) - 1
                logits = self._decode(context, token_ids[-1], position)
        finally:
            llama_cpp.llama_free(context)
        return RightAnswer(tuple(token_ids), tuple(gaps))

    def _decode(self, context: Any, token_id: int, position: int) -> NDArray[np.float32]:
        one = (ctypes.c_int32 * 1)(token_id)
        assert position < CONTEXT
        # It numbers positions by itself, from the memory's last one.
        status = llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(one, 1))
        assert status == 0, status
        pointer = llama_cpp.llama_get_logits_ith(context, -1)
        return np.ctypeslib.as_array(pointer, (self._num_vocabulary,))


def assert_right(reference: NativeReference, prompt: Sequence[int], got: Sequence[int]) -> None:
    """Equal ids; where not, says where, and whether a tie could be the reason."""
    right = reference.answer(tuple(prompt), len(got))
    wrong = [
        at for at, pair in enumerate(zip(got, right.token_ids, strict=True)) if len({*pair}) > 1
    ]
    if wrong:
        gap = right.gaps[wrong[0]]
        reason = "a tie" if gap < TIE else "no tie"
        raise AssertionError(
            f"after {len(prompt)} ids, output {wrong[0]} of {len(got)} is {got[wrong[0]]}, not"
            f" {right.token_ids[wrong[0]]}, which led by {gap:.4f}: {reason}"
        )


def _open(model: Any) -> Any:
    params = llama_cpp.llama_context_default_params()
    params.n_ctx, params.n_seq_max, params.n_batch, params.n_ubatch = CONTEXT, 1, 64, 64
    params.n_threads = params.n_threads_batch = 1
    params.type_k = params.type_v = 0  # f32, as our engine takes it for models of f32
    params.flash_attn_type = 0
    context = llama_cpp.llama_init_from_model(model, params)
    assert context
    return context
