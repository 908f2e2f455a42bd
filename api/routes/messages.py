"""POST /v1/messages and /v1/messages/count_tokens: Anthropic's Messages API."""

import uuid
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response

from api.answering import reply_with
from api.ignored import ignored_header
from api.json_response import JsonResponse
from api.messages.blocks import BlockRules
from api.messages.content import MessageContent, MessageStyle
from api.messages.conversation import conversation_of
from api.messages.error_body import REQUEST_ID_HEADER, request_id_of
from api.messages.frames import MessageFrames
from api.messages.reading import read_messages
from api.messages.tools import structure_of, thinking_of, tool_choice_of, unbroken_tools
from api.openapi import body_schema
from api.reading import read_body
from api.schemas.messages import CountTokensRequest, MessagesRequest
from api.schemas.validation import UnknownFields
from api.served_names import ServedNames
from core.errors import ContextLengthExceeded
from core.messages import Conversation
from core.requests import GenerationRequest
from serving.generation import Generation
from serving.service import GenerationService

router = APIRouter()


@router.post("/v1/messages", openapi_extra=body_schema(MessagesRequest))
async def create_message(request: Request) -> Response:
    """Answers a conversation, as one message or as a stream of server-sent events."""
    unknown = UnknownFields(are_refused=request.app.state.refuses_unknown_fields)

    def read(given: dict[str, Any]) -> tuple[MessagesRequest, GenerationRequest]:
        fields = read_messages(MessagesRequest, given, unknown)
        return fields, _wanted(fields)

    body, wanted = await read_body(request, read)
    names: ServedNames = request.app.state.names
    names.check(body.model)
    generation = await _prepared(request.app.state.service, wanted)
    style = MessageStyle(
        model_id=names.model_id,
        rules=BlockRules(unbroken_tools(body), body.omits_thinking),
        fills_window=generation.max_tokens < body.max_tokens,
    )
    content = MessageContent(style, len(generation.prompt.token_ids))
    frames = MessageFrames(content, request_id_of(request)) if body.stream else None
    return await reply_with(request, [generation], content, frames, _headers(request, unknown))


@router.post("/v1/messages/count_tokens", openapi_extra=body_schema(CountTokensRequest))
async def count_message_tokens(request: Request) -> Response:
    """How many tokens the prompt of such a request has: its turns, its system text, its tools."""
    unknown = UnknownFields(are_refused=request.app.state.refuses_unknown_fields)

    def read(given: dict[str, Any]) -> tuple[CountTokensRequest, Conversation]:
        fields = read_messages(CountTokensRequest, given, unknown)
        return fields, conversation_of(fields)

    body, conversation = await read_body(request, read)
    names: ServedNames = request.app.state.names
    names.check(body.model)
    service: GenerationService = request.app.state.service
    prompt = await service.render(conversation, tool_choice_of(body), thinking_of(body))
    count = {"input_tokens": len(prompt.token_ids)}
    return JsonResponse(count, headers=_headers(request, unknown))


def _wanted(body: MessagesRequest) -> GenerationRequest:
    return GenerationRequest(
        id=uuid.uuid4().hex,
        prompt=conversation_of(body),
        sampling=body.sampling,
        ending=body.ending,
        structure=structure_of(body),
        tool_choice=tool_choice_of(body),
        thinking=thinking_of(body),
        max_tokens=body.max_tokens,
    )


async def _prepared(service: GenerationService, wanted: GenerationRequest) -> Generation:
    """An answer that does not fit behind its prompt ends where the context window does: clients
    of Anthropic's API ask for as much as its models can write, whatever the prompt.
    """
    try:
        (generation,) = await service.prepare(wanted)
    except ContextLengthExceeded:
        (generation,) = await service.prepare(replace(wanted, max_tokens=None))
    return generation


def _headers(request: Request, unknown: UnknownFields) -> dict[str, str]:
    return {REQUEST_ID_HEADER: request_id_of(request), **ignored_header(unknown)}
