"""Owns random weights for a Llama, matrix by matrix. Knows no file format.

Of the right size to stay finite, and with enough attention that each next token hangs on the whole
text before it: a greedy answer then does not run in circles.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.models.shapes import Answers, Shape

EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"
Matrix = npt.NDArray[np.float32]
# Tokens in a row before a repeated answer begins again.
CYCLE = 48
_SHARP = 1.5
_FAINT = 0.02
_CONFIDENT = 2.0


@dataclass(frozen=True, slots=True)
class Planned:
    """To be made: a matrix as (outputs, inputs), drawn with `scale`, or a vector of ones."""

    name: str
    size: tuple[int, ...]
    scale: float = 1.0

    @property
    def is_matrix(self) -> bool:
        return len(self.size) == 2


def planned(shape: Shape) -> list[Planned]:
    """All weights, in the order in which a file holds them."""
    size = (shape.vocabulary, shape.width)
    head = [
        Planned(EMBEDDING, size),
        Planned(OUTPUT, size, _CONFIDENT / shape.width**0.5),
        Planned("output_norm.weight", (shape.width,)),
    ]
    return head + [weight for index in range(shape.layers) for weight in _block(shape, index)]


def random_weights(shape: Shape, silent_ids: tuple[int, ...]) -> Iterator[Matrix]:
    """As planned, each made when it is asked for.

    The output rows of `silent_ids` are zero, so that they never win against thousands of others.
    """
    generator = np.random.default_rng(shape.seed)
    embedding, output, *rest = planned(shape)
    inputs = _normal(generator, embedding)
    outputs = _normal(generator, output)
    if shape.answers is Answers.REPEATED:
        outputs = _in_circles(inputs)
    outputs[list(silent_ids)] = 0
    yield inputs
    yield outputs
    del inputs, outputs
    for weight in rest:
        is_matrix = weight.is_matrix
        yield _normal(generator, weight) if is_matrix else np.ones(weight.size, np.float32)


def _in_circles(embedding: Matrix) -> Matrix:
    """Each token's embedding speaks for the one after it, and a stretch's last for its first."""
    ids = np.arange(len(embedding))
    lasts = np.minimum(ids + CYCLE - 1, ids[-1])
    before = np.where(ids % CYCLE == 0, lasts, ids - 1)
    rows: Matrix = embedding[before]
    rows /= np.float32(embedding.shape[1] ** 0.5)
    return rows


def _block(shape: Shape, index: int) -> Iterator[Planned]:
    width, kv_width, wide = shape.width, shape.kv_heads * shape.head_dim, shape.feed_forward
    heard = 1.0 if shape.answers is Answers.VARIED else _FAINT
    yield Planned(f"blk.{index}.attn_norm.weight", (width,))
    yield Planned(f"blk.{index}.ffn_norm.weight", (width,))
    for name, outputs, inputs, gain in (
        ("attn_q", width, width, _SHARP),
        ("attn_k", kv_width, width, _SHARP),
        ("attn_v", kv_width, width, 1.0),
        ("attn_output", width, width, heard),
        ("ffn_gate", wide, width, 1.0),
        ("ffn_up", wide, width, 1.0),
        ("ffn_down", width, wide, heard),
    ):
        yield Planned(f"blk.{index}.{name}.weight", (outputs, inputs), gain / inputs**0.5)


def _normal(generator: np.random.Generator, weight: Planned) -> Matrix:
    values = generator.standard_normal(weight.size, dtype=np.float32)
    values *= np.float32(weight.scale)
    return values
