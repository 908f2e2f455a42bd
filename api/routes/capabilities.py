"""GET /v1/capabilities: what the loaded model can be asked for, and what is done by default."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from api.json_response import JsonResponse
from api.reading import MAX_BODY_BYTES
from api.schemas import lists
from api.schemas.chat import IDLE_CHAT_FIELDS, MAX_MESSAGES, ChatRequest
from api.schemas.completions import (
    DEFAULT_MAX_TOKENS,
    IDLE_COMPLETION_FIELDS,
    MAX_PROMPTS,
    CompletionRequest,
)
from api.schemas.fields import MAX_CACHE_SALT_CHARACTERS, MAX_CHOICES, UNUSED_FIELDS
from api.schemas.tools import MAX_TOOLS
from core.scores import MAX_TOP_LOGPROBS
from serving.capabilities import AcceptedFields, capabilities
from serving.service import GenerationService

router = APIRouter()

_ENDPOINTS = {
    "/v1/chat/completions": AcceptedFields(
        known=(*ChatRequest.model_fields, *IDLE_CHAT_FIELDS),
        unused=UNUSED_FIELDS,
        idle=frozenset(IDLE_CHAT_FIELDS),
    ),
    "/v1/completions": AcceptedFields(
        known=(*CompletionRequest.model_fields, *IDLE_COMPLETION_FIELDS),
        unused=UNUSED_FIELDS,
        idle=frozenset(IDLE_COMPLETION_FIELDS),
    ),
}
_LIMITS = {
    "allowed_token_ids": lists.MAX_ALLOWED_IDS,
    "bad_words": lists.MAX_BAD_WORDS,
    "bad_word_characters": lists.MAX_BAD_WORD_CHARACTERS,
    "body_bytes": MAX_BODY_BYTES,
    "cache_salt_characters": MAX_CACHE_SALT_CHARACTERS,
    "choices": MAX_CHOICES,
    "completions_default_max_tokens": DEFAULT_MAX_TOKENS,
    "logit_bias_ids": lists.MAX_BIASED_IDS,
    "messages": MAX_MESSAGES,
    "prompts": MAX_PROMPTS,
    "stop_strings": lists.MAX_STOP_STRINGS,
    "stop_string_characters": lists.MAX_STOP_CHARACTERS,
    "stop_token_ids": lists.MAX_STOP_IDS,
    "tools": MAX_TOOLS,
    "top_logprobs": MAX_TOP_LOGPROBS,
}


@router.get("/v1/capabilities")
async def get_capabilities(request: Request) -> Response:
    """Each field and what becomes of it; limits, defaults and who chose them, sampling order."""
    service: GenerationService = request.app.state.service
    found: dict[str, Any] = asdict(capabilities(service.facts, _ENDPOINTS, _LIMITS))
    return JsonResponse({"object": "capabilities", **found})
