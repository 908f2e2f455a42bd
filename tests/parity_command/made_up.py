"""Transcripts that no engine made."""

import math
from dataclasses import replace
from typing import Any

from parity.parts import EMBED, NUM_FORMS, RERANK, Part, Question
from parity.questions import DRAWS, NUM_DRAWN, questions_of
from parity.transcript import Reply, Size, Transcript
from tests.parity_command.made_answers import answered

SIZE = Size(3, 8)
TOKENS = ("Par", "is", ".")


def token(text: str, logprob: float = -0.1, **others: float) -> dict[str, Any]:
    """`others` are tokens that were nearly as good, with their logprobs."""
    tops = {text: logprob, **others}
    return {
        "token": text,
        "bytes": list(text.encode()),
        "logprob": logprob,
        "top_logprobs": [
            {"token": each, "bytes": list(each.encode()), "logprob": value}
            for each, value in tops.items()
        ],
    }


def chat(*tokens: dict[str, Any], finish_reason: str = "stop") -> Reply:
    message = {"role": "assistant", "content": "".join(each["token"] for each in tokens)}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": {"content": list(tokens)},
        "finish_reason": finish_reason,
    }
    return Reply(200, {"choices": [choice]})


def transcript(label: str = "left", *, shift: float = 0.0) -> Transcript:
    """All answers are the same; log-probabilities of prompts are moved by `shift`."""
    parts: dict[str, list[Reply]] = {
        part: [made_reply(part, question, shift) for question in questions_of(part, SIZE)]
        for part in Part
    }
    drawn = len(DRAWS) * NUM_DRAWN
    parts[Part.DRAWS] = [_known(), *[_drawn(at) for at in range(drawn)]]
    return Transcript(label, SIZE, {"engine": f"{label} 1.0"}, parts)


def changed(found: Transcript, part: Part, index: int, reply: Reply) -> Transcript:
    replies = [*found.parts[part]]
    replies[index] = reply
    return replace(found, parts={**found.parts, part: replies})


def vector(*numbers: float) -> Reply:
    return Reply(200, {"data": [{"index": 0, "embedding": list(numbers)}]})


def scored(*scores: float, is_rerank: bool) -> Reply:
    if is_rerank:
        told = [{"index": at, "relevance_score": each} for at, each in enumerate(scores)]
        return Reply(200, {"results": told})
    return Reply(200, {"data": [{"index": at, "score": each} for at, each in enumerate(scores)]})


def made_reply(part: Part, question: Question, shift: float = 0.0) -> Reply:
    if part is Part.RENDER:
        return Reply(200, {"prompt": "p", "token_ids": [1, 2]})
    if part is Part.TOKENISE:
        return Reply(200, {"count": 2, "tokens": [1, 2], "max_model_len": 9})
    if part in NUM_FORMS:
        return answered(question)
    if part is Part.EMBEDDINGS:
        is_vector = question.path == EMBED
        return (
            vector(1.0, 0.0) if is_vector else scored(0.5, 0.25, is_rerank=question.path == RERANK)
        )
    if part is Part.SCORES:
        scores = [None, {"5": {"logprob": -1.0 + shift, "rank": 2}}]
        return Reply(200, {"prompt_logprobs": scores, "choices": []})
    if part is Part.SEEDED:
        plain = chat(token("seeded"))
        plain.body["choices"][0]["logprobs"] = None
        return plain
    if part is Part.STRUCTURED:
        return chat(token(_VALID[questions_of(part, SIZE).index(question) % len(_VALID)]))
    return chat(*map(token, TOKENS))


_VALID = (
    '{"name": "Ada"}',
    "[1, 2]",
    '"yes"',
    '"AB-123"',
    "true",
    '{"when": "2026-01-31", "tags": ["a"]}',
)


def _known() -> Reply:
    logprobs = {"tokens": ["a"], "top_logprobs": [{"a": math.log(0.75), "b": math.log(0.25)}]}
    return Reply(200, {"choices": [{"logprobs": logprobs}]})


def _drawn(at: int) -> Reply:
    """Three of four are the better one, as far as the kind allows others at all."""
    kind = DRAWS[at // NUM_DRAWN]
    share = 0.75 ** (1 / kind["temperature"]) / (
        0.75 ** (1 / kind["temperature"]) + 0.25 ** (1 / kind["temperature"])
    )
    num_best = 64 if "top_p" in kind else round(64 * share)
    tokens = ["a"] * num_best + ["b"] * (64 - num_best)
    return Reply(200, {"choices": [{"logprobs": {"tokens": [each]}} for each in tokens]})
