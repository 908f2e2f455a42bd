"""Owns the fields that chat and plain completions share: types, ranges, and what is refused."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from api.schemas.validation import shown
from core.errors import InvalidValue, UnsupportedField
from core.sampling import SamplingPlan

MAX_CHOICES = 128
MAX_CACHE_SALT_CHARACTERS = 256
MAX_STOP_STRINGS = 16
MAX_STOP_CHARACTERS = 1024
MAX_METADATA = 16
MAX_OBJECT_FIELDS = 100


def _stop_strings(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, list | tuple) and len(value) > MAX_STOP_STRINGS:
        raise _stop_refusal()
    found = (value,) if isinstance(value, str) else value
    strings = [each for each in found if _is_stop(each)] if isinstance(found, list | tuple) else []
    if not isinstance(found, list | tuple) or len(strings) != len(found):
        raise _stop_refusal()
    return tuple(strings)


def _stop_refusal() -> PydanticCustomError:
    return PydanticCustomError(
        "stop",
        "allowed is a string or a list of at most {count}, each of 1 to {length} characters",
        {"count": MAX_STOP_STRINGS, "length": MAX_STOP_CHARACTERS},
    )


def _few_metadata(value: object) -> object:
    """OpenAI's own limit; checked before the values, each of which would be described."""
    if isinstance(value, dict) and len(value) > MAX_METADATA:
        raise PydanticCustomError(
            "metadata", "allowed is an object of at most {count} texts", {"count": MAX_METADATA}
        )
    return value


def _is_stop(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_STOP_CHARACTERS


StopStrings = Annotated[
    tuple[str, ...],
    BeforeValidator(_stop_strings, json_schema_input_type=str | list[str] | None),
]


class StrictObject(BaseModel):
    """An object inside a body: no unknown fields, and few enough to describe each wrong one."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _has_few_fields(cls, value: object) -> object:
        if isinstance(value, dict) and len(value) > MAX_OBJECT_FIELDS:
            raise PydanticCustomError(
                "fields",
                "allowed is an object of at most {count} fields",
                {"count": MAX_OBJECT_FIELDS},
            )
        return value


class StreamOptions(StrictObject):
    """What a stream carries besides text."""

    include_usage: bool = False


class SharedFields(BaseModel):
    """Fields of both kinds of completion. None means the default."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    model: str | None = Field(None, max_length=1000)
    n: int | None = Field(None, ge=1, le=MAX_CHOICES, description="Choices a prompt.")
    max_tokens: int | None = Field(None, ge=1, le=2**31 - 1)
    temperature: float | None = Field(None, ge=0.0, le=2.0)
    top_p: float | None = Field(None, gt=0.0, le=1.0)
    top_k: int | None = Field(None, ge=-1, le=2**31 - 1, description="-1 and 0 keep all ids.")
    min_p: float | None = Field(None, ge=0.0, le=1.0)
    stop: StopStrings = ()
    priority: int | None = Field(
        None, ge=-(2**31), le=2**31 - 1, description="Of two that wait, the lower goes first."
    )
    cache_salt: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_CACHE_SALT_CHARACTERS,
        description="Computed prompts are reused only between requests with the same salt.",
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, description="Accepted and not used.")
    metadata: Annotated[dict[str, str] | None, BeforeValidator(_few_metadata)] = Field(
        None, description="Accepted and not used."
    )

    @property
    def num_choices(self) -> int:
        return 1 if self.n is None else self.n

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens

    @property
    def sampling(self) -> SamplingPlan:
        """OpenAI's defaults where the request has none."""
        return SamplingPlan(
            temperature=1.0 if self.temperature is None else float(self.temperature),
            top_p=1.0 if self.top_p is None else float(self.top_p),
            top_k=self.top_k if self.top_k is not None and self.top_k > 0 else None,
            min_p=0.0 if self.min_p is None else float(self.min_p),
        )

    @property
    def includes_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def check_together(self) -> None:
        """Raises InvalidValue for fields that don't go together."""
        if self.stream_options is not None and not self.stream:
            raise InvalidValue(
                "stream_options goes with stream: true alone", param="stream_options"
            )


def without_idle_fields(
    body: Mapping[str, Any], idle: Mapping[str, tuple[Any, ...]]
) -> dict[str, Any]:
    """The body less the fields that are known, not honoured yet, and ask for nothing.

    `idle` maps such a field to the values that ask for nothing; null always does. Raises
    UnsupportedField for any other value.
    """
    for name, values in idle.items():
        value = body.get(name)
        if value is not None and not any(_is_same(value, each) for each in values):
            allowed = " or ".join(shown(each) for each in (*values, None))
            raise UnsupportedField(
                f"{name} is not honoured yet: leave it out (allowed: {allowed})", param=name
            )
    return {name: value for name, value in body.items() if name not in idle}


def _is_same(value: object, other: object) -> bool:
    """Equal and of one kind: True is no 1 here, but 1 is a 1.0."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)


IDLE_FIELDS: Mapping[str, tuple[Any, ...]] = {
    "seed": (),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "logit_bias": ({},),
    "min_tokens": (0,),
    "ignore_eos": (False,),
    "stop_token_ids": ([],),
    "include_stop_str_in_output": (False,),
    "skip_special_tokens": (True,),
    "allowed_token_ids": (),
    "bad_words": ([],),
    "prompt_logprobs": (),
    "structured_outputs": (),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto", "default"),
}
