"""The logits processor that makes vLLM draw as core/drawing.py does where a request has a seed.

Runs in vLLM's engine process, after the temperature and vLLM's own min_p. Of a seeded row one logit
is left, so that what vLLM does after it (top_k, top_p, its own draw) changes nothing.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from vllm.v1.sample.logits_processor import LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from backends.vllm_engine.torch_draws import Filters, draw_seeded
from core.noise import noise_key
from core.sampling import Seed

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.sampling_params import SamplingParams
    from vllm.v1.sample.logits_processor import BatchUpdate

SEED_ARGUMENT = "jarvis_seed"


@dataclass(frozen=True, slots=True)
class _Seeded:
    """`output_ids` is vLLM's own list, which grows as the request does."""

    seed: Seed
    top_k: int | None
    top_p: float
    output_ids: list[int]

    def filters(self) -> Filters:
        return Filters(self.top_k, self.top_p, noise_key(self.seed, len(self.output_ids)))


class SeededDraws(LogitsProcessor):  # type: ignore[misc]
    """Implements vLLM's interface; each row of a batch is a request."""

    def __init__(
        self, vllm_config: "VllmConfig", device: torch.device, is_pin_memory: bool
    ) -> None:
        self._by_row: dict[int, _Seeded] = {}

    def is_argmax_invariant(self) -> bool:
        """Greedy requests don't need it: vLLM applies it after the temperature."""
        return True

    def update_state(self, batch_update: "BatchUpdate | None") -> None:
        process_dict_updates(self._by_row, batch_update, _state)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        if not self._by_row:
            return logits
        rows = torch.tensor(sorted(self._by_row), device=logits.device)
        filters = [self._by_row[row].filters() for row in sorted(self._by_row)]
        seeded = logits[rows]
        drawn = draw_seeded(seeded, filters)
        logits[rows] = -torch.inf
        # vLLM counts NaNs behind this: a row that had one keeps one.
        is_broken = seeded.amax(dim=1).isnan()
        logits[rows, drawn] = torch.where(is_broken, torch.nan, 0.0).to(logits.dtype)
        return logits


def _state(params: "SamplingParams", _: Any, output_ids: list[int]) -> _Seeded | None:
    given = (params.extra_args or {}).get(SEED_ARGUMENT)
    if given is None:
        return None
    value, choice = given
    return _Seeded(Seed(value, choice), params.top_k or None, params.top_p, output_ids)
