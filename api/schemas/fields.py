"""Owns the fields that chat and plain completions share: types, ranges, and what is refused."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from api.schemas.lists import Metadata, StopIds, StopStrings
from api.schemas.sampling_fields import SamplingFields
from api.schemas.strict_object import StrictObject
from api.schemas.structures import ResponseFormat, StructuredOutputs, read_structure
from api.schemas.validation import shown
from core.errors import InvalidValue, UnsupportedField
from core.requests import Ending
from core.scores import MAX_TOP_LOGPROBS
from core.structures import Structure

# What may be set at most, here and in all lists: what is allowed is in the settings.
MAX_CHOICES = 1024
MAX_CACHE_SALT_CHARACTERS = 256
# Known, and without effect on an answer.
UNUSED_FIELDS = frozenset(
    {"user", "metadata", "safety_identifier", "prompt_cache_key", "service_tier", "store"}
)
# What may leave no token to draw at all where the text has to match a structure.
_AGAINST_STRUCTURE = ("min_tokens", "ignore_eos", "allowed_token_ids", "bad_words")


class StreamOptions(StrictObject):
    """What a stream carries besides text: usage at its end, or in each chunk as it grows."""

    include_usage: bool = False
    continuous_usage_stats: bool = False


class SharedFields(SamplingFields):
    """Fields of both kinds of completion. None means the default."""

    model: str | None = Field(None, max_length=1000)
    n: int | None = Field(None, ge=1, le=MAX_CHOICES, description="Choices a prompt.")
    max_tokens: int | None = Field(None, ge=1, le=2**31 - 1)
    stop: StopStrings = ()
    stop_token_ids: StopIds = None
    include_stop_str_in_output: bool | None = None
    ignore_eos: bool | None = Field(None, description="The model's own end tokens end nothing.")
    skip_special_tokens: bool | None = Field(
        None, description="False shows control tokens in the text."
    )
    prompt_logprobs: int | None = Field(
        None, ge=0, le=MAX_TOP_LOGPROBS, description="Scores of the prompt's tokens."
    )
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    priority: int | None = Field(
        None, ge=-(2**31), le=2**31 - 1, description="Of two that wait, the lower goes first."
    )
    cache_salt: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_CACHE_SALT_CHARACTERS,
        description="Computed prompts are reused only between requests with the same salt.",
    )
    timeout: float | None = Field(
        None, gt=0, description="Seconds that the request may take, waiting included."
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, description="Accepted and not used.")
    metadata: Metadata = Field(None, description="Accepted and not used.")
    safety_identifier: str | None = Field(None, description="Accepted and not used.")
    prompt_cache_key: str | None = Field(None, description="Accepted and not used.")
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = Field(
        None, description="Accepted and not used."
    )
    store: Literal[False] | None = Field(None, description="Accepted and not used.")

    @property
    def num_choices(self) -> int:
        return 1 if self.n is None else self.n

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens

    @property
    def ending(self) -> Ending:
        return Ending(
            stop=self.stop,
            stop_token_ids=self.stop_token_ids or (),
            ignores_eos=bool(self.ignore_eos),
            keeps_stop=bool(self.include_stop_str_in_output),
        )

    @property
    def structure(self) -> Structure | None:
        return read_structure(self.response_format, self.structured_outputs)

    @property
    def includes_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def counts_usage(self) -> bool:
        """Whether each chunk tells the usage until then."""
        options = self.stream_options
        return options is not None and options.include_usage and options.continuous_usage_stats

    def check_together(self) -> None:
        """Raises InvalidValue for fields that don't go together."""
        if self.stream_options is not None and not self.stream:
            raise InvalidValue(
                "stream_options goes with stream: true alone", param="stream_options"
            )
        options = self.stream_options
        if options is not None and options.continuous_usage_stats and not options.include_usage:
            raise InvalidValue(
                "continuous_usage_stats goes with include_usage: true alone",
                param="stream_options.continuous_usage_stats",
            )
        self._check_min_tokens()
        if self.structure is not None:
            self._check_against_structure()

    def _check_min_tokens(self) -> None:
        limit = self.token_limit
        if self.min_tokens is not None and limit is not None and self.min_tokens > limit:
            raise InvalidValue(
                f"min_tokens is {self.min_tokens}; allowed is at most the answer's length, {limit}",
                param="min_tokens",
            )

    def _check_against_structure(self) -> None:
        for name in _AGAINST_STRUCTURE:
            if getattr(self, name):
                raise InvalidValue(
                    f"{name} does not go with a structured output: together they may leave no token"
                    " to draw",
                    param=name,
                )


def without_idle_fields(
    body: Mapping[str, Any], idle: Mapping[str, tuple[Any, ...]]
) -> dict[str, Any]:
    """The body less the fields that are known, not honoured, and ask for nothing.

    `idle` maps such a field to the values that ask for nothing; null always does. Raises
    UnsupportedField for any other value.
    """
    for name, values in idle.items():
        value = body.get(name)
        if value is not None and not any(_is_same(value, each) for each in values):
            allowed = " or ".join(shown(each) for each in (*values, None))
            raise UnsupportedField(
                f"{name} is not honoured here: leave it out (allowed: {allowed})", param=name
            )
    return {name: value for name, value in body.items() if name not in idle}


def _is_same(value: object, other: object) -> bool:
    """Equal and of one kind: True is no 1 here, but 1 is a 1.0."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)
