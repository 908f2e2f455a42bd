"""Owns the one definition of how a token is drawn from logits. Draws nothing itself.

Order, on float32 logits: grammar mask, allowed ids, banned sequences, end ids masked until
`min_tokens`, logit bias, repetition penalty (ids of prompt and output: a positive logit is divided
by it, another multiplied), frequency and presence penalty (output alone); then greedy if
temperature < GREEDY_BELOW, else divided by the temperature, then min_p, top_k, top_p, then the
draw. `core/drawing.py` says what the filters keep. Every engine implements this definition, not
its own habits.

Reported log-probabilities are the log-softmax of the logits after the grammar mask, before all
else.
"""

from dataclasses import dataclass

GREEDY_BELOW = 1e-5
# Between the two, draws are made at this temperature, as vLLM does: lower ones overflow float32.
LOWEST_DRAWN = 0.01
LARGEST_BIAS = 100.0
LARGEST_PENALTY = 2.0
SEED_LIMIT = 2**63


@dataclass(frozen=True, slots=True)
class Seed:
    """What a seeded choice's draws are made of. `choice` counts from 0 among those of a prompt."""

    value: int
    choice: int = 0

    def __post_init__(self) -> None:
        if not -SEED_LIMIT <= self.value < SEED_LIMIT:
            raise ValueError(f"seed {self.value} is outside 64 bits")
        if self.choice < 0:
            raise ValueError(f"choice {self.choice} is below 0")


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """`top_k` None keeps all ids. `top_p` 1.0 and `min_p` 0.0 keep all ids too.

    `logit_bias` are pairs of an id and what is added to its logit, each id once. `allowed_ids` None
    allows all. A banned sequence's last id can't be drawn where the output ends in those before it.
    `min_tokens` ids are drawn before an end id may be. Without a seed, each draw is a new one.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    allowed_ids: tuple[int, ...] | None = None
    banned_sequences: tuple[tuple[int, ...], ...] = ()
    min_tokens: int = 0
    seed: Seed | None = None

    def __post_init__(self) -> None:
        self._check_ranges()
        if len({token_id for token_id, _ in self.logit_bias}) < len(self.logit_bias):
            raise ValueError("logit_bias names an id twice")
        if self.allowed_ids is not None and not self.allowed_ids:
            raise ValueError("allowed_ids allow nothing")
        if not all(self.banned_sequences):
            raise ValueError("a banned sequence must not be empty")

    def _check_ranges(self) -> None:
        limit = LARGEST_PENALTY
        ranges = {
            "temperature": 0.0 <= self.temperature <= 2.0,
            "top_p": 0.0 < self.top_p <= 1.0,
            "top_k": self.top_k is None or self.top_k >= 1,
            "min_p": 0.0 <= self.min_p <= 1.0,
            "presence_penalty": -limit <= self.presence_penalty <= limit,
            "frequency_penalty": -limit <= self.frequency_penalty <= limit,
            "repetition_penalty": 0.0 < self.repetition_penalty <= limit,
            "min_tokens": self.min_tokens >= 0,
            "logit_bias": all(abs(bias) <= LARGEST_BIAS for _, bias in self.logit_bias),
        }
        for name, is_inside in ranges.items():
            if not is_inside:
                raise ValueError(f"{name} {getattr(self, name)} is out of range")

    @property
    def is_greedy(self) -> bool:
        return self.temperature < GREEDY_BELOW

    @property
    def drawing_temperature(self) -> float:
        """What logits are divided by where the draw is not greedy."""
        return max(self.temperature, LOWEST_DRAWN)

    @property
    def has_penalties(self) -> bool:
        return (self.presence_penalty, self.frequency_penalty, self.repetition_penalty) != (0, 0, 1)

    @property
    def changes_logits(self) -> bool:
        """Whether anything but the draw itself depends on more than the logits."""
        return bool(
            self.has_penalties
            or self.logit_bias
            or self.allowed_ids is not None
            or self.banned_sequences
            or self.min_tokens
        )
