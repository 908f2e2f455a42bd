"""Owns the way from a request to its choices: render, encode, compile, refuse or admit.

Knows no HTTP and no engine in particular. Everything that a client can see is made here or above.
"""

import asyncio
import logging
from dataclasses import dataclass, field

from backends.base import EngineHost, ModelCard, Tokenizer
from chat_formats.detection import load_format, template_disagreement
from core.engine_stats import EngineStats
from core.errors import EngineUnavailable
from core.grammar import Grammar
from core.lifecycle import EngineStatus
from core.messages import Conversation, Message
from core.requests import GenerationRequest, Prompt
from core.sampling_defaults import NOTHING, SamplingValues, resolve
from core.thinking import Thinking
from core.tool_choice import ToolChoice
from serving.admission import Admission, AnswerTerms
from serving.answers.planning import AnswerPlanner, CompiledAnswer
from serving.capabilities import LoadedFacts
from serving.encoding import EncodedPrompt
from serving.fingerprint import system_fingerprint
from serving.generation import Generation, IsCutShort, Task
from serving.prompting import Prompter, special_tokens
from serving.structures.compiler import StructureCompiler
from serving.turns import QueueRules, Turns

logger = logging.getLogger(__name__)

# Below this many characters, rendering and encoding cost less than a hand-over to a thread.
_INLINE_CHARACTERS = 4096


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


class GenerationService:
    """The pipeline over one engine host."""

    def __init__(self, host: EngineHost, options: ServingOptions) -> None:
        self._host = host
        self._options = options
        self._model: LoadedModel | None = None
        self._compiler = StructureCompiler()
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
    ) -> EncodedPrompt:
        """The prompt of a conversation. Raises InvalidConversation, InvalidValue or
        EngineUnavailable.
        """
        wanted = GenerationRequest(
            id="",
            prompt=conversation,
            tool_choice=tool_choice or ToolChoice(),
            thinking=thinking or Thinking(),
        )
        prompt = self._ready_model().planner.adapt(wanted).prompt
        return await self._make_prompt(prompt, None)

    async def prepare(self, request: GenerationRequest) -> list[Generation]:
        """Refuses, or accepts and gives the choices; no engine works yet.

        The prompt is made once for all of them. Raises RequestError, EngineUnavailable or
        QueueFull.
        """
        model = self._ready_model()
        with self.turns.coming(request.num_choices):
            tasks, is_cut_short = await self._prepared(model, request)
        self.turns.check([len(task.prompt.token_ids) for task in tasks])
        return [Generation(self._host, task, is_cut_short, self.turns) for task in tasks]

    async def _prepared(
        self, model: LoadedModel, request: GenerationRequest
    ) -> tuple[list[Task], IsCutShort]:
        planner, own = model.planner, request.prompt
        request = planner.adapt(request)
        compiled = None
        if planner.needs_compiling(request):
            compiled = await asyncio.to_thread(planner.compile, request)
        prompt = await self._make_prompt(request.prompt, request.suffix)
        rules = planner.rules(request, prompt, own if isinstance(own, Conversation) else None)
        grammar = compiled.grammar if compiled is not None else None
        terms = AnswerTerms(grammar, rules, planner.shown_ids(rules))
        tasks = model.admission.tasks(request, prompt, terms)
        return tasks, self._cut_short_check(compiled)

    def _cut_short_check(self, compiled: CompiledAnswer | None) -> IsCutShort:
        def is_cut_short(_: Grammar, text: bytes) -> bool:
            return compiled is not None and self._compiler.is_cut_short(compiled.spelled, text)

        return is_cut_short

    async def _make_prompt(self, prompt: Prompt, suffix: str | None) -> EncodedPrompt:
        prompter = self._ready_model().prompter
        size = _size(prompt) + len(suffix or "")
        if prompter.is_instant and size <= _INLINE_CHARACTERS:
            return prompter.make(prompt, suffix)
        return await asyncio.to_thread(prompter.make, prompt, suffix)

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


def _size(prompt: Prompt) -> int:
    """About how many characters there are to render and encode. Tools are always many."""
    if not isinstance(prompt, Conversation):
        return len(prompt)
    if prompt.tools:
        return _INLINE_CHARACTERS + 1
    return sum(map(_message_size, prompt.messages))


def _message_size(message: Message) -> int:
    calls = sum(len(call.name) + len(call.arguments) for call in message.tool_calls)
    return len(message.content or "") + len(message.reasoning or "") + calls + 16
