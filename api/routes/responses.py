"""POST /v1/responses, and what can be done with a response by its id."""

import asyncio
import uuid
from collections.abc import Callable
from typing import TypeVar

from fastapi import APIRouter, Request, Response

from api.access.access import Access
from api.answerers import Answerer, answerer_for, prepare_one
from api.answering import reply_with, watch_labels
from api.disconnect import while_connected
from api.held_bodies import HeldBody
from api.ignored import ignored_header
from api.json_response import JsonResponse
from api.openapi import body_schema
from api.reading import LARGE_BYTES, read_body
from api.request_bounds import bounds_of, check_num_items
from api.request_watch import RequestWatch
from api.responses.answer import ResponseAnswer
from api.responses.background import Stay
from api.responses.conversation import items_after, made_messages
from api.responses.facts import request_facts
from api.responses.frames import ResponseFrames
from api.responses.kept import KeptResponses
from api.responses.output import ScoreView
from api.responses.queries import page_of, read_page, refuse_stream
from api.responses.records import Record, encoded
from api.schemas.responses.items import Item
from api.schemas.responses.request import ReadResponse, ResponseRequest, read_response
from api.schemas.validation import UnknownFields
from api.traffic import Traffic
from api.visit import account_of, visit_of
from core.bounds import RequestBounds
from core.errors import InvalidValue
from core.messages import Conversation
from core.requests import GenerationRequest
from serving.answer_source import AnswerSource

router = APIRouter()

Made = TypeVar("Made")
# Up to so many items and parts, making messages of them costs less than a hand-over to a thread.
_INLINE_PARTS = 256


@router.post("/v1/responses", openapi_extra=body_schema(ResponseRequest))
async def create_response(request: Request) -> Response:
    """Answers items, as one body, as a stream of OpenAI's events, or in the background."""
    unknown = UnknownFields(are_refused=request.app.state.refuses_unknown_fields)
    read = await read_body(request, lambda body: read_response(body, unknown))
    answerer = await answerer_for(request, read.fields.model)
    with visit_of(request).cutoff.interrupting():
        items = await _all_items(request, read)
        is_large = _num_parts(items) > _INLINE_PARTS
        wanted = await _made(lambda: _wanted(read, items), is_large=is_large)
        listed = await _made(lambda: _listed(read, items), is_large=is_large)
        source = await answerer.prepare(wanted, prepare_one)
    answer = _made_answer(answerer, read, listed)
    answerer.headers.update(ignored_header(unknown))
    if read.fields.background:
        shown = answer.whole()
        _kept(request).runs.start(answer, [source], listed, _stay(answerer, answer, source))
        return JsonResponse(shown, headers=answerer.headers)
    frames = ResponseFrames(answer) if read.fields.stream else None
    return await reply_with(request, [source], answer, frames, answerer.headers)


@router.post("/v1/responses/input_tokens", openapi_extra=body_schema(ResponseRequest))
async def count_input_tokens(request: Request) -> Response:
    """How many tokens the prompt of a response would have."""
    unknown = UnknownFields(are_refused=request.app.state.refuses_unknown_fields)
    read = await read_body(request, lambda body: read_response(body, unknown))
    answerer = await answerer_for(request, read.fields.model)
    with visit_of(request).cutoff.interrupting():
        items = await _all_items(request, read)
        is_large = _num_parts(items) > _INLINE_PARTS
        wanted = await _made(lambda: _wanted(read, items), is_large=is_large)
    count = await while_connected(request, answerer.count(wanted))
    return JsonResponse(
        {"object": "response.input_tokens", "input_tokens": count},
        headers=ignored_header(unknown),
    )


@router.get("/v1/responses/{response_id}")
async def get_response(request: Request, response_id: str) -> Response:
    """A response that was kept, or is under way in the background."""
    refuse_stream(request.query_params)
    return _shown(await _kept(request).find(response_id, _owner(request)))


@router.get("/v1/responses/{response_id}/input_items")
async def list_input_items(request: Request, response_id: str) -> Response:
    """All items that stood before a response's output, those of earlier responses too."""
    page = read_page(request.query_params)
    record = await _kept(request).find(response_id, _owner(request))
    is_large = record.num_bytes > LARGE_BYTES
    return await _made(lambda: JsonResponse(page_of(record.items, page)), is_large=is_large)


