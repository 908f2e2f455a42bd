"""Owns what a request may ask for on behalf of its account, and by when it must be over."""

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request

from api.access.access import Access
from api.access.ceilings import capped, check_model
from api.remote.fields import scalar
from api.served_names import ServedNames
from api.visit import account_of, visit_of
from core.errors import InvalidValue
from core.requests import GenerationRequest
from core.upstreams import UpstreamKind
from serving.remote.targets import ModelRouter

if TYPE_CHECKING:
    from api.embedding_calls import ServedEmbedding

_LENGTH_FIELDS = ("max_completion_tokens", "max_tokens", "n_predict")
_KINDS_WITH_SALTS = frozenset({UpstreamKind.VLLM, UpstreamKind.JARVIS})
_LONGEST_TIMEOUT_S = 7 * 24 * 3600.0


def claimed(request: Request, wanted: GenerationRequest) -> GenerationRequest:
    """The request as its account may have it. Raises InvalidValue above the account's ceiling."""
    account = account_of(request)
    capped(account, wanted.max_tokens)
    return replace(
        wanted,
        account=account.name,
        cache_salt=_access(request).salt_of(account, wanted.cache_salt),
        token_ceiling=account.limits.max_tokens,
    )


def shortened(request: Request, wanted: GenerationRequest) -> GenerationRequest:
    """No longer than its account may have it, where clients ask for more than they mean."""
    ceiling = account_of(request).limits.max_tokens
    if ceiling is None or wanted.max_tokens is None or wanted.max_tokens <= ceiling:
        return wanted
    return replace(wanted, max_tokens=ceiling)


def passed_fields(
    request: Request, fields: Mapping[str, msgspec.Raw], *, is_generated: bool
) -> Mapping[str, msgspec.Raw]:
    """What another server is sent of a body: our own deadline stays here, and an answer is no
    longer than the account's are. Raises InvalidValue above that.
    """
    account, sent = account_of(request), dict(fields)
    sent.pop("timeout", None)
    if account.limits.max_tokens is None or not is_generated:
        return sent
    given = [name for name in _LENGTH_FIELDS if _is_set(fields.get(name))]
    for name in given:
        capped(account, scalar(name, fields[name]), name)
    # Servers overlook the names that they don't know.
    if not {"max_tokens", "max_completion_tokens"} & set(given):
        sent["max_tokens"] = msgspec.Raw(msgspec.json.encode(account.limits.max_tokens))
    return sent


def salted(
    request: Request, fields: Mapping[str, msgspec.Raw], kinds: Collection[UpstreamKind]
) -> Mapping[str, msgspec.Raw]:
    """The fields with the account's own salt in them, for servers that all know what that is."""
    if not _knows_salts(request, kinds):
        return fields
    given = fields.get("cache_salt")
    text = scalar("cache_salt", given) if _is_set(given) and given is not None else None
    if text is not None and not isinstance(text, str):
        return fields
    salt = _access(request).salt_of(account_of(request), text)
    return {**fields, "cache_salt": msgspec.Raw(msgspec.json.encode(salt))}


def salted_for(
    request: Request, wanted: GenerationRequest, kinds: Collection[UpstreamKind]
) -> GenerationRequest:
    """As `salted`, of a request that is read already."""
    if not _knows_salts(request, kinds):
        return wanted
    salt = _access(request).salt_of(account_of(request), wanted.cache_salt)
    return replace(wanted, cache_salt=salt)


def check_allowed(request: Request, name: str | None) -> None:
    """Raises ModelNotServed where the account may not ask for the model."""
    account = account_of(request)
    if account.limits.models is not None:
        check_model(account, name, _all_names(request))


def limit_time(request: Request, given: Mapping[str, Any]) -> None:
    """The body's `timeout`, from the request's arrival on. Raises InvalidValue."""
    seconds: Any = given.get("timeout")
    if isinstance(seconds, msgspec.Raw):
        seconds = scalar("timeout", seconds)
    if seconds is None:
        return
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not math.isfinite(seconds) or not 0 < seconds <= _LONGEST_TIMEOUT_S:
        raise InvalidValue(
            f"timeout must be a number of seconds above 0, at most {_LONGEST_TIMEOUT_S:.0f}",
            param="timeout",
        )
    visit_of(request).cutoff.limit(float(seconds))


def _knows_salts(request: Request, kinds: Collection[UpstreamKind]) -> bool:
    """Whether there is an account to keep apart, and every server that may answer can."""
    return bool(account_of(request).name) and frozenset(kinds) <= _KINDS_WITH_SALTS


def _access(request: Request) -> Access:
    access: Access = request.app.state.access
    return access


def _all_names(request: Request) -> tuple[str, ...]:
    """Of the model here first, where there is one."""
    state = request.app.state
    names: ServedNames = state.names
    embedding: ServedEmbedding | None = state.embedding
    router: ModelRouter | None = state.router
    elsewhere = () if router is None else tuple(model.name for model in router.host.models())
    here = () if state.service is None else names.listed
    return (*here, *(() if embedding is None else embedding.names.listed), *elsewhere)


def _is_set(raw: msgspec.Raw | None) -> bool:
    return raw is not None and bytes(raw).strip() != b"null"
