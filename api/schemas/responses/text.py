"""Owns what a request says of its text: free, any JSON object, or JSON that a schema accepts."""

import re
from typing import Any, Literal

from pydantic import Field

from api.schemas.strict_object import StrictObject
from api.schemas.validation import shown
from core.errors import InvalidValue
from core.structures import JsonObject, JsonSchema, Structure

PARAM = "text.format"
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class TextFormat(StrictObject):
    """All but `type` goes with json_schema."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None

    @property
    def structure(self) -> Structure | None:
        """Raises InvalidValue."""
        if self.type != "json_schema":
            self._check_alone()
            return JsonObject(param=PARAM) if self.type == "json_object" else None
        if self.name is None or _NAME.fullmatch(self.name) is None:
            raise InvalidValue(
                f"{PARAM}.name is {shown(self.name)}; allowed are 1 to 64 of the letters a-z and"
                " A-Z, digits, _ and -",
                param=f"{PARAM}.name",
            )
        if self.schema_ is None:
            raise InvalidValue(
                f"{PARAM}.schema is missing: the type json_schema requires it",
                param=f"{PARAM}.schema",
            )
        return JsonSchema(self.schema_, is_strict=bool(self.strict), param=PARAM)

    @property
    def shown(self) -> dict[str, Any]:
        """As the response tells it."""
        if self.type != "json_schema":
            return {"type": self.type}
        return {
            "type": self.type,
            "name": self.name,
            "description": self.description,
            "schema": self.schema_,
            "strict": bool(self.strict),
        }

    def _check_alone(self) -> None:
        for name in ("name", "description", "schema", "strict"):
            if getattr(self, "schema_" if name == "schema" else name) is not None:
                raise InvalidValue(
                    f"{PARAM}.{name} goes with the type json_schema alone", param=f"{PARAM}.{name}"
                )


class TextField(StrictObject):
    """`verbosity` is the model's own here: nothing else is honoured."""

    format: TextFormat | None = None
    verbosity: Literal["medium"] | None = None
