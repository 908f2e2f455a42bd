"""Owns what is counted of answers, by the names and labels that vLLM has. Knows no HTTP.

What vLLM counts step by step is counted when an answer ends: how far it came is told then.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from api.metrics.bounded_labels import BoundedLabel
from api.metrics.histograms import OF_BEGUN_ANSWERS as _BEGUN
from api.metrics.histograms import OF_WHOLE_ANSWERS as _WHOLE
from api.metrics.histograms import STEPS, Histogram
from api.metrics.sources import NO_MODEL, MetricSources
from api.metrics.tally import Tally
from core.observation import AnswerSummary, Outcome

_ALL = (_BEGUN, STEPS, *_WHOLE)
LABELS = ("model_name", "engine")
# vLLM numbers its engines; here a process has one.
ENGINE = "0"

# Each has some 250 lines, which take a millisecond of the event loop when they are shown.
_MOST_MODELS = 32
_REASONS = ("stop", "length", "abort", "error", "repetition")
_REASON_OF = {"tool_calls": "stop"}
_REASON_OF_OUTCOME = {
    Outcome.DONE: "stop",
    Outcome.FAILED: "error",
    Outcome.GONE: "abort",
    Outcome.EXPIRED: "abort",
}


class _ModelCounts:
    """One model's."""

    def __init__(self) -> None:
        self.tallies = {each.name: Tally(each.bounds) for each in _ALL}
        self.num_prompt_tokens = 0
        self.num_reused = 0
        self.num_completion_tokens = 0
        self.num_uncounted = 0
        self.num_uncounted_events = 0
        self.num_by_reason = Counter(dict.fromkeys(_REASONS, 0))

    def add(self, answer: AnswerSummary) -> None:
        self._add_tokens(answer)
        self.num_by_reason.update(_reasons(answer))
        self._observe(_BEGUN, answer)
        if answer.outcome is Outcome.DONE:
            for each in _WHOLE:
                self._observe(each, answer)

    def _add_tokens(self, answer: AnswerSummary) -> None:
        if not answer.is_counted:
            is_there = answer.num_completion_tokens > 0 or answer.outcome is Outcome.DONE
            self.num_uncounted += is_there
            self.num_uncounted_events += answer.num_completion_tokens
            return
        self.num_prompt_tokens += answer.num_prompt_tokens
        # Choices share a prompt, and each reuses it.
        self.num_reused += min(answer.num_reused, answer.num_prompt_tokens)
        self.num_completion_tokens += answer.num_completion_tokens

    def _observe(self, histogram: Histogram, answer: AnswerSummary) -> None:
        if histogram.needs_count and not answer.is_counted:
            return
        if (value := histogram.of(answer)) is not None:
            self.tallies[histogram.name].observe(value)


_Models = Mapping[str, _ModelCounts]


def _reasons(answer: AnswerSummary) -> list[str]:
    """One for each choice: those that did not end by themselves ended with the answer."""
    ended = [_REASON_OF.get(reason, reason) for reason in answer.finish_reasons]
    num_others = max(answer.num_choices - len(ended), 0)
    return [
        *(reason if reason in _REASONS else "stop" for reason in ended),
        *([_REASON_OF_OUTCOME[answer.outcome]] * num_others),
    ]


def _by_source(counts: _ModelCounts) -> tuple[tuple[str, int], ...]:
    return (
        ("local_compute", counts.num_prompt_tokens - counts.num_reused),
        ("local_cache_hit", counts.num_reused),
        ("external_kv_transfer", 0),
    )


