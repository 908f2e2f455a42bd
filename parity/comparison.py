"""Compares two transcripts, part by part. Pure; knows no engine."""

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from parity.embedding_comparison import compare_embeddings
from parity.findings import Finding, Verdict
from parity.forms import Sides, compare_forms
from parity.partings import Limits, part_of_answers
from parity.parts import Part, Question
from parity.questions import DRAWS, NUM_CHOICES, NUM_DRAWN, questions_of, schema_of
from parity.stable import stable, whole
from parity.statistics import Distance, deviations, distance
from parity.transcript import Reply, Transcript, TranscriptError

# A right distribution is further away than this once in thirty thousand.
_MOST_DEVIATIONS = 4.0
# What servers answer that know no such path, or no such method of it.
_LACKING = {404, 405}
# Below this mean, log-probabilities differ by rounding alone.
ROUNDING = 1e-3

Pairs = list[tuple[Question, Reply, Reply]]


def compare(left: Transcript, right: Transcript) -> list[Finding]:
    """A finding a part. Raises TranscriptError where they don't answer the same questions."""
    if left.size != right.size or left.parts.keys() != right.parts.keys():
        raise TranscriptError("the transcripts answer other questions: make both in the same way")
    limits = Limits(ROUNDING, max(ROUNDING, 3 * score_distance(left, right).p99))
    sides = Sides((left.label, right.label), limits)
    compared: dict[Part, Callable[[Pairs], Finding]] = {
        Part.RENDER: _rendered,
        Part.TOKENISE: _tokenised,
        Part.SCORES: lambda pairs: _scored(pairs, score_distance(left, right)),
        Part.GREEDY: lambda pairs: part_of_answers(Part.GREEDY, pairs, limits),
        Part.SEEDED: lambda pairs: part_of_answers(Part.SEEDED, pairs, limits),
        Part.DRAWS: _drawn,
        Part.STRUCTURED: _structured,
        Part.TOOLS: lambda pairs: compare_forms(Part.TOOLS, pairs, sides),
        Part.THOUGHTS: lambda pairs: compare_forms(Part.THOUGHTS, pairs, sides),
        Part.RESPONSES: lambda pairs: compare_forms(Part.RESPONSES, pairs, sides),
        Part.MESSAGES: lambda pairs: compare_forms(Part.MESSAGES, pairs, sides),
        Part.EMBEDDINGS: compare_embeddings,
        Part.EDGES: _edges,
    }
    findings: list[Finding] = []
    for part in (part for part in compared if part in left.parts):
        pairs = pairs_of(left, right, part)
        findings.append(_not_served(part, pairs, sides.labels) or compared[part](pairs))
    return findings


def _not_served(part: Part, pairs: Pairs, labels: tuple[str, str]) -> Finding | None:
    """Where an engine's server lacks an endpoint that the part asks."""
    lacking = [_lacking(pairs, side) for side in (1, 2)]
    if not any(lacking):
        return None
    told = [
        f"not served by {label}: {', '.join(paths)}"
        for label, paths in zip(labels, lacking, strict=True)
        if paths
    ]
    verdict = Verdict.NOT_SERVED if lacking[0] == lacking[1] else Verdict.DIFFERS
    return Finding(part, part.words, f"{len(pairs)} requests", "; ".join(told), verdict)


def _lacking(pairs: Pairs, side: int) -> list[str]:
    statuses: dict[str, set[int]] = {}
    for pair in pairs:
        reply = pair[1] if side == 1 else pair[2]
        statuses.setdefault(pair[0].path, set()).add(reply.status)
    return [path for path, found in statuses.items() if found <= _LACKING]


def pairs_of(left: Transcript, right: Transcript, part: Part) -> Pairs:
    asked = questions_of(part, left.size)
    if not len(asked) == len(left.parts[part]) == len(right.parts[part]):
        raise TranscriptError(f"a transcript lacks answers to {part}: make it anew")
    return list(zip(asked, left.parts[part], right.parts[part], strict=True))


def score_distance(left: Transcript, right: Transcript) -> Distance:
    """Between the log-probabilities that each gave to the same tokens of the same prompts."""
    if Part.SCORES not in left.parts:
        return distance(())
    differences: list[float] = []
    for _, one, other in pairs_of(left, right, Part.SCORES):
        for ours, theirs in zip(_actual(one), _actual(other), strict=False):
            differences.append(abs(ours - theirs))
    return distance(differences)


def _actual(reply: Reply) -> list[float]:
    """The logprob of each prompt token itself: the last entry of those that vLLM's shape lists."""
    found = reply.body.get("prompt_logprobs") or []
    tops = (list(each.values()) for each in found if each)
    return [max(tops_of, key=_rank)["logprob"] for tops_of in tops]


def _rank(entry: dict[str, Any]) -> int:
    return int(entry["rank"])


def _rendered(pairs: Pairs) -> Finding:
    return _made_above(Part.RENDER, pairs, _texts_and_ids)


def _tokenised(pairs: Pairs) -> Finding:
    return _made_above(Part.TOKENISE, pairs, _without_window)


def _made_above(part: Part, pairs: Pairs, seen: Callable[[Reply], Any]) -> Finding:
    """What is made of prompts alone must be the same, whatever the engine."""
    different = [pair for pair in pairs if seen(pair[1]) != seen(pair[2])]
    verdict, first = Verdict.SAME, None
    if different:
        verdict = Verdict.DIFFERS
        first = whole(*different[0], "prompts and ids are made above the engines")
    num_same = len(pairs) - len(different)
    noun = "prompts" if part is Part.RENDER else "requests"
    agreement = f"{num_same} of {len(pairs)} identical"
    return Finding(part, part.words, f"{len(pairs)} {noun}", agreement, verdict, first)


