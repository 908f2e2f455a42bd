"""POST /tokenize, /detokenize and /apply-template: prompts as text and as ids, and no answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from api.disconnect import while_connected
from api.ignored import ignored_header
from api.json_lists import written
from api.json_response import JsonResponse
from api.local_model import chat_names, check_local, local_service
from api.openapi import body_schema
from api.reading import read_body
from api.remote.routing import Passage, routed
from api.schemas.chat import ChatRequest, read_chat
from api.schemas.tokenization import (
    DetokenizeRequest,
    TokenizeChatOptions,
    TokenizeRequest,
    read_tokenize,
    split_chat,
)
from api.schemas.validation import UnknownFields, validate
from api.visit import account_of
from core.messages import Conversation
from core.upstreams import UpstreamKind
from serving.encoding import EncodedPrompt
from serving.tokenization import Tokenization

router = APIRouter()

# By these paths, and with these bodies, other servers have them.
_WITH_TOKENIZER = frozenset({UpstreamKind.VLLM, UpstreamKind.LLAMA_CPP, UpstreamKind.JARVIS})
_TOKENIZE = Passage("/tokenize", _WITH_TOKENIZER)
_DETOKENIZE = Passage("/detokenize", _WITH_TOKENIZER)
_TEMPLATE = Passage("/apply-template", frozenset({UpstreamKind.LLAMA_CPP, UpstreamKind.JARVIS}))


@router.post("/tokenize", openapi_extra=body_schema(TokenizeRequest))
async def tokenize(request: Request) -> Response:
    """The ids of a text, or of the prompt that a chat request makes."""
    return await routed(request, _TOKENIZE, chat_names(request), _tokenize)


async def _tokenize(request: Request) -> Response:
    unknown = _unknown_fields(request)

    def read(body: dict[str, Any]) -> TokenizeRequest | _ChatToTokenize:
        if body.get("messages") is None:
            return read_tokenize(body, unknown)
        chat, options = split_chat(body)
        return _ChatToTokenize(_read_chat(chat, unknown), options)

    wanted = await read_body(request, read)
    if isinstance(wanted, TokenizeRequest):
        work = _tokenized_text(request, wanted)
    else:
        work = _tokenized_chat(request, wanted)
    return JsonResponse(await while_connected(request, work), headers=ignored_header(unknown))


@router.post("/detokenize", openapi_extra=body_schema(DetokenizeRequest))
async def detokenize(request: Request) -> Response:
    """The text of ids, under vLLM's name and llama-server's."""
    return await routed(request, _DETOKENIZE, chat_names(request), _detokenize)


async def _detokenize(request: Request) -> Response:
    unknown = _unknown_fields(request)
    body = await read_body(request, lambda given: validate(DetokenizeRequest, given, unknown))
    _check_name(request, body.model)
    text = await while_connected(request, _tokenization(request).decode(body.tokens))
    return JsonResponse({"prompt": text, "content": text}, headers=ignored_header(unknown))


@router.post("/apply-template", openapi_extra=body_schema(ChatRequest))
async def apply_template(request: Request) -> Response:
    """The prompt that a chat request makes, as text."""
    return await routed(request, _TEMPLATE, chat_names(request), _apply_template)


async def _apply_template(request: Request) -> Response:
    unknown = _unknown_fields(request)
    chat = await read_body(request, lambda body: _read_chat(body, unknown))
    prompt = await while_connected(request, _rendered(request, chat))
    return JsonResponse({"prompt": prompt.text}, headers=ignored_header(unknown))


@dataclass(frozen=True, slots=True)
class _ChatPrompt:
    """A chat request, and the conversation that it holds."""

    fields: ChatRequest
    conversation: Conversation


@dataclass(frozen=True, slots=True)
class _ChatToTokenize:
    """A chat request to /tokenize, with the fields that stand beside it."""

    chat: _ChatPrompt
    options: TokenizeChatOptions


def _read_chat(body: Mapping[str, Any], unknown: UnknownFields) -> _ChatPrompt:
    fields = read_chat(body, unknown)
    return _ChatPrompt(fields, fields.conversation)


async def _tokenized_text(request: Request, wanted: TokenizeRequest) -> dict[str, Any]:
    _check_name(request, wanted.model)
    tokenization = _tokenization(request)
    ids = await tokenization.encode(
        wanted.text,
        adds_special=wanted.adds_special,
        with_control=wanted.parse_special is not False,
    )
    answer = await _answer(tokenization, ids, shows_texts=bool(wanted.return_token_strs))
    if wanted.with_pieces:
        answer["tokens"] = await written(ids, lambda some: _with_pieces(tokenization, some))
    return answer


async def _tokenized_chat(request: Request, wanted: _ChatToTokenize) -> dict[str, Any]:
    ids = (await _rendered(request, wanted.chat)).token_ids
    tokenization = _tokenization(request)
    if wanted.options.add_special_tokens:
        ids = tokenization.begun(ids)
    return await _answer(tokenization, ids, shows_texts=bool(wanted.options.return_token_strs))


async def _rendered(request: Request, chat: _ChatPrompt) -> EncodedPrompt:
    fields = chat.fields
    _check_name(request, fields.model)
    return await local_service(request).render(
        chat.conversation, fields.choice_of_tools, fields.thinking, account_of(request).name
    )


async def _answer(
    tokenization: Tokenization, ids: tuple[int, ...], *, shows_texts: bool
) -> dict[str, Any]:
    return {
        "count": len(ids),
        "max_model_len": tokenization.card.context_window,
        "tokens": await written(ids, lambda some: some),
        "token_strs": await written(ids, tokenization.spelled) if shows_texts else None,
    }


def _with_pieces(tokenization: Tokenization, ids: Sequence[int]) -> list[dict[str, Any]]:
    pieces = tokenization.pieces(ids)
    return [{"id": token_id, "piece": piece} for token_id, piece in zip(ids, pieces, strict=True)]


def _tokenization(request: Request) -> Tokenization:
    return local_service(request).tokenization(account_of(request).name)


def _check_name(request: Request, name: str | None) -> None:
    check_local(request, name)


def _unknown_fields(request: Request) -> UnknownFields:
    return UnknownFields(are_refused=request.app.state.refuses_unknown_fields)
