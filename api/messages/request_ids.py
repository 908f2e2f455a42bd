"""Owns the id by which answers of Anthropic's API name their request."""

from starlette.requests import Request

from core.messages_errors import new_request_id


def request_id_of(request: Request) -> str:
    """The same one as often as it is asked for."""
    state = request.state
    if not hasattr(state, "messages_request_id"):
        state.messages_request_id = new_request_id()
    return str(state.messages_request_id)