class AnswerCounts:
    """Of every model that answered. That of this process is there from the start."""

    def __init__(self, sources: MetricSources) -> None:
        self._sources = sources
        self._names = BoundedLabel(_MOST_MODELS)
        self._models: dict[str, _ModelCounts] = {}
        # An engine that is loaded again tells none for a while, and buckets stay as they were.
        self._windows: dict[str, int] = {}
        if sources.local is not None:
            self._of(sources.model)

    def grew(self, model: str, since_s: float) -> None:
        self._of(model).tallies[STEPS.name].observe(since_s)

    def ended(self, answer: AnswerSummary) -> None:
        self._of(answer.model).add(answer)

    def families(self) -> Iterator[Metric]:
        if (own := self._sources.own_model) != NO_MODEL:
            self._of(own)
        shown = self._models or {own: _ModelCounts()}
        yield from _token_families(shown)
        yield from _uncounted_families(shown)
        yield _success_family(shown)
        yield from self._prefix_families(shown)
        for histogram in _ALL:
            yield self._histogram_family(histogram, shown)

    def _of(self, model: str) -> _ModelCounts:
        name = self._names.of(model)
        if name not in self._models:
            self._models[name] = _ModelCounts()
        return self._models[name]

    def _prefix_families(self, models: _Models) -> Iterator[Metric]:
        """The engine's own numbers here, and what answers tell of other servers' models."""
        queries = CounterMetricFamily(
            "vllm:prefix_cache_queries", "Prompt tokens looked up for reuse.", labels=LABELS
        )
        hits = CounterMetricFamily(
            "vllm:prefix_cache_hits", "Prompt tokens found there.", labels=LABELS
        )
        stats = self._sources.stats
        for name, counts in models.items():
            looked_up, found = counts.num_prompt_tokens, counts.num_reused
            if self._is_here(name):
                looked_up, found = stats.prefix_queries, stats.prefix_hits
            queries.add_metric((name, ENGINE), looked_up)
            hits.add_metric((name, ENGINE), found)
        yield from (queries, hits)

    def _histogram_family(self, histogram: Histogram, models: _Models) -> Metric:
        family = HistogramMetricFamily(histogram.name, histogram.meaning, labels=LABELS)
        for name, counts in models.items():
            tally = counts.tallies[histogram.name]
            highest = self._window(name) if histogram.counts_tokens else None
            if histogram.counts_tokens and highest is None and self._is_here(name):
                # Its bounds are not known before it is loaded, and no answer is.
                continue
            family.add_metric((name, ENGINE), tally.buckets(highest), tally.sum)
        return family

    def _window(self, model: str) -> int | None:
        if model not in self._windows and (window := self._sources.window(model)) is not None:
            self._windows[model] = window
        return self._windows.get(model)

    def _is_here(self, model: str) -> bool:
        return self._sources.local is not None and model == self._sources.model


def _token_families(models: _Models) -> Iterator[Metric]:
    prompt = CounterMetricFamily("vllm:prompt_tokens", "Tokens of prompts.", labels=LABELS)
    cached = CounterMetricFamily(
        "vllm:prompt_tokens_cached", "Tokens of prompts that were reused.", labels=LABELS
    )
    by_source = CounterMetricFamily(
        "vllm:prompt_tokens_by_source",
        "Tokens of prompts, by whether they were computed or reused.",
        labels=(*LABELS, "source"),
    )
    made = CounterMetricFamily("vllm:generation_tokens", "Tokens of answers.", labels=LABELS)
    for name, counts in models.items():
        prompt.add_metric((name, ENGINE), counts.num_prompt_tokens)
        cached.add_metric((name, ENGINE), counts.num_reused)
        made.add_metric((name, ENGINE), counts.num_completion_tokens)
        for source, number in _by_source(counts):
            by_source.add_metric((name, ENGINE, source), number)
    yield from (prompt, cached, by_source, made)


def _uncounted_families(models: _Models) -> Iterator[Metric]:
    """Other servers need not tell how many tokens an answer has."""
    answers = CounterMetricFamily(
        "jarvis_uncounted_answers",
        "Answers whose server told no numbers of tokens.",
        labels=("model_name",),
    )
    events = CounterMetricFamily(
        "jarvis_uncounted_events",
        "Their events: about one a token, and a few more.",
        labels=("model_name",),
    )
    for name, counts in models.items():
        answers.add_metric((name,), counts.num_uncounted)
        events.add_metric((name,), counts.num_uncounted_events)
    yield from (answers, events)


def _success_family(models: _Models) -> Metric:
    family = CounterMetricFamily(
        "vllm:request_success",
        "Choices that ended, by why.",
        labels=(*LABELS, "finished_reason"),
    )
    for name, counts in models.items():
        for reason, number in counts.num_by_reason.items():
            family.add_metric((name, ENGINE, reason), number)
    return family
