"""Owns the way from a request to its choices: render, encode, compile, refuse or admit.

Knows no HTTP and no engine in particular. Everything that a client can see is made here or above.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from backends.base import EngineHost, ModelCard, Tokenizer
from chat_formats.detection import load_format, template_disagreement
from core.engine_stats import EngineStats
from core.errors import EngineUnavailable
from core.grammar import Grammar
from core.lifecycle import EngineStatus
from core.messages import Conversation, Message
from core.requests import GenerationRequest, SamplingWish
from core.sampling_defaults import NOTHING, SamplingValues, resolve
from core.thinking import Thinking
from core.tool_choice import ToolChoice
from serving.admission import Admission, AnswerTerms, check_scores
from serving.answers.planning import AnswerPlanner, CompiledAnswer
from serving.capabilities import LoadedFacts
from serving.encoding import EncodedPrompt
from serving.fair_threads import FairThreads
from serving.fingerprint import system_fingerprint
from serving.generation import Generation, IsCutShort, Task
from serving.prompting import Prompter, special_tokens
from serving.sampling_plans import MadePlan
from serving.structures.compiler import StructureCompiler
from serving.tokenization import Tokenization
from serving.turns import Claim, QueueRules, Turns

T = TypeVar("T")

logger = logging.getLogger(__name__)

# Below this many characters, rendering and encoding cost less than a hand-over to a thread.
_INLINE_CHARACTERS = 4096
# A template renders one prompt at a time all the same; more threads encode long texts.
PROMPT_THREADS = min(4, max(2, os.cpu_count() or 1))
# Prompts that nothing answers: no more of them than these are before one that is to be answered.
_SIDE_THREADS = 2


@dataclass(frozen=True, slots=True)
class ServingOptions:
    """What the operator chose: the chat format, the sampling of requests that don't say, how much
    may wait.
    """

    chat_format: str = "auto"
    default_sampling: SamplingValues = field(default_factory=lambda: NOTHING)
    uses_model_sampling: bool = True
    queue: QueueRules = field(default_factory=QueueRules)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What the pipeline made of a model when it was loaded."""

    prompter: Prompter
    planner: AnswerPlanner
    admission: Admission
    facts: LoadedFacts

    def makes_at_once(self, requests: Sequence[GenerationRequest]) -> bool:
        """Whether all their prompts cost less than a hand-over to a thread."""
        return self.prompter.is_instant and sum(map(_size, requests)) <= _INLINE_CHARACTERS


