"""Owns what every API's body says of tools: what a definition may be, in whichever shape it comes.

Whether a schema can be honoured is decided where it is compiled, below HTTP.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from api.schemas.validation import shown
from core.errors import InvalidValue
from core.messages import Tool

MAX_TOOLS = 4096
MAX_NAME_CHARACTERS = 128
_NAME = re.compile(rf"[A-Za-z0-9_.:/-]{{1,{MAX_NAME_CHARACTERS}}}")


def made_tool(
    path: str,
    name: str,
    description: str | None,
    parameters: Mapping[str, Any] | None,
    is_strict: bool,
) -> Tool:
    """A tool whose definition stands at `path` in the body. Raises InvalidValue.

    No parameters at all mean an object without any, as with OpenAI.
    """
    if _NAME.fullmatch(name) is None:
        raise InvalidValue(
            f"{path}.name is {shown(name)}; allowed are 1 to {MAX_NAME_CHARACTERS} letters, digits"
            " and _.:/-",
            param=f"{path}.name",
        )
    schema = {"type": "object", "properties": {}} if parameters is None else dict(parameters)
    kind = schema.setdefault("type", "object")
    if kind != "object":
        raise InvalidValue(
            f"{path}: the parameters of the tool {name} are of type {shown(kind)}; allowed is a"
            ' schema of type "object"',
            param=f"{path}.parameters",
        )
    return Tool(name, description, schema, is_strict)


def check_names(path: str, tools: Sequence[Tool]) -> None:
    """Raises InvalidValue for two tools of one name."""
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        if tool.name in seen:
            raise InvalidValue(
                f"{path}[{index}] is a second tool with the name {tool.name}",
                param=f"{path}[{index}]",
            )
        seen.add(tool.name)
