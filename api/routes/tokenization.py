"""POST /tokenize, /detokenize and /apply-template: prompts as text and as ids, and no answer."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from api.ignored import ignored_header
from api.json_response import JsonResponse
from api.openapi import body_schema
from api.reading import read_object
from api.schemas.chat import ChatRequest, read_chat
from api.schemas.tokenization import (
    DetokenizeRequest,
    TokenizeRequest,
    read_tokenize,
    split_chat,
)
from api.schemas.validation import UnknownFields, validate
from api.served_names import ServedNames
from serving.encoding import EncodedPrompt
from serving.service import GenerationService
from serving.tokenization import Tokenization

router = APIRouter()


@router.post("/tokenize", openapi_extra=body_schema(TokenizeRequest))
async def tokenize(request: Request) -> Response:
    """The ids of a text, or of the prompt that a chat request makes."""
    body = await read_object(request)
    unknown = _unknown_fields(request)
    answer = _tokenized_chat if body.get("messages") is not None else _tokenized_text
    return JsonResponse(await answer(request, body, unknown), headers=ignored_header(unknown))


@router.post("/detokenize", openapi_extra=body_schema(DetokenizeRequest))
async def detokenize(request: Request) -> Response:
    """The text of ids, under vLLM's name and llama-server's."""
    unknown = _unknown_fields(request)
    body = validate(DetokenizeRequest, await read_object(request), unknown)
    _check_name(request, body.model)
    text = await _tokenization(request).decode(body.tokens)
    return JsonResponse({"prompt": text, "content": text}, headers=ignored_header(unknown))


@router.post("/apply-template", openapi_extra=body_schema(ChatRequest))
async def apply_template(request: Request) -> Response:
    """The prompt that a chat request makes, as text."""
    unknown = _unknown_fields(request)
    prompt = await _rendered(request, await read_object(request), unknown)
    return JsonResponse({"prompt": prompt.text}, headers=ignored_header(unknown))


async def _tokenized_text(
    request: Request, body: Mapping[str, Any], unknown: UnknownFields
) -> dict[str, Any]:
    wanted = read_tokenize(body, unknown)
    _check_name(request, wanted.model)
    tokenization = _tokenization(request)
    ids = await tokenization.encode(
        wanted.text,
        adds_special=wanted.adds_special,
        with_control=wanted.parse_special is not False,
    )
    answer = await _answer(tokenization, ids, shows_texts=bool(wanted.return_token_strs))
    if wanted.with_pieces:
        pieces = await tokenization.pieces(ids)
        answer["tokens"] = [
            {"id": token_id, "piece": piece} for token_id, piece in zip(ids, pieces, strict=True)
        ]
    return answer


async def _tokenized_chat(
    request: Request, body: Mapping[str, Any], unknown: UnknownFields
) -> dict[str, Any]:
    chat, options = split_chat(body)
    ids = (await _rendered(request, chat, unknown)).token_ids
    tokenization = _tokenization(request)
    if options.add_special_tokens:
        ids = tokenization.begun(ids)
    return await _answer(tokenization, ids, shows_texts=bool(options.return_token_strs))


async def _rendered(
    request: Request, body: Mapping[str, Any], unknown: UnknownFields
) -> EncodedPrompt:
    chat = read_chat(body, unknown)
    _check_name(request, chat.model)
    service: GenerationService = request.app.state.service
    return await service.render(chat.conversation, chat.choice_of_tools, chat.thinking)


async def _answer(
    tokenization: Tokenization, ids: tuple[int, ...], *, shows_texts: bool
) -> dict[str, Any]:
    return {
        "count": len(ids),
        "max_model_len": tokenization.card.context_window,
        "tokens": list(ids),
        "token_strs": await tokenization.spelled(ids) if shows_texts else None,
    }


def _tokenization(request: Request) -> Tokenization:
    service: GenerationService = request.app.state.service
    return Tokenization(service.card, service.tokenizer)


def _check_name(request: Request, name: str | None) -> None:
    names: ServedNames = request.app.state.names
    names.check(name)


def _unknown_fields(request: Request) -> UnknownFields:
    return UnknownFields(are_refused=request.app.state.refuses_unknown_fields)
