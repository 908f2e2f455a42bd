"""GET /v1/capabilities: what the loaded models can be asked for, and what is done by default."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from api.embedding_calls import ServedEmbedding
from api.json_response import JsonResponse
from api.request_bounds import bounds_of
from api.responses.background import MAX_RUNNING
from api.schemas import lists
from api.schemas.chat import IDLE_CHAT_FIELDS, ChatRequest
from api.schemas.completions import (
    DEFAULT_MAX_TOKENS,
    IDLE_COMPLETION_FIELDS,
    CompletionRequest,
)
from api.schemas.embeddings import IDLE_POOLING_FIELDS, EmbeddingRequest
from api.schemas.fields import MAX_CACHE_SALT_CHARACTERS, UNUSED_FIELDS
from api.schemas.messages import (
    IDLE_MESSAGES_FIELDS,
    MAX_BLOCKS,
    UNUSED_MESSAGES_FIELDS,
    CountTokensRequest,
    MessagesRequest,
)
from api.schemas.rerank import IDLE_SCORING_FIELDS, RerankRequest, ScoreRequest
from api.schemas.responses.request import (
    IDLE_RESPONSE_FIELDS,
    UNUSED_RESPONSE_FIELDS,
    ResponseRequest,
)
from api.schemas.tokenization import (
    IDLE_TOKENIZE_FIELDS,
    MAX_TEXT_CHARACTERS,
    MAX_TOKENS,
    DetokenizeRequest,
    TokenizeChatOptions,
    TokenizeRequest,
)
from core.bounds import RequestBounds
from core.errors import EngineUnavailable
from core.scores import MAX_TOP_LOGPROBS
from serving.capabilities import AcceptedFields, ApiFacts, EmbeddingModel, Makes, capabilities
from serving.embedding_inputs import MAX_TOTAL_TOKENS
from serving.service import GenerationService

router = APIRouter()

# What makes a prompt of a chat request, or of one for a response. An endpoint that makes the
# prompt alone checks the other fields and has no use for them.
_OF_CHAT_PROMPTS = {
    *("model", "messages", "tools", "tool_choice", "parallel_tool_calls", "chat_template_kwargs"),
    *("add_generation_prompt", "continue_final_message", "reasoning_effort"),
    *("thinking_token_budget", "thinking_budget_tokens"),
}
_OF_RESPONSE_PROMPTS = {
    *("model", "input", "instructions", "previous_response_id", "tools", "tool_choice"),
    *("parallel_tool_calls", "chat_template_kwargs", "reasoning", "thinking_token_budget"),
}
_CHAT = (*ChatRequest.model_fields, *IDLE_CHAT_FIELDS)
_RESPONSE = (*ResponseRequest.model_fields, *IDLE_RESPONSE_FIELDS)
_CHAT_PROMPT = AcceptedFields(
    known=_CHAT,
    unused=frozenset(_CHAT) - _OF_CHAT_PROMPTS,
    idle=frozenset(IDLE_CHAT_FIELDS),
)
_USER = frozenset({"user"})

_ENDPOINTS = {
    "/v1/chat/completions": AcceptedFields(
        known=_CHAT, unused=UNUSED_FIELDS, idle=frozenset(IDLE_CHAT_FIELDS)
    ),
    "/v1/chat/completions/render": _CHAT_PROMPT,
    "/v1/completions": AcceptedFields(
        known=(*CompletionRequest.model_fields, *IDLE_COMPLETION_FIELDS),
        unused=UNUSED_FIELDS,
        idle=frozenset(IDLE_COMPLETION_FIELDS),
    ),
    "/v1/responses": AcceptedFields(
        known=_RESPONSE, unused=UNUSED_RESPONSE_FIELDS, idle=frozenset(IDLE_RESPONSE_FIELDS)
    ),
    "/v1/responses/input_tokens": AcceptedFields(
        known=_RESPONSE,
        unused=frozenset(_RESPONSE) - _OF_RESPONSE_PROMPTS,
        idle=frozenset(IDLE_RESPONSE_FIELDS),
    ),
    "/v1/messages": AcceptedFields(
        known=(*MessagesRequest.model_fields, *IDLE_MESSAGES_FIELDS),
        unused=UNUSED_MESSAGES_FIELDS,
        idle=frozenset(IDLE_MESSAGES_FIELDS),
    ),
    "/v1/messages/count_tokens": AcceptedFields(
        known=(*CountTokensRequest.model_fields, *IDLE_MESSAGES_FIELDS),
        unused=UNUSED_MESSAGES_FIELDS | {"output_format"},
        idle=frozenset(IDLE_MESSAGES_FIELDS),
    ),
    "/v1/embeddings": AcceptedFields(
        known=(*EmbeddingRequest.model_fields, *IDLE_POOLING_FIELDS),
        unused=_USER,
        idle=frozenset(IDLE_POOLING_FIELDS),
        makes=Makes.VECTORS,
    ),
    "/v1/rerank": AcceptedFields(
        known=(*RerankRequest.model_fields, *IDLE_SCORING_FIELDS),
        unused=_USER,
        idle=frozenset(IDLE_SCORING_FIELDS),
        makes=Makes.SCORES,
    ),
    "/v1/score": AcceptedFields(
        known=(*ScoreRequest.model_fields, *IDLE_SCORING_FIELDS),
        unused=_USER,
        idle=frozenset(IDLE_SCORING_FIELDS),
        makes=Makes.SCORES,
    ),
    "/tokenize": AcceptedFields(
        known=tuple(
            dict.fromkeys(
                (
                    *TokenizeRequest.model_fields,
                    *TokenizeChatOptions.model_fields,
                    *_CHAT,
                    *IDLE_TOKENIZE_FIELDS,
                )
            )
        ),
        unused=_CHAT_PROMPT.unused,
        idle=_CHAT_PROMPT.idle | frozenset(IDLE_TOKENIZE_FIELDS),
    ),
    "/detokenize": AcceptedFields(known=tuple(DetokenizeRequest.model_fields)),
    "/apply-template": _CHAT_PROMPT,
}
_LIMITS = {
    "allowed_token_ids": lists.MAX_ALLOWED_IDS,
    "background_responses": MAX_RUNNING,
    "bad_words": lists.MAX_BAD_WORDS,
    "bad_word_characters": lists.MAX_BAD_WORD_CHARACTERS,
    "cache_salt_characters": MAX_CACHE_SALT_CHARACTERS,
    "completions_default_max_tokens": DEFAULT_MAX_TOKENS,
    "detokenize_tokens": MAX_TOKENS,
    "embedding_total_tokens": MAX_TOTAL_TOKENS,
    "message_blocks": MAX_BLOCKS,
    "stop_string_characters": lists.MAX_STOP_CHARACTERS,
    "stop_token_ids": lists.MAX_STOP_IDS,
    "tokenize_characters": MAX_TEXT_CHARACTERS,
    "top_logprobs": MAX_TOP_LOGPROBS,
}


@router.get("/v1/capabilities")
async def get_capabilities(request: Request) -> Response:
    """Each field and what becomes of it; limits, defaults and who chose them, sampling order.

    These are of the models here. Where there are none, servers that are asked decide.
    """
    service: GenerationService | None = request.app.state.service
    limits = _limits(bounds_of(request))
    if service is None:
        return JsonResponse({"object": "capabilities", "engine": "remote", "limits": limits})
    found = capabilities(service.facts, ApiFacts(_ENDPOINTS, limits), _embedding(request))
    answer: dict[str, Any] = asdict(found)
    return JsonResponse({"object": "capabilities", **answer})


def _limits(bounds: RequestBounds) -> dict[str, int]:
    """What is fixed, and what the operator allows."""
    return _LIMITS | {
        "body_bytes": bounds.body_bytes,
        "choices": bounds.n,
        "embedding_inputs": bounds.prompts,
        "logit_bias_ids": bounds.logit_bias,
        "messages": bounds.messages,
        "prompts": min(bounds.prompts, bounds.n),
        "response_items": bounds.messages,
        "schema_bytes": bounds.schema_bytes,
        "stop_strings": bounds.stop,
        "tools": bounds.tools,
    }


def _embedding(request: Request) -> EmbeddingModel | None:
    served: ServedEmbedding | None = request.app.state.embedding
    if served is None:
        return None
    try:
        card = served.service.card
    except EngineUnavailable:
        card = None
    return EmbeddingModel(served.names.model_id, served.service.status, card)
