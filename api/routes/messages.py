"""POST /v1/messages and /v1/messages/count_tokens: Anthropic's Messages API."""

import uuid
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response

from api.answerers import answerer_for, prepare_one
from api.answering import reply_with
from api.claims import shortened
from api.disconnect import while_connected
from api.ignored import ignored_header
from api.json_response import JsonResponse
from api.messages.blocks import BlockRules
from api.messages.content import MessageContent, MessageStyle
from api.messages.conversation import conversation_of
from api.messages.frames import MessageFrames
from api.messages.reading import read_messages
from api.messages.request_ids import request_id_of
from api.messages.tools import structure_of, thinking_of, tool_choice_of, unbroken_tools
from api.openapi import body_schema
from api.reading import read_body
from api.schemas.messages import CountTokensRequest, MessagesRequest
from api.schemas.validation import UnknownFields
from api.visit import visit_of
from core.errors import ContextLengthExceeded
from core.messages_errors import REQUEST_ID_HEADER
from core.requests import GenerationRequest
from serving.answer_source import AnswerSource
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
    answerer = await answerer_for(request, body.model)
    with visit_of(request).cutoff.interrupting():
        source = await answerer.prepare(shortened(request, wanted), _prepared)
    style = MessageStyle(
        model_id=answerer.model_id,
        rules=BlockRules(unbroken_tools(body), body.omits_thinking),
        max_tokens=body.max_tokens,
    )
    content = MessageContent(style, source)
    frames = MessageFrames(content, request_id_of(request)) if body.stream else None
    answerer.headers.update(_headers(request, unknown))
    return await reply_with(request, [source], content, frames, answerer.headers)


@router.post("/v1/messages/count_tokens", openapi_extra=body_schema(CountTokensRequest))
async def count_message_tokens(request: Request) -> Response:
    """How many tokens the prompt of such a request has: its turns, its system text, its tools."""
    unknown = UnknownFields(are_refused=request.app.state.refuses_unknown_fields)

    def read(given: dict[str, Any]) -> tuple[CountTokensRequest, GenerationRequest]:
        fields = read_messages(CountTokensRequest, given, unknown)
        return fields, _prompted(fields)

    body, wanted = await read_body(request, read)
    answerer = await answerer_for(request, body.model)
    count = {"input_tokens": await while_connected(request, answerer.count(wanted))}
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


def _prompted(body: CountTokensRequest) -> GenerationRequest:
    return GenerationRequest(
        id=uuid.uuid4().hex,
        prompt=conversation_of(body),
        tool_choice=tool_choice_of(body),
        thinking=thinking_of(body),
    )


async def _prepared(service: GenerationService, wanted: GenerationRequest) -> AnswerSource:
    """An answer that does not fit behind its prompt ends where the context window does: clients
    of Anthropic's API ask for as much as its models can write, whatever the prompt.
    """
    try:
        return await prepare_one(service, wanted)
    except ContextLengthExceeded:
        return await prepare_one(service, replace(wanted, max_tokens=None))


def _headers(request: Request, unknown: UnknownFields) -> dict[str, str]:
    return {REQUEST_ID_HEADER: request_id_of(request), **ignored_header(unknown)}
