"""Owns the way from a request to its events: render, encode, refuse or admit, generate, decode.

Knows no HTTP and no engine in particular. Everything that a client can see is made here or above.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from backends.base import EngineHost, ModelCard, Tokenizer, TokenRequest
from chat_formats.detection import load_format, template_disagreement
from core.errors import ContextLengthExceeded, EngineUnavailable
from core.events import GenerationEvent
from core.lifecycle import EngineStatus
from core.messages import Conversation
from core.requests import GenerationRequest
from serving.decoding import AnswerDecoder
from serving.encoding import EncodedPrompt
from serving.prompting import Prompter, special_tokens

logger = logging.getLogger(__name__)

# Below this many characters, rendering and encoding cost less than a hand-over to a thread.
_INLINE_CHARACTERS = 4096


class Generation:
    """One choice of an accepted request. Nothing runs before `events` is iterated; closing that
    aborts it. `choice` counts from 0 among those of the same prompt.
    """

    def __init__(
        self, host: EngineHost, request: GenerationRequest, prompt: EncodedPrompt, choice: int
    ) -> None:
        self.prompt = prompt
        self.choice = choice
        self.max_tokens = _max_tokens(host.card, request, len(prompt.token_ids))
        self._host = host
        self._request = request
        stops = (*request.stop, *prompt.stop_strings)
        self._decoder = AnswerDecoder(host.card.vocabulary, stops, len(prompt.token_ids))

    @property
    def num_completion_tokens(self) -> int:
        """Those that came until now, also of an answer that was cut short."""
        return self._decoder.num_tokens

    async def events(self) -> AsyncGenerator[GenerationEvent, None]:
        """TextDelta as text comes, then exactly one GenerationEnd. To be called once.

        Raises EngineUnavailable before the first event, EngineFailed at any time.
        """
        decoder = self._decoder
        async with aclosing(self._host.generate(self._token_request())) as steps:
            async for step in steps:
                for event in decoder.feed(step):
                    yield event
                if decoder.is_done:
                    return

    def _token_request(self) -> TokenRequest:
        return TokenRequest(
            id=f"{self._request.id}-{self.choice}",
            prompt_ids=self.prompt.token_ids,
            max_tokens=self.max_tokens,
            end_ids=frozenset(self.prompt.stop_ids),
            sampling=self._request.sampling,
            priority=self._request.priority,
            cache_salt=self._request.cache_salt,
        )


class GenerationService:
    """The pipeline over one engine host."""

    def __init__(self, host: EngineHost, chat_format: str) -> None:
        self._host = host
        self._format_choice = chat_format
        self._prompter: Prompter | None = None

    @property
    def status(self) -> EngineStatus:
        return self._host.status

    @property
    def card(self) -> ModelCard:
        """Raises EngineUnavailable until an engine is ready."""
        return self._host.card

    @property
    def format_name(self) -> str:
        """The chat format in force. Raises EngineUnavailable until an engine is ready."""
        return self._ready_prompter().format_name

    async def adopt(self, card: ModelCard, tokenizer: Tokenizer) -> None:
        """Called when an engine has loaded, before it takes requests. Raises ConfigurationError."""
        self._prompter = await asyncio.to_thread(
            _make_prompter, self._format_choice, card, tokenizer
        )

    async def render(self, conversation: Conversation) -> EncodedPrompt:
        """The prompt of a conversation. Raises InvalidConversation or EngineUnavailable."""
        return await self._make_prompt(conversation)

    async def prepare(self, request: GenerationRequest) -> list[Generation]:
        """Refuses, or accepts and gives the choices; no engine works yet.

        The prompt is made once for all of them. Raises RequestError or EngineUnavailable.
        """
        prompt = await self._make_prompt(request.prompt)
        choices = range(request.num_choices)
        return [Generation(self._host, request, prompt, choice) for choice in choices]

    async def _make_prompt(self, prompt: Conversation | str | tuple[int, ...]) -> EncodedPrompt:
        prompter = self._ready_prompter()
        if prompter.is_instant and _size(prompt) <= _INLINE_CHARACTERS:
            return prompter.make(prompt)
        return await asyncio.to_thread(prompter.make, prompt)

    def _ready_prompter(self) -> Prompter:
        _ = self._host.card  # raises where no engine is ready
        if self._prompter is None:
            raise EngineUnavailable("no model is loaded yet")
        return self._prompter


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


def _size(prompt: Conversation | str | tuple[int, ...]) -> int:
    """About how many characters there are to render and encode."""
    if not isinstance(prompt, Conversation):
        return len(prompt)
    contents = sum(len(message.content or "") + 16 for message in prompt.messages)
    calls = sum(len(call.arguments) for m in prompt.messages for call in m.tool_calls)
    return contents + calls + 1024 * len(prompt.tools)


def _max_tokens(card: ModelCard, request: GenerationRequest, num_prompt: int) -> int:
    """Raises ContextLengthExceeded, with both numbers, where prompt and answer don't fit."""
    window = card.context_window
    wanted = request.max_tokens
    if num_prompt + (wanted or 1) > window:
        asked = f" and {wanted} were asked for" if wanted is not None else ""
        raise ContextLengthExceeded(
            f"the context window holds {window} tokens; the prompt has {num_prompt}{asked}, "
            f"{num_prompt + (wanted or 1)} in all: shorten the prompt or lower max_tokens",
            param="prompt" if not isinstance(request.prompt, Conversation) else "messages",
        )
    return wanted if wanted is not None else window - num_prompt