def _without_window(reply: Reply) -> Any:
    """How much context there is, an engine decides by its memory."""
    body = {name: told for name, told in reply.body.items() if name != "max_model_len"}
    return reply.status, stable(body)


def _texts_and_ids(reply: Reply) -> Any:
    return reply.status, reply.body.get("prompt"), reply.body.get("token_ids")


def _scored(pairs: Pairs, found: Distance) -> Finding:
    verdict = Verdict.SAME if found.largest <= ROUNDING else Verdict.FORMATS
    if found.largest > ROUNDING >= found.p99:
        verdict = Verdict.ROUNDING
    if any(len(_actual(one)) != len(_actual(other)) or not _actual(one) for _, one, other in pairs):
        verdict = Verdict.DIFFERS
    return Finding(
        Part.SCORES,
        Part.SCORES.words,
        f"{found.num} prompt tokens",
        f"mean {found.mean:.1e}, p99 {found.p99:.1e}, largest {found.largest:.1e}",
        verdict,
    )


def _drawn(pairs: Pairs) -> Finding:
    """Each engine against the distribution that it told itself."""
    worst = 0.0
    for replies in ([one for _, one, _ in pairs], [other for _, _, other in pairs]):
        known = _probabilities(replies[0])
        for at, kind in enumerate(DRAWS):
            part = replies[1 + at * NUM_DRAWN : 1 + (at + 1) * NUM_DRAWN]
            worst = max(worst, deviations(_counts(part), filtered(known, kind)))
    verdict = Verdict.SAME if worst < _MOST_DEVIATIONS else Verdict.DIFFERS
    num = NUM_CHOICES * NUM_DRAWN * len(DRAWS)
    agreement = f"at most {worst:.1f} standard deviations from the definition"
    return Finding(Part.DRAWS, Part.DRAWS.words, f"{num} draws an engine", agreement, verdict)


def filtered(known: dict[str, float], kind: dict[str, Any]) -> dict[str, float]:
    """The distribution of draws of a kind, from probabilities of the best tokens, best first."""
    shares = {token: p ** (1 / kind["temperature"]) for token, p in known.items()}
    if "min_p" in kind:
        least = kind["min_p"] * max(shares.values())
        shares = {token: p for token, p in shares.items() if p >= least}
    if "top_k" in kind:
        shares = dict(list(shares.items())[: kind["top_k"]])
    if kind.keys() - {"temperature"}:
        shares = _normal(shares)
    if "top_p" in kind:
        before, kept = 0.0, {}
        for token, share in shares.items():
            if before < kind["top_p"]:
                kept[token] = share
            before += share
        shares = _normal(kept)
    return shares


def _normal(shares: dict[str, float]) -> dict[str, float]:
    total = sum(shares.values())
    return {token: share / total for token, share in shares.items()}


def _probabilities(reply: Reply) -> dict[str, float]:
    (top,) = reply.body["choices"][0]["logprobs"]["top_logprobs"]
    best = sorted(top.items(), key=lambda item: -item[1])
    return {token: math.exp(logprob) for token, logprob in best}


def _counts(replies: Sequence[Reply]) -> Counter[str]:
    return Counter(
        choice["logprobs"]["tokens"][0] for reply in replies for choice in reply.body["choices"]
    )


def _structured(pairs: Pairs) -> Finding:
    invalid = [pair for pair in pairs if not (_is_valid(*pair[:2]) and _is_valid(pair[0], pair[2]))]
    same = [pair for pair in pairs if stable(pair[1].body) == stable(pair[2].body)]
    agreement = f"{2 * len(pairs) - len(invalid)} of {2 * len(pairs)} valid, {_share(same, pairs)}"
    verdict = Verdict.DIFFERS if invalid else Verdict.SAME
    first = whole(*invalid[0], "not what its JSON Schema accepts") if invalid else None
    measured = f"{len(pairs)} JSON Schemas"
    return Finding(Part.STRUCTURED, Part.STRUCTURED.words, measured, agreement, verdict, first)


def _is_valid(question: Question, reply: Reply) -> bool:
    # It comes with vLLM: an engine alone is asked without it.
    import jsonschema

    try:
        text = reply.body["choices"][0]["message"]["content"]
        jsonschema.validate(json.loads(text), schema_of(question))
    except (KeyError, ValueError, jsonschema.ValidationError):
        return False
    return True


def _edges(pairs: Pairs) -> Finding:
    """Of those that answer, the text is left to the greedy part; all else must be the same."""
    wrong = [pair for pair in pairs if _outline(pair[1]) != _outline(pair[2])]
    same = [pair for pair in pairs if stable(pair[1].body) == stable(pair[2].body)]
    verdict = Verdict.DIFFERS if wrong else Verdict.SAME
    first = whole(*wrong[0], "status, error or shape differ") if wrong else None
    measured = f"{len(pairs)} requests"
    return Finding(Part.EDGES, Part.EDGES.words, measured, _share(same, pairs), verdict, first)


def _outline(reply: Reply) -> Any:
    if "error" in reply.body:
        return reply.status, reply.body
    return reply.status, sorted(reply.body), len(reply.body.get("choices", ()))


def _share(same: Sequence[object], all_: Sequence[object]) -> str:
    return f"{len(same)} of {len(all_)} identical"
