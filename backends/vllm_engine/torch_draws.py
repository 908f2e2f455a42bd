"""Owns the seeded draw of core/drawing.py and core/noise.py in torch: the same bits, on any device.

Rows of many requests at once. Knows no vLLM and no request.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from core.noise import DROPPED_BITS, GOLDEN_GAMMA, MIX_1, MIX_2, UNIT

_WORD = 1 << 64


@dataclass(frozen=True, slots=True)
class Filters:
    """`top_k` None keeps all ids; `key` is the noise's (core.noise.noise_key)."""

    top_k: int | None
    top_p: float
    key: int


def draw_seeded(rows: torch.Tensor, filters: Sequence[Filters]) -> torch.Tensor:
    """(rows,): the id drawn from each row of float32 logits, divided by the temperature before.

    `rows` is (rows, vocabulary); what another filter left out is minus infinity there.
    """
    floors = _lowest_kept(rows, filters)
    keys = torch.tensor([[_signed(each.key)] for each in filters], device=rows.device)
    ids = torch.arange(rows.shape[1], device=rows.device)
    noisy = rows.double() + gumbel_noise(keys, ids)
    noisy.masked_fill_(rows < floors, -torch.inf)
    return noisy.argmax(dim=1)


def random_words(keys: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Words of 64 bits, as int64: (rows, ids) for keys of (rows, 1)."""
    words = ids * _signed(GOLDEN_GAMMA) + (keys + _signed(GOLDEN_GAMMA))
    words = (words ^ _shifted(words, 30)) * _signed(MIX_1)
    words = (words ^ _shifted(words, 27)) * _signed(MIX_2)
    return words ^ _shifted(words, 31)


def gumbel_noise(keys: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Standard Gumbel noise as float64: (rows, ids)."""
    uniform = (_shifted(random_words(keys, ids), DROPPED_BITS).double() + 0.5) * UNIT
    return -torch.log(-torch.log(uniform))


def _lowest_kept(rows: torch.Tensor, filters: Sequence[Filters]) -> torch.Tensor:
    """(rows, 1): the lowest logit that the filters keep."""
    lowest = torch.finfo(torch.float32).min
    width = rows.shape[1]
    top_k = [min(each.top_k or width, width) for each in filters]
    top_p = [each.top_p for each in filters]
    if min(top_k) == width and min(top_p) >= 1.0:
        return torch.full((len(filters), 1), lowest, device=rows.device)
    ordered = rows.sort(dim=1, descending=True).values
    places = torch.tensor(top_k, device=rows.device)[:, None] - 1
    floors = ordered.gather(1, places).clamp(min=lowest)
    if min(top_p) < 1.0:
        shares = torch.tensor(top_p, device=rows.device, dtype=torch.float64)[:, None]
        floors = torch.maximum(floors, _nucleus_floor(ordered, floors, shares))
    return floors


def _nucleus_floor(
    ordered: torch.Tensor, floors: torch.Tensor, shares: torch.Tensor
) -> torch.Tensor:
    weights = torch.exp(ordered.double() - ordered[:, :1].double())
    weights.masked_fill_(ordered < floors, 0.0)
    wanted = shares * weights.sum(dim=1, keepdim=True)
    reached = (weights.cumsum(dim=1) < wanted).sum(dim=1, keepdim=True)
    found = ordered.gather(1, reached.clamp(max=ordered.shape[1] - 1))
    return torch.where(shares < 1.0, found, torch.full_like(found, -torch.inf))


def _shifted(words: torch.Tensor, count: int) -> torch.Tensor:
    """To the right, with zeros from the left: int64 would repeat its sign."""
    return (words >> count) & ((1 << (64 - count)) - 1)


def _signed(word: int) -> int:
    """64 bits as the int64 of the same bits."""
    return word - _WORD if word >= _WORD // 2 else word
