"""Owns one answer under way: from the engine's steps to events, and what is asked of it next.

An answer may take two requests of the engine: a block of thoughts is closed where its budget is
used up, and a grammar holds from where the answer begins. What was generated is the next request's
prompt then. Pure: the same ids give the same events however they are cut into steps.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from backends.base import TokenRequest, TokenStep
from core.events import FinishReason, GenerationEnd, GenerationEvent, ReasoningDelta, TextDelta
from core.sampling import SamplingPlan
from core.scores import ScoredToken
from serving.answers.reader import AnswerReader
from serving.answers.rules import AnswerRules
from serving.decoding import AnswerDecoder, Scanning

# A later request draws other noise than the first one at the same places.
_CHOICES_APART = 1 << 20
_LENGTH = FinishReason.LENGTH


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is wanted of the engine for one answer. `tokens` hold the grammar, if there is one,
    and ask for `num_wanted` ids at most.
    """

    tokens: TokenRequest
    rules: AnswerRules


class AnswerProgress:
    """Begin with `request`, feed its steps; begin anew wherever `request` has changed, until
    `is_over`. `answer_ids` are those that a grammar held for.
    """

    def __init__(self, plan: Plan, make_decoder: Callable[[], AnswerDecoder]) -> None:
        self._plan = plan
        self._make_decoder = make_decoder
        self._decoder = make_decoder()
        self._thoughts = plan.rules.thoughts
        self._reader = AnswerReader(plan.rules)
        self._ids: list[int] = []
        self._scores: tuple[ScoredToken, ...] = ()
        self._num_thought = 0
        self._num_cached: int | None = None
        self._waits = plan.rules.waits_for_answer
        self.request = replace(plan.tokens, grammar=None) if self._waits else plan.tokens
        self.is_over = False
        self.answer_ids: list[int] = []

    @property
    def num_tokens(self) -> int:
        """Those of the answer until now, what was written for the model included."""
        return self._decoder.num_tokens

    def begin(self) -> list[GenerationEvent]:
        """To be called first: a budget of no thoughts closes a block that the prompt has opened."""
        return self._close_thoughts() if self._is_spent else []

    def without_answer(self, step: TokenStep) -> GenerationEnd:
        """The end where nothing but the prompt was wanted; the id in `step` is nobody's."""
        self.is_over = True
        num_prompt_tokens = len(self._plan.tokens.prompt_ids)
        return GenerationEnd(FinishReason.LENGTH, num_prompt_tokens, 0, step.num_cached)

    def feed(self, step: TokenStep) -> list[GenerationEvent]:
        """The events of one step. What follows a change of `request` in it is dropped."""
        if self._num_cached is None:
            is_longer = self.request.prompt_ids is not self._plan.tokens.prompt_ids
            limit = len(self._plan.tokens.prompt_ids)
            self._num_cached = min(step.num_cached, limit) if is_longer else step.num_cached
        if step.num_cached != self._num_cached:
            step = replace(step, num_cached=self._num_cached)
        if not self._is_watched:
            return self._take(step)
        request, events = self.request, list[GenerationEvent]()
        for each in _single(step):
            events += self._take(each)
            if self.is_over or self.request is not request:
                break
        return events

    @property
    def _is_watched(self) -> bool:
        """Whether it matters which id brings what."""
        return not self._reader.is_plain

    def _take(self, step: TokenStep) -> list[GenerationEvent]:
        is_stopped = self._waits and step.finish is FinishReason.STOP
        if is_stopped:
            step = replace(step, token_ids=step.token_ids[:-1], scores=step.scores[:-1])
            step = replace(step, finish=None)
        self._ids += step.token_ids
        self.answer_ids += step.token_ids
        was_thinking = self._reader.is_thinking
        events = self._read(step)
        if was_thinking or self._reader.is_thinking:
            self._num_thought += len(step.token_ids)
        end = events[-1] if events and isinstance(events[-1], GenerationEnd) else None
        if self._waits and not self._reader.is_thinking and not self._reader.has_thought:
            has_answered = self._reader.is_answering or is_stopped or end is not None
            return self._begin_anew() if has_answered else []
        if self._waits and (is_stopped or self._reader.has_thought):
            return self._hold_to_grammar(events)
        if end is not None:
            return self._ended(events, end)
        if self._reader.is_over:
            return self._ended(events, self._decoder.cut())
        return events + self._close_thoughts() if self._is_spent else events

    def _read(self, step: TokenStep) -> list[GenerationEvent]:
        self._decoder.scanning = self._scanning
        found = self._decoder.feed(step)
        if self._reader.is_plain and not self._scores:
            return found
        return [part for event in found for part in self._parts(event)]

    @property
    def _scanning(self) -> Scanning:
        """The request's stop strings are looked for in what is said, not in thoughts and calls."""
        if self._reader.is_thinking:
            return Scanning.NOTHING
        if self._reader.is_calling:
            return Scanning.FORMAT
        is_in_gap = self._reader.has_thought and not self._reader.is_answering
        return Scanning.PAST_SPACE if is_in_gap else Scanning.ALL

    def _parts(self, event: GenerationEvent) -> list[GenerationEvent]:
        """Scores wait for something that they can go out with."""
        if not isinstance(event, TextDelta):
            return [event]
        self._scores += event.scores
        parts = list[GenerationEvent](self._reader.feed(event.text))
        if not self._scores or not parts:
            return parts
        first = parts[0]
        text = first.text if isinstance(first, TextDelta) else ""
        scored, self._scores = TextDelta(text, self._scores), ()
        return [scored, *parts[1:]] if isinstance(first, TextDelta) else [scored, *parts]

    def _ended(self, events: list[GenerationEvent], end: GenerationEnd) -> list[GenerationEvent]:
        """The last events; the end is told what the answer holds."""
        self.is_over = True
        said = [event for event in events if event is not end]
        scores: list[GenerationEvent] = [TextDelta("", self._scores)] if self._scores else []
        parts = self._reader.flush()
        has_calls = self._reader.has_call and end.finish_reason is FinishReason.STOP
        finish = FinishReason.TOOL_CALLS if has_calls else end.finish_reason
        told = replace(end, finish_reason=finish, num_reasoning_tokens=self._num_thought)
        return [*said, *scores, *parts, told]

    @property
    def _is_spent(self) -> bool:
        """Whether thoughts have used up their budget, and there is room to say so."""
        budget = None if self._thoughts is None else self._thoughts.budget
        is_used_up = budget is not None and self._num_thought >= budget
        return is_used_up and self._reader.is_thinking and self._has_room and self._is_whole

    @property
    def _is_whole(self) -> bool:
        return self._decoder.is_whole

    @property
    def _has_room(self) -> bool:
        assert self._thoughts is not None
        return self._num_left > len(self._thoughts.ending_ids)

    @property
    def _num_left(self) -> int:
        return self._plan.tokens.max_tokens - len(self._ids)

    def _close_thoughts(self) -> list[GenerationEvent]:
        """The block's end is written for the model, which goes on behind it."""
        assert self._thoughts is not None
        return self._write(self._thoughts.ending_ids)

    def _write(self, token_ids: tuple[int, ...]) -> list[GenerationEvent]:
        """The next request begins behind all that was generated, and these ids."""
        self._ids += token_ids
        events: list[GenerationEvent] = []
        if token_ids:
            events = self._read(TokenStep(token_ids, num_cached=self._num_cached or 0))
        tokens, is_first = self._plan.tokens, self._num_cached is None
        self._waits, self.answer_ids = False, []
        self.request = replace(
            tokens,
            id=f"{self.request.id}-answer",
            prompt_ids=(*tokens.prompt_ids, *self._ids),
            max_tokens=self._num_left,
            sampling=_later(tokens.sampling, len(self._ids)),
            num_prompt_logprobs=tokens.num_prompt_logprobs if is_first else None,
        )
        return events

    def _hold_to_grammar(self, events: list[GenerationEvent]) -> list[GenerationEvent]:
        """From here on the grammar holds. The block has ended, or the model has in the middle."""
        assert self._thoughts is not None, "nothing else is waited for"
        if self._reader.is_thinking and self._has_room:
            return events + self._write(self._thoughts.ending_ids)
        if self._reader.is_thinking:
            return self._ended(events, replace(self._decoder.cut(), finish_reason=_LENGTH))
        gap = () if self._reader.has_gap else self._thoughts.gap_ids
        said = [event for each in events for event in _without_answer(each)]
        self._reader.drop_answer()
        if not self._num_left:
            return self._ended(said, replace(self._decoder.cut(), finish_reason=_LENGTH))
        return said + self._write(gap if self._num_left > len(gap) else ())

    def _begin_anew(self) -> list[GenerationEvent]:
        """Nothing was thought, and nothing was said yet: the first request is made again. Another
        draw may think after all, where the grammar leaves room for it.
        """
        self._decoder = self._make_decoder()
        self._reader = AnswerReader(self._plan.rules)
        self._ids, self.answer_ids, self._scores = [], [], ()
        self._num_thought, self._waits = 0, False
        tokens = self._plan.tokens
        self.request = replace(tokens, id=f"{self.request.id}-answer", num_prompt_logprobs=None)
        return []


def _without_answer(event: GenerationEvent) -> Iterator[GenerationEvent]:
    """The token that ends thoughts may begin an answer, which no grammar has held for."""
    if isinstance(event, ReasoningDelta):
        yield event
    if isinstance(event, TextDelta) and event.scores:
        yield TextDelta("", event.scores)


def _single(step: TokenStep) -> Iterator[TokenStep]:
    """A step an id."""
    last = len(step.token_ids) - 1
    for index, token_id in enumerate(step.token_ids):
        yield TokenStep(
            (token_id,),
            finish=step.finish if index == last else None,
            num_cached=step.num_cached,
            scores=step.scores[index : index + 1],
        )


def _later(plan: SamplingPlan, num_before: int) -> SamplingPlan:
    seed = plan.seed
    if seed is not None:
        seed = replace(seed, choice=seed.choice + _CHOICES_APART)
    return replace(plan, min_tokens=max(plan.min_tokens - num_before, 0), seed=seed)
