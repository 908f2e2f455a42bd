"""Owns the body of a plain completion request, and which prompts it holds."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from api.schemas.fields import MAX_CHOICES, SharedFields, without_idle_fields
from api.schemas.validation import UnknownFields, validate
from core.errors import InvalidValue
from core.requests import View
from core.scores import MAX_TOP_LOGPROBS

MAX_PROMPTS = MAX_CHOICES
DEFAULT_MAX_TOKENS = 16

IDLE_COMPLETION_FIELDS: Mapping[str, tuple[Any, ...]] = {
    "best_of": (1,),
}

Prompt = str | tuple[int, ...]


def _prompts(value: object) -> tuple[Prompt, ...]:
    """One prompt or several: text, ids, or a list of either."""
    if isinstance(value, str) or _is_ids(value):
        return (_prompt(value),)
    if not isinstance(value, list) or not 0 < len(value) <= MAX_PROMPTS:
        raise _refusal()
    return tuple(_prompt(each) for each in value)


def _prompt(value: object) -> Prompt:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and _is_ids(value):
        return tuple(value)
    raise _refusal()


def _is_ids(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(each) is int for each in value)


def _refusal() -> PydanticCustomError:
    return PydanticCustomError(
        "prompt",
        "allowed is a text, a list of token ids, or a list of either, none empty",
    )


Prompts = Annotated[
    tuple[Prompt, ...],
    BeforeValidator(_prompts, json_schema_input_type=str | list[int] | list[str] | list[list[int]]),
]


class CompletionRequest(SharedFields):
    """The body of POST /v1/completions. Choices stand in the order of their prompts."""

    prompt: Prompts = Field()
    max_tokens: int | None = Field(
        None, ge=0, le=2**31 - 1, description="16 by default; 0 with echo or prompt_logprobs alone."
    )
    logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    echo: bool | None = Field(None, description="The prompt is put before the answer.")
    suffix: str | None = Field(
        None, description="What follows the answer, where the model has tokens for infilling."
    )

    @property
    def view(self) -> View:
        return View(
            num_logprobs=self.logprobs,
            num_prompt_logprobs=self.prompt_logprobs,
            echoes=bool(self.echo),
            shows_control=self.skip_special_tokens is False,
        )

    @property
    def token_limit(self) -> int:
        """OpenAI's default for this endpoint is 16."""
        return DEFAULT_MAX_TOKENS if self.max_tokens is None else self.max_tokens

    def check_together(self) -> None:
        super().check_together()
        if self.max_tokens == 0 and not self.echo and self.prompt_logprobs is None:
            raise InvalidValue(
                "max_tokens is 0; allowed is a value of at least 1, or 0 with echo or"
                " prompt_logprobs",
                param="max_tokens",
            )
        count = len(self.prompt) * self.num_choices
        if count > MAX_CHOICES:
            raise InvalidValue(
                f"n is {self.num_choices} for {len(self.prompt)} prompts, {count} choices in all; "
                f"allowed are at most {MAX_CHOICES}",
                param="n",
            )


def read_completion(body: Mapping[str, Any], unknown: UnknownFields) -> CompletionRequest:
    """Raises InvalidValue or UnsupportedField."""
    plain = without_idle_fields(body, _idle_fields(body.get("n")))
    request = validate(CompletionRequest, plain, unknown)
    request.check_together()
    return request


def _idle_fields(num_choices: object) -> Mapping[str, tuple[Any, ...]]:
    """The best of as many as are wanted are all of them."""
    if type(num_choices) is not int or not 1 < num_choices <= MAX_CHOICES:
        return IDLE_COMPLETION_FIELDS
    return {**IDLE_COMPLETION_FIELDS, "best_of": (1, num_choices)}
