"""Owns the engine thread: takes commands at step boundaries, runs steps, hands results out.

Knows no event loop: what goes out is given to two callables that must be safe to call from here.
Everything native lives and dies on this thread.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.base import ModelCard, TokenRequest, TokenStep
from backends.llama import native_environment
from backends.llama.grammar_masks import GrammarMask
from backends.llama.options import LlamaOptions
from backends.llama.scheduler import Scheduler
from backends.llama.sequence import Arrival
from backends.llama.tokenizer import LlamaTokenizer
from core.engine_stats import IDLE, EngineStats
from core.errors import JarvisError, ModelLoadError
from core.events import FinishReason
from core.lifecycle import LoadProgress

if TYPE_CHECKING:
    from backends.llama.runner import Drawn, Runner

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the loop needs of a loaded model. The tokenizer may be called from any thread."""

    card: ModelCard
    tokenizer: LlamaTokenizer


@dataclass(frozen=True, slots=True)
class Emitted:
    """What was generated of one sequence, or why it failed: then nothing else comes of it."""

    key: int
    step: TokenStep
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class EngineListener:
    """Where the thread reports to. `stopped` comes last, exactly once, None if it was closed."""

    progress: Callable[[LoadProgress], None]
    loaded: Callable[[Loaded], None]
    emitted: Callable[[list[Emitted]], None]
    stopped: Callable[[JarvisError | None], None]


@dataclass(frozen=True, slots=True)
class _Submit:
    key: int
    request: TokenRequest
    grammar: GrammarMask | None


@dataclass(frozen=True, slots=True)
class _Abort:
    key: int


@dataclass(frozen=True, slots=True)
class _Close:
    pass


_Command = _Submit | _Abort | _Close