class GenerationService:
    """The pipeline over one engine host."""

    def __init__(self, host: EngineHost, options: ServingOptions) -> None:
        self._host = host
        self._options = options
        self._model: LoadedModel | None = None
        self._compiler = StructureCompiler()
        self._prompt_threads = FairThreads("prompts", PROMPT_THREADS)
        self._side_threads = FairThreads("side-work", _SIDE_THREADS, options.queue.max_waiting)
        self.turns = Turns(options.queue)

    @property
    def status(self) -> EngineStatus:
        return self._host.status

    @property
    def stats(self) -> EngineStats:
        """How the engine is."""
        return self._host.stats

    @property
    def card(self) -> ModelCard:
        """Raises EngineUnavailable until an engine is ready."""
        return self._host.card

    @property
    def tokenizer(self) -> Tokenizer:
        """Raises EngineUnavailable until an engine is ready."""
        return self._host.tokenizer

    @property
    def facts(self) -> LoadedFacts:
        """What is loaded, and how it is served. Raises EngineUnavailable until it is."""
        return self._ready_model().facts

    async def adopt(self, card: ModelCard, tokenizer: Tokenizer) -> None:
        """Called when an engine has loaded, before it takes requests. Raises ConfigurationError."""
        self._model = await asyncio.to_thread(self._make_model, card, tokenizer)
        self.turns.open(card.num_slots)

    async def render(
        self,
        conversation: Conversation,
        tool_choice: ToolChoice | None = None,
        thinking: Thinking | None = None,
        account: str = "",
    ) -> EncodedPrompt:
        """The prompt of a conversation, which nothing answers. Raises InvalidConversation,
        InvalidValue, EngineUnavailable or QueueFull.
        """
        wanted = GenerationRequest(
            id="",
            prompt=conversation,
            tool_choice=tool_choice or ToolChoice(),
            thinking=thinking or Thinking(),
        )
        model = self._ready_model()
        wanted = model.planner.adapt(wanted)
        if model.makes_at_once([wanted]):
            return model.prompter.make(wanted.prompt)
        claim = Claim(account, 0, _size(wanted))
        return await self._side_threads.run(claim, lambda: model.prompter.make(wanted.prompt))

    def tokenization(self, account: str = "") -> Tokenization:
        """Raises EngineUnavailable until an engine is ready."""
        return Tokenization(self.card, self.tokenizer, self._side_threads, account)

    async def prepare(self, *requests: GenerationRequest) -> list[Generation]:
        """Refuses, or accepts and gives the choices of each; no engine works yet.

        The requests are one client's, and differ in their prompts alone. Each prompt is made once
        for all of its choices. Raises RequestError, EngineUnavailable or QueueFull.
        """
        model = self._ready_model()
        with self.turns.coming(sum(each.num_choices for each in requests)):
            made = await self._prepared(model, requests)
        tasks = [task for of_prompt, _ in made for task in of_prompt]
        check_scores(tasks)
        self.turns.check([len(task.prompt.token_ids) for task in tasks])
        return [
            Generation(self._host, task, is_cut_short, self.turns)
            for of_prompt, is_cut_short in made
            for task in of_prompt
        ]

    async def _prepared(
        self, model: LoadedModel, requests: Sequence[GenerationRequest]
    ) -> list[tuple[list[Task], IsCutShort]]:
        first = requests[0]
        is_long = _wish_size(first.sampling) > _INLINE_CHARACTERS
        plan = await self._done(first, lambda: model.admission.plan(first), is_long=is_long)
        is_long = not model.makes_at_once(requests)
        return [await self._tasks(model, each, plan, is_long=is_long) for each in requests]

    async def _tasks(
        self, model: LoadedModel, request: GenerationRequest, plan: MadePlan, *, is_long: bool
    ) -> tuple[list[Task], IsCutShort]:
        planner, own = model.planner, request.prompt
        request = planner.adapt(request)
        compiled = None
        if planner.needs_compiling(request):
            compiled = await self._done(request, partial(planner.compile, request), is_long=True)
        make = partial(model.prompter.make, request.prompt, request.suffix, must_fit=True)
        prompt = await self._done(request, make, is_long=is_long)
        rules = planner.rules(request, prompt, own if isinstance(own, Conversation) else None)
        grammar = compiled.grammar if compiled is not None else None
        terms = AnswerTerms(grammar, rules, planner.shown_ids(rules))
        tasks = model.admission.tasks(request, prompt, terms, plan)
        return tasks, self._cut_short_check(compiled)

    async def _done(self, request: GenerationRequest, work: Callable[[], T], *, is_long: bool) -> T:
        if not is_long:
            return work()
        claim = Claim(request.account, request.priority, _size(request))
        return await self._prompt_threads.run(claim, work)

    def _cut_short_check(self, compiled: CompiledAnswer | None) -> IsCutShort:
        def is_cut_short(_: Grammar, text: bytes) -> bool:
            return compiled is not None and self._compiler.is_cut_short(compiled.spelled, text)

        return is_cut_short

    def _ready_model(self) -> LoadedModel:
        _ = self._host.card  # raises where no engine is ready
        if self._model is None:
            raise EngineUnavailable("no model is loaded yet")
        return self._model

    def _make_model(self, card: ModelCard, tokenizer: Tokenizer) -> LoadedModel:
        recommended = card.recommended if self._options.uses_model_sampling else NOTHING
        defaults = resolve(self._options.default_sampling, recommended)
        prompter = _make_prompter(self._options.chat_format, card, tokenizer)
        fingerprint = system_fingerprint(card, prompter.chat_format, defaults)
        return LoadedModel(
            prompter,
            AnswerPlanner(card, tokenizer, prompter.chat_format, self._compiler),
            Admission(card, tokenizer, defaults.plan),
            LoadedFacts(card, prompter.chat_format, defaults, prompter.infill, fingerprint),
        )


def _make_prompter(choice: str, card: ModelCard, tokenizer: Tokenizer) -> Prompter:
    """May start a process for the model's own template, and asks it a few questions."""
    special = special_tokens(card)
    chat_format = load_format(choice, special, card.chat_template)
    is_chosen_by_name = choice not in ("auto", "model")
    if is_chosen_by_name and card.chat_template is not None:
        difference = template_disagreement(chat_format, card.chat_template, special)
        if difference is not None:
            logger.warning("chat_format=%s differs=%r", chat_format.name, difference)
    logger.info("chat_format=%s model=%s", chat_format.name, card.name)
    return Prompter(card, tokenizer, chat_format)


def _size(request: GenerationRequest) -> int:
    """About how many characters there are to render and encode. Tools are always many."""
    prompt = request.prompt
    if not isinstance(prompt, Conversation):
        return len(prompt) + len(request.suffix or "")
    if prompt.tools:
        return _INLINE_CHARACTERS + 1
    return sum(map(_message_size, prompt.messages))


def _wish_size(wish: SamplingWish) -> int:
    """About as many characters of prompts take as long."""
    ids = len(wish.logit_bias) + len(wish.allowed_token_ids or ())
    return sum(map(len, wish.bad_words)) * 2 + ids


def _message_size(message: Message) -> int:
    calls = sum(len(call.name) + len(call.arguments) for call in message.tool_calls)
    return len(message.content or "") + len(message.reasoning or "") + calls + 16
