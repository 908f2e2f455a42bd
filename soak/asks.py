"""Owns the requests that are right, one function a kind, each drawn anew. Sends nothing."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

from soak.ask import OK, Abort, Ask, Form, Pace, Point
from soak.drawing import Draw, encoded

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"
# Where a few tokens end an answer: whether it fits is no question then.
_MARGIN = 64


class Asking(Protocol):
    """Draws one request."""

    def __call__(self, draw: Draw, /) -> Ask: ...


def chat(draw: Draw) -> Ask:
    body = {"messages": draw.messages(), "max_tokens": draw.number(1, 48)}
    return Ask("chat", CHAT, encoded(body))


def stream(draw: Draw) -> Ask:
    """What the figures of a well-behaved client are taken from."""
    return _streamed("stream", draw, max_tokens=draw.number(8, 64))


def conversation(draw: Draw) -> Ask:
    """Several turns, whose beginning is one of a few: computed prompts are shared."""
    start = {"role": "system", "content": f"{draw.number(1, 4)} " + "be brief. " * 60}
    turns = [start, *draw.messages(), {"role": "assistant", "content": draw.text(2, 20)}]
    return _streamed("conversation", draw, messages=[*turns, *draw.messages()])


def seeded(draw: Draw) -> Ask:
    wish = {"temperature": 1.1, "top_p": 0.9, "seed": draw.number(0, 10**6), "logprobs": True}
    return _streamed("seeded", draw, **wish, top_logprobs=draw.number(0, 5))


def completion(draw: Draw) -> Ask:
    prompts = [draw.text(1, 30) for _ in range(draw.number(1, 3))]
    body = {"prompt": prompts, "n": draw.number(2, 4), "max_tokens": draw.number(1, 24)}
    is_stream = draw.one_of(True, False)
    form = Form.CHAT if is_stream else Form.BODY
    return Ask("completion", COMPLETION, encoded({**body, "stream": is_stream}), form=form)


def tools(draw: Draw) -> Ask:
    choice = draw.one_of("auto", "required", "none")
    offered = [draw.tool() for _ in range(draw.number(1, 3))]
    return _streamed("tools", draw, tools=offered, tool_choice=choice, max_tokens=96)


def structure(draw: Draw) -> Ask:
    schema = {"name": "answer", "strict": True, "schema": draw.schema()}
    wanted = {"type": "json_schema", "json_schema": schema}
    return _streamed("structure", draw, response_format=wanted, max_tokens=96)


def pattern(draw: Draw) -> Ask:
    regex = f"[a-z]{{{draw.number(1, 9)}}}-{draw.number(0, 10**6)}"
    body = {"prompt": draw.text(1, 9), "structured_outputs": {"regex": regex}, "max_tokens": 48}
    return Ask("pattern", COMPLETION, encoded(body))


def long_prompt(draw: Draw) -> Ask:
    """Nearly the window, or beyond it by what a word's tokens vary: then it is refused."""
    words = draw.number(draw.window // 2, draw.window - _MARGIN)
    body = {"prompt": draw.text(words, words), "max_tokens": 8, "stream": True}
    return Ask(
        "long prompt", COMPLETION, encoded(body), form=Form.CHAT, expected=frozenset({200, 400})
    )


def deadline(draw: Draw) -> Ask:
    """Often too short: refused while it waits, or ended with an error."""
    body = {
        "messages": draw.messages(),
        "max_tokens": draw.number(16, 200),
        "ignore_eos": True,
        "timeout": draw.seconds(0.02, 2.0),
        "stream": draw.one_of(True, False),
    }
    form = Form.CHAT if body["stream"] else Form.BODY
    expected = frozenset({200, 408})
    return Ask("deadline", CHAT, encoded(body), form=form, expected=expected, may_expire=True)


def message(draw: Draw) -> Ask:
    body = {"model": "bench", "messages": draw.messages(), "max_tokens": draw.number(1, 48)}
    if draw.one_of(True, False):
        return Ask("message", MESSAGES, encoded({**body, "stream": True}), form=Form.MESSAGES)
    return Ask("message", MESSAGES, encoded(body))


def response(draw: Draw) -> Ask:
    body = {"input": draw.text(1, 40), "max_output_tokens": 32, "store": draw.one_of(True, False)}
    if draw.one_of(True, False):
        return Ask("response", RESPONSES, encoded({**body, "stream": True}), form=Form.RESPONSES)
    return Ask("response", RESPONSES, encoded(body))


def aborted(draw: Draw) -> Ask:
    """The client leaves, in every place where it can."""
    point = draw.one_of(*Point)
    abort = Abort(point, wait_s=draw.seconds(0.0, 1.5), num_events=draw.number(1, 30))
    of_stream = point in (Point.MID_STREAM, Point.LAST_FRAME)
    wish = {"ignore_eos": True, "max_tokens": 16 if point is Point.LAST_FRAME else 120}
    body = {"messages": draw.messages(2, 200), **wish, "n": draw.one_of(1, 1, 2)}
    body["stream"] = of_stream or draw.one_of(True, False)
    form = Form.CHAT if body["stream"] else Form.BODY
    return Ask(f"aborted {point.name.lower()}", CHAT, encoded(body), form=form, abort=abort)


def slow_reader(draw: Draw) -> Ask:
    pace = Pace(draw.seconds(2.0, 8.0))
    body = {"messages": draw.messages(), "max_tokens": 64, "ignore_eos": True, "stream": True}
    return Ask("slow reader", CHAT, encoded(body), form=Form.CHAT, pace=pace, may_be_dropped=True)


def stalled_reader(draw: Draw) -> Ask:
    """More than the kernel keeps for it: in time the server gives it up."""
    pace = Pace(draw.seconds(2.0, 20.0), reads_nothing=True)
    wish = {"logprobs": True, "top_logprobs": 20, "ignore_eos": True, "max_tokens": 300, "n": 4}
    body = {"messages": draw.messages(), **wish, "stream": True}
    return Ask(
        "stalled reader", CHAT, encoded(body), form=Form.CHAT, pace=pace, may_be_dropped=True
    )


def tokenize(draw: Draw) -> Ask:
    return Ask("tokenize", "/tokenize", encoded({"prompt": draw.text(1, 500)}))


def embeddings(draw: Draw) -> Ask:
    """No model for it is loaded."""
    path, body = draw.one_of(
        ("/v1/embeddings", {"input": "text"}),
        ("/v1/rerank", {"query": "text", "documents": ["text"]}),
        ("/v1/score", {"text_1": "text", "text_2": "text"}),
    )
    return Ask("embeddings", path, encoded(body), expected=frozenset({400, 404, 501, 503}))


def looks(draw: Draw) -> Ask:
    """What dashboards and supervisors ask for."""
    path = draw.one_of("/health", "/health/ready", "/v1/models", "/v1/capabilities")
    return Ask("looks", path, method="GET")


def scrape(draw: Draw) -> Ask:
    return Ask("scrape", draw.one_of("/metrics", "/v1/server/info"), method="GET")


def wrong_key(draw: Draw) -> Ask:
    key = draw.one_of("", "wrong", f"sk-{draw.number(0, 10**9)}", "x" * 300)
    body = encoded({"messages": draw.messages(), "max_tokens": 4})
    return Ask("wrong key", CHAT, body, expected=frozenset({401}), key=key)


def _streamed(kind: str, draw: Draw, **fields: Any) -> Ask:
    body = {"messages": draw.messages(), "max_tokens": draw.number(4, 40), "stream": True}
    return Ask(kind, CHAT, encoded({**body, **fields}), form=Form.CHAT, expected=OK)


# How often each is drawn.
WEIGHTS: Mapping[Asking, float] = MappingProxyType(
    {
        stream: 14.0,
        chat: 8.0,
        conversation: 8.0,
        seeded: 4.0,
        completion: 5.0,
        tools: 4.0,
        structure: 4.0,
        pattern: 2.0,
        long_prompt: 2.0,
        deadline: 4.0,
        message: 4.0,
        response: 4.0,
        aborted: 16.0,
        slow_reader: 2.0,
        stalled_reader: 0.7,
        tokenize: 3.0,
        embeddings: 1.0,
        looks: 3.0,
        scrape: 1.0,
        wrong_key: 3.0,
    }
)
