"""Owns one choice of an accepted request: from its prompt's ids to its events. Knows no HTTP."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from backends.base import EngineHost, TokenRequest, TokenStep
from core.errors import EngineFailed
from core.events import (
    FinishReason,
    GenerationEvent,
    PromptEchoed,
    PromptScored,
)
from core.grammar import Grammar
from core.requests import View
from serving.answers.progress import AnswerProgress, Plan
from serving.answers.rules import AnswerRules
from serving.decoding import AnswerDecoder, TextRules
from serving.encoding import EncodedPrompt
from serving.turns import Claim, Turn, Turns

IsCutShort = Callable[[Grammar, bytes], bool]


@dataclass(frozen=True, slots=True)
class Task:
    """What a choice is made of, for `account`. `num_wanted` ids are the answer's, at most; with 0,
    the one id that an engine must generate is left out. `choice` counts from 0 among those of the
    same prompt.
    """

    prompt: EncodedPrompt
    choice: int
    tokens: TokenRequest
    rules: TextRules
    answers: AnswerRules
    view: View
    num_wanted: int
    account: str = ""
    priority: int = 0

    @property
    def claim(self) -> Claim:
        return Claim(self.account, self.priority, len(self.tokens.prompt_ids))


class Generation:
    """One choice. Nothing runs before `events` is iterated; closing that aborts it."""

    def __init__(
        self, host: EngineHost, task: Task, is_cut_short: IsCutShort, turns: Turns
    ) -> None:
        """The engine is asked when its turn has come. `is_cut_short` tells whether text that an
        engine ended is only the beginning of what its grammar matches. It is called in a thread.
        """
        self.prompt = task.prompt
        self.choice = task.choice
        self.view = task.view
        self.max_tokens = task.num_wanted
        self.num_sent_bytes = 0
        self._host = host
        self._task = task
        self._is_cut_short = is_cut_short
        self._turns = turns
        self._turn: Turn | None = None
        self._opening: list[GenerationEvent] = []
        self._has_begun = False
        self._progress = AnswerProgress(Plan(task.tokens, task.answers), self._make_decoder)

    def _make_decoder(self) -> AnswerDecoder:
        task = self._task
        return AnswerDecoder(self._host.card.vocabulary, task.rules, len(task.prompt.token_ids))

    @property
    def num_prompt_tokens(self) -> int:
        return len(self.prompt.token_ids)

    @property
    def num_completion_tokens(self) -> int:
        """Those that came until now, also of an answer that was cut short."""
        return self._progress.num_tokens

    @property
    def queue_s(self) -> float | None:
        return None if self._turn is None else self._turn.waited_s

    async def events(self) -> AsyncGenerator[GenerationEvent, None]:
        """What is asked of the prompt, the answer's parts as they come, then exactly one
        GenerationEnd.

        To be called once. Raises EngineUnavailable before the first event, EngineFailed at any
        time.
        """
        async with self._turns.turn(self._task.claim) as turn:
            self._turn = turn
            async with aclosing(self._in_turn(turn)) as events:
                async for event in events:
                    yield event

    async def _in_turn(self, turn: Turn) -> AsyncGenerator[GenerationEvent, None]:
        progress = self._progress
        self._opening = progress.begin() if self._task.num_wanted else []
        while not progress.is_over:
            request = progress.request
            async with aclosing(self._events_of(request, turn)) as events:
                async for event in events:
                    yield event
            if progress.request is request and not progress.is_over:
                raise EngineFailed("the engine ended the sequence without saying why")

    async def _events_of(
        self, request: TokenRequest, turn: Turn
    ) -> AsyncGenerator[GenerationEvent, None]:
        """What comes of one request of the engine, step by step, until another one is needed."""
        progress = self._progress
        async with aclosing(self._host.generate(request)) as steps:
            async for step in steps:
                turn.count_output(len(step.token_ids))
                found = progress.feed(step) if self._has_begun else self._first(step)
                self._has_begun = True
                await self._check_grammar(request, step)
                for event in found:
                    yield event
                if progress.is_over or progress.request is not request:
                    return

    async def _check_grammar(self, request: TokenRequest, step: TokenStep) -> None:
        """An engine whose matcher gives up lets the end token alone through: that is no end."""
        vocabulary, grammar = self._host.card.vocabulary, request.grammar
        if grammar is None or step.finish is not FinishReason.STOP or not self._task.num_wanted:
            return
        *token_ids, last = self._progress.answer_ids
        if last != vocabulary.eos_id:
            return
        text = b"".join(vocabulary.pieces[token_id] for token_id in token_ids)
        if await asyncio.to_thread(self._is_cut_short, grammar, text):
            raise EngineFailed(
                "the grammar became too complex in the middle of the answer, which ends before it"
                " matches"
            )

    def _first(self, step: TokenStep) -> list[GenerationEvent]:
        """What is said of the prompt comes with the first ids: until then an engine may fail."""
        events: list[GenerationEvent] = []
        if self._task.tokens.num_prompt_logprobs is not None:
            num_scored = len(self.prompt.token_ids) - 1
            events.append(PromptScored(step.prompt_scores[:num_scored]))
        if self.view.echoes:
            events.append(PromptEchoed(self.prompt.text))
        if self._task.num_wanted:
            return events + self._opening + self._progress.feed(step)
        return [*events, self._progress.without_answer(step)]