@router.delete("/v1/responses/{response_id}")
async def delete_response(request: Request, response_id: str) -> Response:
    """Those that went on with it stay."""
    await _kept(request).delete(response_id, _owner(request))
    return JsonResponse({"id": response_id, "object": "response", "deleted": True})


@router.post("/v1/responses/{response_id}/cancel")
async def cancel_response(request: Request, response_id: str) -> Response:
    """Stops a background response; one that has ended stays as it is."""
    return _shown(await _kept(request).cancel(response_id, _owner(request)))


async def _all_items(request: Request, read: ReadResponse) -> tuple[Item, ...]:
    """The request's own, after those of the conversation that it goes on with. Raises InvalidValue
    where that is longer than a request may be, or QueueFull.
    """
    previous_id = read.fields.previous_response_id
    if previous_id is None:
        return read.items
    record, bounds = await _kept(request).previous(previous_id, _owner(request)), bounds_of(request)
    _check_size(record, bounds)
    # It is held as long as a body of its size would be.
    HeldBody(request).reach(record.num_bytes)
    before = await _made(lambda: items_after(record), is_large=record.num_bytes > LARGE_BYTES)
    items = (*before, *read.items)
    check_num_items(items, bounds)
    return items


def _check_size(record: Record, bounds: RequestBounds) -> None:
    if record.num_bytes > bounds.body_bytes:
        raise InvalidValue(
            f"the conversation before it has {record.num_bytes} bytes; allowed are at most"
            f" {bounds.body_bytes}, as in a body",
            param="previous_response_id",
        )


def _num_parts(items: tuple[Item, ...]) -> int:
    """With the items themselves."""
    return len(items) + sum(
        len(held) for item in items for held in item.values() if isinstance(held, list)
    )


def _listed(read: ReadResponse, items: tuple[Item, ...]) -> tuple[bytes, ...]:
    """The items of a response that can be asked for, each as JSON."""
    return encoded(items) if read.fields.is_stored else ()


async def _made(make: Callable[[], Made], *, is_large: bool) -> Made:
    """In a thread where there is much to make."""
    return await asyncio.to_thread(make) if is_large else make()


def _shown(record: Record) -> Response:
    return Response(record.response, media_type="application/json")


def _wanted(read: ReadResponse, items: tuple[Item, ...]) -> GenerationRequest:
    fields = read.fields
    return GenerationRequest(
        id=uuid.uuid4().hex,
        prompt=_conversation(read, items),
        sampling=fields.sampling,
        view=fields.view,
        structure=fields.structure,
        tool_choice=read.calling.choice,
        thinking=fields.thinking,
        max_tokens=fields.max_output_tokens,
        priority=fields.priority or 0,
        cache_salt=fields.cache_salt,
    )


def _conversation(read: ReadResponse, items: tuple[Item, ...]) -> Conversation:
    return Conversation(
        made_messages(read.fields.instructions, items),
        tools=read.calling.tools,
        template_kwargs=read.fields.chat_template_kwargs or {},
    )


def _made_answer(
    answerer: Answerer, read: ReadResponse, items: tuple[bytes, ...]
) -> ResponseAnswer:
    fields, request = read.fields, answerer.request
    facts = request_facts(read, answerer.model_id, answerer.defaults)
    scores = ScoreView(answerer.vocabulary, fields.view.num_logprobs)
    return ResponseAnswer(
        "resp_" + uuid.uuid4().hex,
        facts,
        scores,
        _kept(request).keeper(items, _owner(request)) if fields.is_stored else None,
        is_stream=bool(fields.stream),
    )


def _kept(request: Request) -> KeptResponses:
    kept: KeptResponses = request.app.state.responses
    return kept


def _stay(answerer: Answerer, answer: ResponseAnswer, source: AnswerSource) -> Stay:
    """It counts as under way, for the server and for its key, and its time goes on. Raises
    ServerStopping.
    """
    request = answerer.request
    traffic: Traffic = request.app.state.traffic
    access: Access = request.app.state.access
    visit = visit_of(request)
    cutoff, held = (
        visit.cutoff.continued(traffic.enter()),
        access.allowances.hold(account_of(request)),
    )

    def end() -> None:
        traffic.leave(cutoff)
        held.end()

    watch = RequestWatch(watch_labels(request, answer, answerer.headers), [source], visit.observers)
    return Stay(watch, cutoff, end)


def _owner(request: Request) -> str:
    return account_of(request).name
