"""Owns how another server is asked for how many tokens a conversation's prompt has.

Only servers that have a route for it can be asked. Knows no HTTP library.
"""

from typing import Annotated, Any

import msgspec
from pydantic import SecretStr

from backends.upstream import Place, UpstreamCall, UpstreamHost, UpstreamReply, WholeReply
from core.errors import RequestError, UnsupportedField, UpstreamRefused
from core.messages import Conversation
from core.requests import GenerationRequest
from core.upstreams import UpstreamKind
from serving.remote.chat_events import broken_answer
from serving.remote.prompt_start import conversation_start
from serving.remote.request_body import chat_body, encoded
from serving.remote.targets import RemoteTarget

_PATH = "/tokenize"
# What of a chat's body decides its prompt; vLLM's route has no names for the others.
_OF_PROMPTS = {
    *("messages", "tools", "chat_template_kwargs"),
    *("add_generation_prompt", "continue_final_message"),
}
_FIELDS = {
    UpstreamKind.VLLM: _OF_PROMPTS,
    UpstreamKind.JARVIS: {
        *_OF_PROMPTS,
        *("tool_choice", "parallel_tool_calls", "reasoning_effort", "thinking_token_budget"),
    },
}


class _Counted(msgspec.Struct):
    count: Annotated[int, msgspec.Meta(ge=0, le=2**53)]


async def count_prompt(
    host: UpstreamHost,
    request: GenerationRequest,
    target: RemoteTarget,
    client_key: SecretStr | None = None,
) -> int:
    """How many tokens the prompt of a conversation has. Raises UpstreamFailed, UpstreamRefused, or
    UnsupportedField where the servers that have the model can't be asked.
    """
    kind, places = _askable(host, target)
    conversation = request.prompt
    assert isinstance(conversation, Conversation), "a prompt of messages"
    call = UpstreamCall(
        id=request.id,
        path=_PATH,
        fields=encoded(_body(request, conversation, kind)),
        prompt_start=conversation_start(conversation),
        client_key=client_key,
    )
    return _count_in(await host.send(call, places))


def _askable(host: UpstreamHost, target: RemoteTarget) -> tuple[UpstreamKind, tuple[Place, ...]]:
    """Places of one kind, that of the first that has the route."""
    kinds = {place: host.kind_of(place.upstream) for place in target.places}
    first = next((kind for kind in kinds.values() if kind in _FIELDS), None)
    if first is None:
        raise UnsupportedField(
            f"the model {target.model[:200]!r} is another server's, which can't be asked how many"
            " tokens a prompt has",
            param="model",
        )
    return first, tuple(place for place in target.places if kinds[place] is first)


def _body(
    request: GenerationRequest, conversation: Conversation, kind: UpstreamKind
) -> dict[str, Any]:
    """What the same chat would be rendered with."""
    prompting = GenerationRequest(
        request.id, conversation, tool_choice=request.tool_choice, thinking=request.thinking
    )
    whole = chat_body(prompting, conversation, kind)
    body = {name: value for name, value in whole.items() if name in _FIELDS[kind]}
    if kind is UpstreamKind.VLLM and "reasoning_effort" in whole:
        # There it is one of the template's variables.
        effort = {"reasoning_effort": whole["reasoning_effort"]}
        body["chat_template_kwargs"] = effort | dict(body.get("chat_template_kwargs", {}))
    return body


def _count_in(reply: UpstreamReply) -> int:
    assert isinstance(reply, WholeReply), "no stream was asked for"
    if reply.status >= 400:
        raise _refusal(reply)
    try:
        return msgspec.json.decode(reply.body, type=_Counted).count
    except (msgspec.MsgspecError, RecursionError):
        raise broken_answer(reply.upstream, "it counts no tokens") from None


def _refusal(reply: WholeReply) -> RequestError:
    return UpstreamRefused(
        f"the upstream {reply.upstream} refused to count tokens: status {reply.status}",
        upstream=reply.upstream,
        status=reply.status,
        media_type=reply.media_type,
        body=reply.body,
    )
