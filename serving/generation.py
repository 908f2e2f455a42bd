"""Owns one choice of an accepted request: from its prompt's ids to its events. Knows no HTTP."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from backends.base import EngineHost, TokenRequest, TokenStep
from core.errors import EngineFailed
from core.events import (
    FinishReason,
    GenerationEnd,
    GenerationEvent,
    PromptEchoed,
    PromptScored,
)
from core.requests import View
from serving.decoding import AnswerDecoder, TextRules
from serving.encoding import EncodedPrompt
from serving.structures.compiler import StructureCompiler


@dataclass(frozen=True, slots=True)
class Task:
    """What a choice is made of. `num_wanted` ids are the answer's, at most; with 0, the one id that
    an engine must generate is left out. `choice` counts from 0 among those of the same prompt.
    """

    prompt: EncodedPrompt
    choice: int
    tokens: TokenRequest
    rules: TextRules
    view: View
    num_wanted: int


class Generation:
    """One choice. Nothing runs before `events` is iterated; closing that aborts it."""

    def __init__(self, host: EngineHost, task: Task, compiler: StructureCompiler) -> None:
        self.prompt = task.prompt
        self.choice = task.choice
        self.view = task.view
        self.max_tokens = task.num_wanted
        self._host = host
        self._task = task
        self._compiler = compiler
        self._token_ids: list[int] = []
        num_prompt_tokens = len(task.prompt.token_ids)
        self._decoder = AnswerDecoder(host.card.vocabulary, task.rules, num_prompt_tokens)

    @property
    def num_completion_tokens(self) -> int:
        """Those that came until now, also of an answer that was cut short."""
        return self._decoder.num_tokens

    async def events(self) -> AsyncGenerator[GenerationEvent, None]:
        """What is asked of the prompt, TextDelta as text comes, then exactly one GenerationEnd.

        To be called once. Raises EngineUnavailable before the first event, EngineFailed at any
        time.
        """
        is_first = True
        async with aclosing(self._host.generate(self._task.tokens)) as steps:
            async for step in steps:
                found = self._first(step) if is_first else self._decoder.feed(step)
                is_first = False
                if self._task.tokens.grammar is not None:
                    await self._check_grammar(step)
                for event in found:
                    yield event
                if found and isinstance(found[-1], GenerationEnd):
                    return
        raise EngineFailed("the engine ended the sequence without saying why")

    async def _check_grammar(self, step: TokenStep) -> None:
        """An engine whose matcher gives up lets the end token alone through: that is no end."""
        self._token_ids += step.token_ids
        grammar, vocabulary = self._task.tokens.grammar, self._host.card.vocabulary
        if grammar is None or step.finish is not FinishReason.STOP:
            return
        *token_ids, last = self._token_ids
        if last != vocabulary.eos_id or not self._task.num_wanted:
            return
        text = b"".join(vocabulary.pieces[token_id] for token_id in token_ids)
        if await asyncio.to_thread(self._compiler.is_cut_short, grammar, text):
            raise EngineFailed(
                "the grammar became too complex in the middle of the answer, which ends before it"
                " matches"
            )

    def _first(self, step: TokenStep) -> list[GenerationEvent]:
        """What is said of the prompt comes with the first ids: until then an engine may fail."""
        events: list[GenerationEvent] = []
        if self._task.tokens.num_prompt_logprobs is not None:
            events.append(PromptScored(step.prompt_scores))
        if self.view.echoes:
            events.append(PromptEchoed(self.prompt.text))
        if self._task.num_wanted:
            return events + self._decoder.feed(step)
        num_prompt_tokens = len(self.prompt.token_ids)
        end = GenerationEnd(FinishReason.LENGTH, num_prompt_tokens, 0, step.num_cached)
        return [*events, end]
