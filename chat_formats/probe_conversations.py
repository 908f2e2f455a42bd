"""Owns the conversations by which two formats are compared. Knows no format."""

from core.messages import Conversation, Message, Tool, ToolCall


def probe_conversations() -> tuple[Conversation, ...]:
    """Each way in which chat templates are known to differ, once."""
    system = Message("system", " Be brief. ")
    user = Message("user", " Hëllo\n\nworld  ")
    answer = Message("assistant", "\n Hi! ")
    more = Message("user", "And <b>'more'</b>? ")
    return (
        Conversation((user,)),
        Conversation((user,), add_generation_prompt=False),
        Conversation((system, user)),
        Conversation((user, answer), add_generation_prompt=False),
        Conversation((system, user, answer, more)),
        Conversation((system, user), tools=(_tool(),)),
        Conversation((user, *_call_and_result()), tools=(_tool(),)),
        Conversation((user, *_call_and_result(), answer, more), tools=(_tool(),)),
    )


def _tool() -> Tool:
    city = {"type": "string", "description": "Größe"}
    parameters = {"type": "object", "properties": {"city": city}, "required": ["city"]}
    return Tool("get_weather", "Tells the weather.", parameters)


def _call_and_result() -> tuple[Message, Message]:
    call = ToolCall("get_weather", '{"city": "Zürich", "days": 2}', id="a1B2c3D4e")
    return (
        Message("assistant", None, tool_calls=(call,)),
        Message("tool", '{"sky": "clear"}', tool_call_id="a1B2c3D4e"),
    )
