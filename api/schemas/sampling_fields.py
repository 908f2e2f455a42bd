"""Owns the fields that say how tokens are drawn: types, ranges, and the wish they make."""

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.lists import AllowedIds, BadWords, LogitBias
from core.requests import SamplingWish
from core.sampling import LARGEST_PENALTY, SEED_LIMIT

_LARGEST_COUNT = 2**31 - 1
_PLAN_FIELDS = (
    "temperature",
    "top_p",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
)


class SamplingFields(BaseModel):
    """None means the default: the operator's, else the model's own, else OpenAI's."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    temperature: float | None = Field(None, ge=0.0, le=2.0)
    top_p: float | None = Field(None, gt=0.0, le=1.0)
    top_k: int | None = Field(None, ge=-1, le=_LARGEST_COUNT, description="-1 and 0 keep all ids.")
    min_p: float | None = Field(None, ge=0.0, le=1.0)
    seed: int | None = Field(
        None,
        ge=-SEED_LIMIT,
        le=SEED_LIMIT - 1,
        description="The same seed gives the same answer, on each engine.",
    )
    presence_penalty: float | None = Field(None, ge=-LARGEST_PENALTY, le=LARGEST_PENALTY)
    frequency_penalty: float | None = Field(None, ge=-LARGEST_PENALTY, le=LARGEST_PENALTY)
    repetition_penalty: float | None = Field(None, gt=0.0, le=LARGEST_PENALTY)
    logit_bias: LogitBias = ()
    allowed_token_ids: AllowedIds = None
    bad_words: BadWords = ()
    min_tokens: int | None = Field(None, ge=0, le=_LARGEST_COUNT)

    @property
    def sampling(self) -> SamplingWish:
        return SamplingWish(
            given=self._given(),
            logit_bias=self.logit_bias,
            allowed_token_ids=self.allowed_token_ids,
            bad_words=self.bad_words,
            min_tokens=self.min_tokens or 0,
            seed=self.seed,
        )

    def _given(self) -> dict[str, float | int | None]:
        values = {name: getattr(self, name) for name in _PLAN_FIELDS}
        given = {name: float(value) for name, value in values.items() if value is not None}
        if self.top_k is None:
            return {**given}
        return {**given, "top_k": self.top_k if self.top_k > 0 else None}
