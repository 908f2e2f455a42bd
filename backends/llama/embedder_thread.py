"""Owns the thread of an embedding model: takes commands between batches, hands vectors out.

Knows no event loop: what goes out is given to callables that must be safe to call from here.
Everything native lives and dies on this thread.
"""

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.embedding import EmbeddingCard, InputEncoder, Vector
from backends.llama import native_environment
from backends.llama.embedder_queue import EmbedderQueue
from backends.llama.options import LlamaOptions
from core.errors import EngineFailed, EngineUnavailable, JarvisError
from core.lifecycle import LoadProgress

if TYPE_CHECKING:
    from backends.llama.embedder import Embedder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedEmbedder:
    """What the loop needs of a loaded model."""

    card: EmbeddingCard
    encoder: InputEncoder


@dataclass(frozen=True, slots=True)
class Embedded:
    """All vectors of the job `key`, or why it failed: then there are none."""

    key: int
    vectors: list[Vector]
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class EmbedderListener:
    """Where the thread reports to. `stopped` comes last, exactly once, None if it was closed."""

    progress: Callable[[LoadProgress], None]
    loaded: Callable[[LoadedEmbedder], None]
    embedded: Callable[[Embedded], None]
    stopped: Callable[[JarvisError | None], None]


@dataclass(frozen=True, slots=True)
class _Submit:
    key: int
    inputs: Sequence[tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class _Abort:
    key: int


@dataclass(frozen=True, slots=True)
class _Close:
    pass


_Command = _Submit | _Abort | _Close


class EmbedderThread:
    """A thread that loads one embedding model and serves it until `close`."""

    def __init__(self, options: LlamaOptions, listener: EmbedderListener) -> None:
        self._options = options
        self._listener = listener
        self._commands: queue.SimpleQueue[_Command] = queue.SimpleQueue()
        self._closing = threading.Event()
        # Written by the thread alone; anybody may read it.
        self.num_steps = 0
        self._thread = threading.Thread(target=self._main, name="llama-embedder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, key: int, inputs: Sequence[tuple[int, ...]]) -> None:
        """From any thread. Keys are never reused."""
        self._commands.put(_Submit(key, inputs))

    def abort(self, key: int) -> None:
        """From any thread; unknown and finished keys are fine."""
        self._commands.put(_Abort(key))

    def close(self) -> None:
        """From any thread: ends a load or the current batch, then the thread."""
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
            logger.exception("the thread of the embedding model died")
            failure = EngineFailed(f"the embedding engine died of {type(error).__name__}")
        if self._closing.is_set() and failure is not None:
            failure = EngineUnavailable("the embedding engine was closed while it loaded")
        self._listener.stopped(failure)

    def _load_and_serve(self) -> None:
        self._listener.progress(LoadProgress("loading llama.cpp"))
        native_environment.prepare()
        # Here and not at the top: importing the bindings loads the native library.
        from backends.llama.bindings import LogRoute
        from backends.llama.embedder import Embedder

        route = LogRoute(self._options.log_level)
        try:
            embedder = Embedder(self._options, self._progress, route)
            try:
                self._listener.loaded(LoadedEmbedder(embedder.card, embedder.encoder))
                self._serve(embedder)
            finally:
                embedder.close()
        finally:
            route.close()

    def _progress(self, share: float) -> bool:
        self._listener.progress(LoadProgress(f"loading {self._options.model_path.name}", share))
        return not self._closing.is_set()

    def _serve(self, embedder: "Embedder") -> None:
        waiting = EmbedderQueue(embedder.limits)
        while self._take_commands(waiting):
            self._compute(waiting, embedder)

    def _take_commands(self, waiting: EmbedderQueue) -> bool:
        """Applies what has come; waits for something where there is no work. False: close."""
        must_wait = not waiting.has_work
        while must_wait or not self._commands.empty():
            command = self._commands.get()
            must_wait = False
            match command:
                case _Close():
                    return False
                case _Abort(key):
                    waiting.abort(key)
                case _Submit(key, inputs):
                    waiting.submit(key, inputs)
        return True

    def _compute(self, waiting: EmbedderQueue, embedder: "Embedder") -> None:
        batch = waiting.next_batch()
        if not batch:
            return
        outcomes = embedder.compute([each.token_ids for each in batch])
        self.num_steps += 1
        for each, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, EngineFailed):
                waiting.abort(each.key)
                self._listener.embedded(Embedded(each.key, [], failure=str(outcome)))
                continue
            complete = waiting.accept(each, outcome)
            if complete is not None:
                self._listener.embedded(Embedded(each.key, complete))
