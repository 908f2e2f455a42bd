"""Owns the models that are measured: their shapes and names. Makes nothing."""

from dataclasses import dataclass, replace
from enum import StrEnum


class Answers(StrEnum):
    """What a model with random weights writes, greedily."""

    VARIED = "varied"
    # The same stretch of text over and over, as where a text is quoted or slightly changed.
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama. Sizes in elements; `weights` is llama.cpp's name for the matrices' format."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int
    weights: str
    answers: Answers = Answers.VARIED
    context: int = 8192
    seed: int = 1

    def __post_init__(self) -> None:
        if self.width % self.heads or self.heads % self.kv_heads:
            raise ValueError(f"{self.width} wide can't be cut into {self.heads}/{self.kv_heads}")

    @property
    def head_dim(self) -> int:
        return self.width // self.heads

    @property
    def num_parameters(self) -> int:
        """Of the matrices."""
        attention = 2 * self.width * self.width + 2 * self.width * self.kv_heads * self.head_dim
        layer = attention + 3 * self.width * self.feed_forward
        return 2 * self.vocabulary * self.width + self.layers * layer


_SMALL = Shape(
    layers=12,
    width=768,
    heads=12,
    kv_heads=12,
    feed_forward=2304,
    vocabulary=32000,
    weights="Q8_0",
)
# The shipped model, in which no end of a turn can win.
TINY = "tiny"
SHAPES = {
    "140m": _SMALL,
    "140m-repeated": replace(_SMALL, answers=Answers.REPEATED),
    "1b": Shape(
        layers=22,
        width=2048,
        heads=32,
        kv_heads=4,
        feed_forward=5632,
        vocabulary=32000,
        weights="Q4_0",
    ),
}
NAMES = (TINY, *SHAPES)
