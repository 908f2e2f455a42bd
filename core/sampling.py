"""Owns the one definition of how a token is drawn from logits. Draws nothing itself.

Order, on float32 logits: greedy if temperature < GREEDY_BELOW, else temperature, then min_p,
top_k, top_p, then the draw. Every engine implements this definition, not its own habits.
"""

from dataclasses import dataclass

GREEDY_BELOW = 1e-5
# Between the two, draws are made at this temperature, as vLLM does: lower ones overflow float32.
LOWEST_DRAWN = 0.01


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """`top_k` None keeps all ids. `top_p` 1.0 and `min_p` 0.0 keep all ids too."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None
    min_p: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature <= 2.0:
            raise ValueError(f"temperature {self.temperature} is outside 0 to 2")
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p {self.top_p} is outside (0, 1]")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k {self.top_k} is below 1")
        if not 0.0 <= self.min_p <= 1.0:
            raise ValueError(f"min_p {self.min_p} is outside 0 to 1")

    @property
    def is_greedy(self) -> bool:
        return self.temperature < GREEDY_BELOW

    @property
    def drawing_temperature(self) -> float:
        """What logits are divided by where the draw is not greedy."""
        return max(self.temperature, LOWEST_DRAWN)
