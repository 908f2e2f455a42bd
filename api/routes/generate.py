"""POST /v1/chat/completions, /v1/completions, and the rendering of a chat without an answer."""

import hashlib
import uuid
from dataclasses import replace
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from api.answering import AnswerStyle, answer
from api.bodies import Labels
from api.claims import claimed, shortened
from api.disconnect import while_connected
from api.frames import UsageStyle
from api.ignored import ignored_header
from api.json_response import JsonResponse
from api.local_model import chat_names, check_local, local_names, local_service
from api.openapi import body_schema
from api.reading import read_body
from api.remote.routing import Passage, routed
from api.schemas.chat import ChatRequest, read_chat
from api.schemas.completions import CompletionRequest, read_completion
from api.schemas.fields import SharedFields
from api.schemas.validation import UnknownFields
from api.shapes import AnswerShape, ChatShape, CompletionShape
from api.visit import account_of, visit_of
from core.messages import Conversation
from core.requests import GenerationRequest, Prompt
from core.upstreams import UpstreamKind

router = APIRouter()

_CHAT = Passage("chat/completions", is_generated=True)
_COMPLETION = Passage("completions", is_generated=True)
_RENDERING = Passage("chat/completions/render", frozenset({UpstreamKind.JARVIS}))


@router.post("/v1/chat/completions", openapi_extra=body_schema(ChatRequest))
async def create_chat_completion(request: Request) -> Response:
    """Answers a conversation, as one body or as a stream of server-sent events."""
    return await routed(request, _CHAT, chat_names(request), _answer_chat)


async def _answer_chat(request: Request) -> Response:
    unknown = _unknown_fields(request)

    def read(given: dict[str, Any]) -> tuple[ChatRequest, Conversation]:
        fields = read_chat(given, unknown)
        return fields, fields.conversation

    chat, conversation = await read_body(request, read)
    check_local(request, chat.model)
    wanted = replace(
        _wanted(chat, conversation), tool_choice=chat.choice_of_tools, thinking=chat.thinking
    )
    with visit_of(request).cutoff.interrupting():
        generations = await local_service(request).prepare(claimed(request, wanted))
    return await answer(request, generations, _style(request, ChatShape(), chat, unknown))


@router.post("/v1/completions", openapi_extra=body_schema(CompletionRequest))
async def create_completion(request: Request) -> Response:
    """Continues one prompt or several: all choices of the first one, then those of the next."""
    return await routed(request, _COMPLETION, chat_names(request), _answer_completion)


async def _answer_completion(request: Request) -> Response:
    unknown = _unknown_fields(request)
    body = await read_body(request, lambda given: read_completion(given, unknown))
    check_local(request, body.model)
    wanted = [_claimed(request, body, prompt) for prompt in body.prompt]
    with visit_of(request).cutoff.interrupting():
        generations = await local_service(request).prepare(*wanted)
    return await answer(request, generations, _style(request, CompletionShape(), body, unknown))


def _claimed(request: Request, body: CompletionRequest, prompt: Prompt) -> GenerationRequest:
    """The default length is no wish: an account's ceiling may be below it."""
    wanted = _wanted(body, prompt)
    return claimed(request, shortened(request, wanted) if body.max_tokens is None else wanted)


@router.post("/v1/chat/completions/render", openapi_extra=body_schema(ChatRequest))
async def render_chat(request: Request) -> Response:
    """The prompt that a chat request makes: text, token ids, what ends an answer, and digests.

    `prompt_sha256` is of the text in UTF-8; `ids_sha256` of the ids as a JSON list without spaces.
    """
    return await routed(request, _RENDERING, chat_names(request), _render_chat)


async def _render_chat(request: Request) -> Response:
    unknown = _unknown_fields(request)
    chat = await read_body(request, lambda given: read_chat(given, unknown))
    check_local(request, chat.model)
    rendering = local_service(request).render(
        chat.conversation, chat.choice_of_tools, chat.thinking, account_of(request).name
    )
    prompt = await while_connected(request, rendering)
    ids = list(prompt.token_ids)
    return JsonResponse(
        {
            "prompt": prompt.text,
            "token_ids": ids,
            "stop_ids": list(prompt.stop_ids),
            "stop_strings": list(prompt.stop_strings),
            "prompt_sha256": hashlib.sha256(prompt.text.encode("utf-8", "replace")).hexdigest(),
            "ids_sha256": hashlib.sha256(msgspec.json.encode(ids)).hexdigest(),
        },
        headers=ignored_header(unknown),
    )


def _wanted(body: ChatRequest | CompletionRequest, prompt: Prompt) -> GenerationRequest:
    return GenerationRequest(
        id=uuid.uuid4().hex,
        prompt=prompt,
        suffix=(body.suffix or None) if isinstance(body, CompletionRequest) else None,
        sampling=body.sampling,
        ending=body.ending,
        view=body.view,
        structure=body.structure,
        max_tokens=body.token_limit,
        priority=body.priority or 0,
        cache_salt=body.cache_salt,
        num_choices=body.num_choices,
    )


def _style(
    request: Request, shape: AnswerShape, body: SharedFields, unknown: UnknownFields
) -> AnswerStyle:
    usage = UsageStyle.LAST if body.includes_usage else UsageStyle.NONE
    return AnswerStyle(
        shape=shape,
        labels=Labels(local_names(request).model_id, local_service(request).facts.fingerprint),
        is_stream=bool(body.stream),
        usage=UsageStyle.EACH if body.counts_usage else usage,
        headers=ignored_header(unknown),
    )


def _unknown_fields(request: Request) -> UnknownFields:
    return UnknownFields(are_refused=request.app.state.refuses_unknown_fields)
