"""Owns in what order alike servers are asked. Pure: numbers and bytes in, an order out; no clock.

Prompts that begin alike go to the same server, for its prefix cache: weighted rendezvous hashing
(Thaler and Ravishankar 1998; weights after Schindelhauer and Schomaker 2005), whose first choices
take no more than their share of the load and a little (consistent hashing with bounded loads,
Mirrokni, Thorup and Zadimoghaddam 2016).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b

# So much more than its fair share of what is under way may a server have, and one request beside.
LOAD_FACTOR = 1.25


class Standing(IntEnum):
    """What is known of a server beside its load; lower ones are asked first.

    RETURNING: it failed, answers again, and waits for the one request that proves it. SILENT: it
    was looked at and did not answer.
    """

    RETURNING = 0
    WELL = 1
    SILENT = 2


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server that may be asked. `key` names it for as long as it exists."""

    key: bytes
    weight: float
    num_outstanding: int
    standing: Standing = Standing.WELL


def order(candidates: Sequence[Candidate], prompt_start: bytes, turn: int) -> tuple[int, ...]:
    """The indices of all candidates, those asked first first.

    Without a prompt's start, those with the least outstanding requests for their weight go first.
    `turn` differs from request to request, and shares among equals by weight.
    """
    if len(candidates) == 1:
        return (0,)
    by_hash = _by_hash(candidates, prompt_start or b"%d" % turn)
    if prompt_start:
        total = 1 + sum(each.num_outstanding for each in candidates)
        fair = total / math.fsum(each.weight for each in candidates)
        by_hash.sort(key=lambda i: (candidates[i].standing, _is_full(candidates[i], fair)))
    else:
        by_hash.sort(key=lambda i: (candidates[i].standing, _load(candidates[i])))
    return tuple(by_hash)


def _by_hash(candidates: Sequence[Candidate], text: bytes) -> list[int]:
    """Where one candidate goes, the order of the others stays."""
    digest = blake2b(text, digest_size=16).digest()
    distances = [_distance(each, digest) for each in candidates]
    return sorted(range(len(candidates)), key=distances.__getitem__)


def _distance(candidate: Candidate, digest: bytes) -> float:
    """Exponentially distributed with the weight as its rate: the nearest is drawn by weight."""
    number = int.from_bytes(blake2b(candidate.key + digest, digest_size=8).digest(), "big")
    return -math.log((number + 0.5) / 2.0**64) / candidate.weight


def _is_full(candidate: Candidate, fair: float) -> bool:
    """`fair` is what each unit of weight would have if all were shared evenly."""
    return candidate.num_outstanding >= LOAD_FACTOR * fair * candidate.weight + 1


def _load(candidate: Candidate) -> float:
    return candidate.num_outstanding / candidate.weight
