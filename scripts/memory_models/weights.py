"""Owns drawing weights, sized so that every block says about as much as what it is added to."""

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float32]


class Drawer:
    """Draws from one seed: the same calls in the same order give the same weights."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def matrix(self, num_outputs: int, num_inputs: int, gain: float = 1.0) -> Weights:
        """Inputs of variance 1 give outputs of deviation `gain`; rows are outputs, as in GGUF."""
        return self.normal((num_outputs, num_inputs), gain / float(np.sqrt(num_inputs)))

    def normal(self, shape: tuple[int, ...], deviation: float) -> Weights:
        return (self._rng.standard_normal(shape) * deviation).astype(np.float32)

    def spread(self, shape: tuple[int, ...], low: float, high: float) -> Weights:
        """Evenly spread between the logarithms of two numbers: time constants of all lengths."""
        drawn = self._rng.uniform(np.log(low), np.log(high), shape)
        return np.exp(drawn).astype(np.float32)


def ones(*shape: int) -> Weights:
    """Of norms that scale nothing."""
    return np.ones(shape, dtype=np.float32)