class EngineThread:
    """A thread that loads one model and serves it until `close`."""

    def __init__(self, options: LlamaOptions, listener: EngineListener) -> None:
        self._options = options
        self._listener = listener
        self._commands: queue.SimpleQueue[_Command] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._live: dict[int, TokenRequest] = {}
        self._num_steps = 0
        self._step_s = 0.0
        # Replaced as a whole, so that any thread may read it.
        self.stats: EngineStats = IDLE
        self._thread = threading.Thread(target=self._main, name="llama-engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, key: int, request: TokenRequest, grammar: GrammarMask | None) -> None:
        """From any thread. Keys grow and are never reused."""
        self._commands.put(_Submit(key, request, grammar))

    def abort(self, key: int) -> None:
        """From any thread; unknown and finished keys are fine."""
        self._commands.put(_Abort(key))

    def close(self) -> None:
        """From any thread: ends a load or the current step, then the thread."""
        self._closing.set()
        self._commands.put(_Close())

    def join(self) -> None:
        self._thread.join()

    def _main(self) -> None:
        failure: JarvisError | None = None
        try:
            self._load_and_serve()
        except JarvisError as error:
            failure = error
        except Exception as error:
            logger.exception("the llama.cpp engine thread died")
            failure = ModelLoadError(f"the llama.cpp engine died of {type(error).__name__}")
        self._listener.stopped(failure)

    def _load_and_serve(self) -> None:
        self._report("loading llama.cpp", None)
        native_environment.prepare()
        # Here and not at the top: importing the bindings loads the native library.
        from backends.llama.bindings import LogRoute
        from backends.llama.runner import Runner

        route = LogRoute(self._options.log_level)
        try:
            runner = Runner(self._options, self._progress, route)
            try:
                self._describe_and_serve(runner)
            finally:
                runner.close()
        finally:
            route.close()

    def _describe_and_serve(self, runner: "Runner") -> None:
        card = runner.describe(self._options.model_name)
        tokenizer = LlamaTokenizer(runner.model, card.vocabulary.control_tokens())
        try:
            self._listener.loaded(Loaded(card, tokenizer))
            self._serve(runner)
        finally:
            tokenizer.close()

    def _progress(self, share: float) -> bool:
        self._report(f"loading {self._options.model_path.name}", share)
        return not self._closing.is_set()

    def _report(self, step: str, fraction: float | None) -> None:
        self._listener.progress(LoadProgress(step, fraction))

    def _serve(self, runner: "Runner") -> None:
        scheduler = Scheduler(runner.limits)
        while self._take_commands(scheduler, runner):
            self._step(scheduler, runner)

    def _take_commands(self, scheduler: Scheduler, runner: "Runner") -> bool:
        """Applies what has come; waits for something where there is no work. False: close."""
        if not scheduler.has_work:
            scheduler.check()
        must_wait = not scheduler.has_work
        while must_wait or not self._commands.empty():
            command = self._commands.get()
            must_wait = False
            if isinstance(command, _Close):
                return False
            self._apply(command, scheduler, runner)
            self._tell_stats(scheduler)
        return True

    def _apply(self, command: _Submit | _Abort, scheduler: Scheduler, runner: "Runner") -> None:
        if isinstance(command, _Abort):
            self._drop(command.key, scheduler, runner)
            return
        request = command.request
        self._live[command.key] = request
        runner.begin(command.key, request, command.grammar)
        scheduler.submit(_arrival(command.key, request))

    def _drop(self, key: int, scheduler: Scheduler, runner: "Runner") -> None:
        if self._live.pop(key, None) is not None:
            scheduler.release(key)
            runner.forget(key)

    def _step(self, scheduler: Scheduler, runner: "Runner") -> None:
        if not scheduler.has_work:
            return
        began = time.perf_counter()
        plan = scheduler.plan()
        drawn = runner.run(plan)
        emitted = [self._accept(each, scheduler, runner) for each in drawn]
        broken = next((each for each in drawn if each.is_broken), None)
        if broken is not None:
            emitted += self._heal(broken, scheduler, runner)
        self._num_steps += bool(plan.work)
        self._step_s += time.perf_counter() - began
        # Before what was generated: who has an answer's end doesn't find it running.
        self._tell_stats(scheduler)
        if emitted:
            self._listener.emitted(emitted)

    def _tell_stats(self, scheduler: Scheduler) -> None:
        """By position, since this is done at each step: keywords take longer."""
        self.stats = EngineStats(
            scheduler.num_running,
            scheduler.num_waiting,
            scheduler.kv.num_held / scheduler.kv.num_cells,
            scheduler.num_looked_up,
            scheduler.num_found,
            scheduler.num_preemptions,
            self._num_steps,
            self._step_s,
        )

    def _heal(self, broken: "Drawn", scheduler: Scheduler, runner: "Runner") -> list[Emitted]:
        """What is no number would stay in the KV cache, and spread from there. Others go on from
        their ids.
        """
        suspects = scheduler.suspects()
        for key in suspects:
            self._drop(key, scheduler, runner)
        scheduler.forget_computed()
        runner.clear()
        logger.error("the model computed what is no number: the KV cache was cleared")
        return [Emitted(key, TokenStep(()), broken.failure) for key in suspects]

    def _accept(self, drawn: "Drawn", scheduler: Scheduler, runner: "Runner") -> Emitted:
        if drawn.failure is not None:
            self._drop(drawn.key, scheduler, runner)
            return Emitted(drawn.key, TokenStep(()), drawn.failure)
        request = self._live[drawn.key]
        token_ids = _up_to_end([each.token_id for each in drawn.draws], request.end_ids)
        num_output = scheduler.accept(drawn.key, token_ids)
        num_cached = scheduler.num_cached(drawn.key)
        finish: FinishReason | None = None
        if token_ids[-1] in request.end_ids:
            finish = FinishReason.STOP
        elif num_output == request.max_tokens:
            finish = FinishReason.LENGTH
        if finish is not None:
            self._drop(drawn.key, scheduler, runner)
        scores = tuple(each.score for each in drawn.draws[: len(token_ids)] if each.score)
        step = TokenStep(tuple(token_ids), finish, num_cached, scores, drawn.prompt_scores)
        return Emitted(drawn.key, step)


def _arrival(key: int, request: TokenRequest) -> Arrival:
    """A prompt that is scored is computed anew: a salt of its own finds no prefix. Guesses are not
    worth their while where each mask waits for the id before.
    """
    scores_prompt = request.num_prompt_logprobs is not None
    return Arrival(
        key,
        request.prompt_ids,
        request.max_tokens,
        request.priority,
        ("scored", key) if scores_prompt else request.cache_salt,
        scores_prompt,
        can_draft=request.grammar is None,
    )


def _up_to_end(token_ids: list[int], end_ids: frozenset[int]) -> list[int]:
    """A draft may have run past an end id."""
    for count, token_id in enumerate(token_ids, start=1):
        if token_id in end_ids:
            return token_ids[:count]
    return token_ids
