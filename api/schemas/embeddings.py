"""Owns the body of an embeddings request, and what other servers' fields for one would ask for."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from api.schemas.fields import without_idle_fields
from api.schemas.lists import MAX_ID
from api.schemas.strict_object import StrictObject
from api.schemas.validation import UnknownFields, validate
from serving.embedding import MAX_INPUTS

# Of all models there are, and far from what could be reserved by a number alone.
MAX_DIMENSIONS = 1 << 20

# What asks for nothing in each of the fields that other servers have for pooling models.
IDLE_POOLING_FIELDS: Mapping[str, tuple[Any, ...]] = {
    "add_special_tokens": (True,),
    "cache_salt": (),
    "embed_dtype": ("float32",),
    "endianness": ("little",),
    "mm_processor_kwargs": (),
    "padding": ("do_not_pad",),
    "priority": (0,),
    "request_id": (),
    "truncate_prompt_tokens": (),
    "truncation_side": (),
    "use_activation": (),
}

Input = str | tuple[int, ...]


def _inputs(value: object) -> tuple[Input, ...]:
    """One input or several: text, ids, or a list of either kind."""
    if isinstance(value, str) or _is_ids(value):
        return (_input(value),)
    if not isinstance(value, list) or not 0 < len(value) <= MAX_INPUTS:
        raise _refusal()
    if not all(isinstance(each, type(value[0])) for each in value):
        raise _refusal()
    return tuple(_input(each) for each in value)


def _input(value: object) -> Input:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and _is_ids(value):
        return tuple(value)
    raise _refusal()


def _is_ids(value: object) -> bool:
    if not isinstance(value, list) or not value:
        return False
    return all(type(each) is int and 0 <= each <= MAX_ID for each in value)


def _refusal() -> PydanticCustomError:
    return PydanticCustomError(
        "inputs",
        "allowed is a text, a list of token ids, or a list of one of these, none empty",
    )


Inputs = Annotated[
    tuple[Input, ...],
    BeforeValidator(_inputs, json_schema_input_type=str | list[str] | list[int] | list[list[int]]),
]


class EmbeddingRequest(StrictObject):
    """The body of POST /v1/embeddings."""

    input: Inputs = Field()
    timeout: float | None = Field(
        None, gt=0, description="Seconds that the request may take, waiting included."
    )
    model: str | None = Field(None, max_length=1000)
    encoding_format: Literal["float", "base64"] | None = Field(
        None, description="base64 is of float32 numbers, the lowest byte first."
    )
    dimensions: int | None = Field(
        None,
        ge=1,
        le=MAX_DIMENSIONS,
        description="Keeps the first numbers of each vector, for models trained for that.",
    )
    user: str | None = Field(None, description="Accepted and not used.")


def read_embedding(body: Mapping[str, Any], unknown: UnknownFields) -> EmbeddingRequest:
    """Raises InvalidValue or UnsupportedField."""
    plain = without_idle_fields(body, IDLE_POOLING_FIELDS)
    return validate(EmbeddingRequest, plain, unknown)
