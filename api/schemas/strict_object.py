"""Owns what every object inside a body has in common."""

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

MAX_OBJECT_FIELDS = 100


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
