"""Owns the llama.cpp engine as the seam sees it: the loop's side of the engine thread."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

from backends.base import ModelCard, Tokenizer, TokenRequest, TokenStep, refuse_too_long
from backends.llama.engine import Emitted, EngineListener, EngineThread, Loaded
from backends.llama.grammar_masks import GrammarCompiler, GrammarMask
from backends.llama.mailbox import Mailbox
from backends.llama.options import LlamaOptions
from backends.llama.probing import Probe
from core.engine_stats import IDLE, EngineStats
from core.errors import EngineUnavailable, JarvisError
from core.lifecycle import LoadProgress

T = TypeVar("T")


class LlamaBackend:
    """Implements `backends.base.Backend`. All methods belong to the loop that called `start`."""

    def __init__(self, options: LlamaOptions, probe: Probe) -> None:
        self._options = options
        self._probe = probe
        self._engine: EngineThread | None = None
        self._loaded: asyncio.Future[Loaded] | None = None
        self._stopped: asyncio.Future[str] | None = None
        self._mailboxes: dict[int, Mailbox] = {}
        self._keys = itertools.count()
        self._is_closing = False
        self._is_abandoned = False
        self._ended = asyncio.Event()
        self._grammars: GrammarCompiler | None = None

    async def start(self, report: Callable[[LoadProgress], None]) -> None:
        """Raises ModelLoadError; EngineUnavailable where `close` came first."""
        report(LoadProgress("trying the model in a child process"))
        await self._probe.run()
        if self._is_closing:
            raise EngineUnavailable("the engine was closed while it loaded")
        loop = asyncio.get_running_loop()
        self._loaded, self._stopped = loop.create_future(), loop.create_future()
        listener = EngineListener(
            progress=report,
            loaded=lambda loaded: _call_on(loop, self._on_loaded, loaded),
            emitted=lambda emitted: _call_on(loop, self._on_emitted, emitted),
            stopped=lambda failure: _call_on(loop, self._on_stopped, failure),
        )
        engine = EngineThread(self._options, listener)
        engine.start()
        self._engine = engine
        await self._loaded

    @property
    def card(self) -> ModelCard:
        return self._result.card

    @property
    def tokenizer(self) -> Tokenizer:
        return self._result.tokenizer

    @property
    def stats(self) -> EngineStats:
        return IDLE if self._engine is None else self._engine.stats

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenStep, None]:
        engine = self._running_engine()
        refuse_too_long(request, self.card)
        grammar = await self._grammar(request)
        key = next(self._keys)
        mailbox = self._mailboxes[key] = Mailbox()
        engine.submit(key, request, grammar)
        is_finished = False
        try:
            while not is_finished:
                step = await mailbox.take()
                is_finished = step.finish is not None
                yield step
        finally:
            self._mailboxes.pop(key, None)
            if not is_finished:
                engine.abort(key)

    async def wait_failed(self) -> str:
        if self._stopped is None:
            raise EngineUnavailable("the llama.cpp engine was not started")
        return await asyncio.shield(self._stopped)

    async def close(self) -> None:
        self._is_closing = True
        self._probe.cancel()
        if self._engine is None:
            return
        self._engine.close()
        # Waited for here and not in a thread, which would wait on if this were cancelled.
        await self._ended.wait()
        if not self._is_abandoned:
            await asyncio.to_thread(self._engine.join)
        if self._grammars is not None:
            await asyncio.to_thread(self._grammars.close)

    async def abandon(self, reason: str) -> bool:
        """No thread can be ended from outside: it is left to itself, and to the process's end."""
        self._is_abandoned = True
        self._fail_all(reason)
        self._ended.set()
        return False

    async def _grammar(self, request: TokenRequest) -> GrammarMask | None:
        """Compiled before the engine hears of the request, so that nobody waits for it there."""
        if request.grammar is None:
            return None
        if self._grammars is None:
            self._grammars = GrammarCompiler(self.card.vocabulary, self.tokenizer)
        try:
            grammar = await asyncio.wrap_future(self._grammars.start(request.grammar))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and not task.cancelling():
                raise EngineUnavailable("the engine was closed while a grammar compiled") from None
            raise
        self._running_engine()
        return grammar

    @property
    def _result(self) -> Loaded:
        if self._loaded is None or not self._loaded.done() or self._loaded.exception():
            raise EngineUnavailable("the llama.cpp engine has not loaded its model")
        return self._loaded.result()

    def _running_engine(self) -> EngineThread:
        is_stopped = self._stopped is None or self._stopped.done()
        if self._engine is None or is_stopped or self._is_closing or self._is_abandoned:
            raise EngineUnavailable("the llama.cpp engine takes no requests")
        return self._engine

    def _on_loaded(self, loaded: Loaded) -> None:
        if self._loaded is not None and not self._loaded.done():
            self._loaded.set_result(loaded)

    def _on_emitted(self, emitted: list[Emitted]) -> None:
        for item in emitted:
            mailbox = self._mailboxes.get(item.key)
            if mailbox is not None:
                if item.failure is None:
                    mailbox.put(item.step)
                else:
                    mailbox.fail(item.failure)

    def _on_stopped(self, failure: JarvisError | None) -> None:
        reason = str(failure) if failure else "the engine was closed"
        if self._loaded is not None and not self._loaded.done():
            self._loaded.set_exception(failure or EngineUnavailable(reason))
        self._fail_all(reason)
        if self._stopped is not None and not self._stopped.done() and failure is not None:
            self._stopped.set_result(reason)
        self._ended.set()

    def _fail_all(self, reason: str) -> None:
        for mailbox in self._mailboxes.values():
            mailbox.fail(reason)


def _call_on(loop: asyncio.AbstractEventLoop, call: Callable[[T], None], value: T) -> None:
    """Hands over to the loop; a loop that is already closed has nobody left to tell."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(call, value)
