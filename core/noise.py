"""Owns the noise of seeded draws: the same number for the same seed, choice, position and id.

Counter-based: nothing is kept between draws, and any id's noise is computed alone. The generator
is SplitMix64 (Steele, Lea and Flood, 2014), started from a hash of seed, choice and position, and
advanced by the id. Other forms of this arithmetic (for GPU tensors) must give the same bits.
"""

import hashlib
import struct

import numpy as np
from numpy.typing import NDArray

from core.sampling import Seed

GOLDEN_GAMMA = 0x9E3779B97F4A7C15
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB
_WORD = 2**64
# The highest 53 bits make a float64 in (0, 1): half a step is added, so that neither end is met.
DROPPED_BITS = 11
UNIT = 2.0**-53


def noise_key(seed: Seed, position: int) -> int:
    """64 bits, for the draw at `position`: the number of ids that the choice has generated."""
    facts = struct.pack("<qqq", seed.value, seed.choice, position)
    return int.from_bytes(hashlib.blake2b(facts, digest_size=8).digest(), "little")


def random_words(key: int, ids: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A word of 64 random bits for each id."""
    start = np.uint64((key + GOLDEN_GAMMA) % _WORD)
    words = ids.astype(np.uint64) * np.uint64(GOLDEN_GAMMA) + start
    words = (words ^ (words >> np.uint64(30))) * np.uint64(MIX_1)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(MIX_2)
    mixed: NDArray[np.uint64] = words ^ (words >> np.uint64(31))
    return mixed


def gumbel_noise(key: int, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Standard Gumbel noise for each id: the id of the highest logit plus noise is drawn with the
    probability that the softmax gives it (Gumbel, 1954).
    """
    uniform = ((random_words(key, ids) >> np.uint64(DROPPED_BITS)).astype(np.float64) + 0.5) * UNIT
    noise: NDArray[np.float64] = -np.log(-np.log(uniform))
    return noise
