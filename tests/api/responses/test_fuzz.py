"""Whatever a body holds, it is read or refused with one of our errors, never anything else."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from api.responses.conversation import made_messages
from api.schemas.responses.request import read_response
from api.schemas.validation import UnknownFields
from core.errors import RequestError

WORDS = st.sampled_from(
    [
        "message",
        "reasoning",
        "function_call",
        "function_call_output",
        "item_reference",
        "user",
        "assistant",
        "function",
        "allowed_tools",
        "auto",
        "required",
        "input_text",
        "output_text",
        "reasoning_text",
        "summary_text",
        "refusal",
        "json_schema",
        "completed",
        "a",
    ]
)
NAMES = st.sampled_from(
    [
        "type",
        "role",
        "content",
        "text",
        "id",
        "status",
        "call_id",
        "name",
        "arguments",
        "output",
        "summary",
        "tools",
        "mode",
        "format",
        "schema",
        "strict",
        "parameters",
        "refusal",
        "x",
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=6)
BODIES = st.fixed_dictionaries(
    {"input": st.lists(OBJECTS, min_size=1, max_size=3) | VALUES},
    optional={
        "tools": st.lists(OBJECTS, max_size=2) | VALUES,
        "tool_choice": OBJECTS | VALUES,
        "text": st.fixed_dictionaries({}, optional={"format": OBJECTS}) | VALUES,
        "reasoning": VALUES,
        "include": VALUES,
    },
)


@given(BODIES, st.booleans())
def test_any_body_is_read_or_refused(body: dict[str, Any], is_strict: bool) -> None:
    try:
        read = read_response(body, UnknownFields(are_refused=is_strict))
        messages = made_messages("Be brief.", read.items)
    except RequestError:
        return
    assert messages[0].role == "system"
