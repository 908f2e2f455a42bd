"""POST /v1/chat/completions, /v1/completions, and the rendering of a chat without an answer."""

import hashlib
import uuid

import msgspec
from fastapi import APIRouter, Request, Response

from api.answering import AnswerStyle, answer
from api.bodies import ChatShape, CompletionShape
from api.json_response import JsonResponse
from api.openapi import body_schema
from api.reading import read_object
from api.schemas.chat import ChatRequest, read_chat
from api.schemas.completions import CompletionRequest, read_completion
from api.schemas.fields import SharedFields
from api.served_names import ServedNames
from core.messages import Conversation
from core.requests import GenerationRequest
from serving.service import GenerationService

router = APIRouter()


@router.post("/v1/chat/completions", openapi_extra=body_schema(ChatRequest))
async def create_chat_completion(request: Request) -> Response:
    """Answers a conversation, as one body or as a stream of server-sent events."""
    chat = read_chat(await read_object(request))
    names, service = _names(request), _service(request)
    names.check(chat.model)
    generations = await service.prepare(_wanted(chat, chat.conversation))
    style = AnswerStyle(ChatShape(), names.model_id, bool(chat.stream), chat.includes_usage)
    return await answer(request, generations, style)


@router.post("/v1/completions", openapi_extra=body_schema(CompletionRequest))
async def create_completion(request: Request) -> Response:
    """Continues one prompt or several: all choices of the first one, then those of the next."""
    body = read_completion(await read_object(request))
    names, service = _names(request), _service(request)
    names.check(body.model)
    generations = [
        generation
        for prompt in body.prompt
        for generation in await service.prepare(_wanted(body, prompt))
    ]
    style = AnswerStyle(CompletionShape(), names.model_id, bool(body.stream), body.includes_usage)
    return await answer(request, generations, style)


@router.post("/v1/chat/completions/render", openapi_extra=body_schema(ChatRequest))
async def render_chat(request: Request) -> Response:
    """The prompt that a chat request makes: text, token ids, what ends an answer, and digests.

    `prompt_sha256` is of the text in UTF-8; `ids_sha256` of the ids as a JSON list without spaces.
    """
    chat = read_chat(await read_object(request))
    _names(request).check(chat.model)
    prompt = await _service(request).render(chat.conversation)
    ids = list(prompt.token_ids)
    return JsonResponse(
        {
            "prompt": prompt.text,
            "token_ids": ids,
            "stop_ids": list(prompt.stop_ids),
            "stop_strings": list(prompt.stop_strings),
            "prompt_sha256": hashlib.sha256(prompt.text.encode("utf-8", "replace")).hexdigest(),
            "ids_sha256": hashlib.sha256(msgspec.json.encode(ids)).hexdigest(),
        }
    )


def _wanted(body: SharedFields, prompt: Conversation | str | tuple[int, ...]) -> GenerationRequest:
    return GenerationRequest(
        id=uuid.uuid4().hex,
        prompt=prompt,
        sampling=body.sampling,
        max_tokens=body.token_limit,
        stop=body.stop,
        priority=body.priority or 0,
        cache_salt=body.cache_salt,
        num_choices=body.num_choices,
    )


def _service(request: Request) -> GenerationService:
    service: GenerationService = request.app.state.service
    return service


def _names(request: Request) -> ServedNames:
    names: ServedNames = request.app.state.names
    return names
