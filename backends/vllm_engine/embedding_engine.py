"""Owns what vLLM is asked for vectors, over the engine of `engine.py`. Imports vllm.

Import it lazily and off the event loop: it takes seconds.
"""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

import numpy as np
from vllm.inputs import tokens_input
from vllm.pooling_params import PoolingParams
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from backends.embedding import Vector
from backends.vllm_engine.engine import VllmEngine, is_cpu
from backends.vllm_engine.token_types import TokenTypes
from core.errors import EngineFailed

__all__ = ["EmbeddingEngine", "is_cpu"]


class EmbeddingEngine(VllmEngine):
    """A running AsyncLLM that pools. Made and shut down in any thread; all else is the loop's."""

    def __init__(
        self, args: Mapping[str, Any], longest_window: int, token_types: TokenTypes | None
    ) -> None:
        """Blocks, and raises ModelLoadError, as VllmEngine does.

        `token_types` are those of a model that ranks pairs and tells them apart by such.
        """
        super().__init__(args, longest_window)
        self._token_types = token_types
        self._numbers = itertools.count()

    @property
    def num_dimensions(self) -> int:
        return int(self._llm.model_config.embedding_size)

    async def pool(
        self, request_id: str, inputs: Sequence[tuple[int, ...]], *, ranks: bool
    ) -> list[Vector]:
        """What the model pooled of each input, raw. Raises EngineFailed. Cancelling aborts all."""
        call = f"{request_id}-{next(self._numbers)}"
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._pooled(f"{call}-{index}", token_ids, ranks=ranks))
                    for index, token_ids in enumerate(inputs)
                ]
        except* EngineFailed as failures:
            raise EngineFailed(str(failures.exceptions[0])) from failures
        return [task.result() for task in tasks]

    async def _pooled(self, request_id: str, token_ids: tuple[int, ...], *, ranks: bool) -> Vector:
        params = PoolingParams(
            task="classify" if ranks else "embed",
            use_activation=False,
            extra_kwargs=self._token_types.arguments(token_ids) if self._token_types else None,
        )
        self._step_stats.note_request()
        outputs = self._llm.encode(tokens_input(list(token_ids)), params, request_id)
        try:
            async with aclosing(outputs):
                output = await anext(outputs)
        except EngineDeadError as error:
            # Also where the process lives on, but vLLM no longer listens to it.
            self._on_death()
            raise EngineFailed("vLLM's engine ended while it worked on the input") from error
        except EngineGenerateError as error:
            reason = " ".join(str(error.__cause__ or error).split())
            raise EngineFailed(f"vLLM failed on the input: {reason}") from error
        values: Vector = output.outputs.data.float().numpy().reshape(-1)
        return values.astype(np.float32)
