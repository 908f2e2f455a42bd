"""Owns the life of an engine that a process holds: load, ready, dead and loaded again, failed,
draining, closed.

Knows no engine in particular and nothing of what it makes: what opens it is passed in.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, Protocol, TypeVar, runtime_checkable

from backends.restart_rules import RestartRules, Restarts
from backends.step_watch import StepWatch
from core.errors import EngineUnavailable, JarvisError
from core.lifecycle import EngineState, EngineStatus, LoadProgress


class Living(Protocol):
    """What every backend has, whichever seam it stands below."""

    async def start(self, report: Callable[[LoadProgress], None]) -> None: ...

    async def wait_failed(self) -> str: ...

    async def close(self) -> None: ...


@runtime_checkable
class Abandonable(Protocol):
    """A backend that can be given up while it hangs."""

    async def abandon(self, reason: str) -> bool:
        """Ends live sequences with EngineFailed, and the engine by force; `close` is quick then.

        False where a part of it can't be ended while this process lives.
        """
        ...


@dataclass(frozen=True, slots=True)
class Death:
    """Why an engine that was ready counts as dead. One that hangs still has to be ended."""

    reason: str
    is_stall: bool = False


B = TypeVar("B", bound=Living)
NO_RESTARTS = RestartRules()


class EngineLife(Generic[B]):
    """Loads in the background while the server already answers. Belongs to one event loop."""

    # How errors call it.
    role: ClassVar[str] = "engine"

    def __init__(
        self,
        engine: str,
        open_backend: Callable[[Callable[[LoadProgress], None]], Awaitable[B]],
        rules: RestartRules = NO_RESTARTS,
    ) -> None:
        self._status = EngineStatus(EngineState.LOADING, engine)
        self._progress: LoadProgress | None = None
        self._open_backend = open_backend
        self._rules = rules
        self._restarts = Restarts(rules)
        self._num_restarts = 0
        self._death: Death | None = None
        self._watch: StepWatch | None = None
        self._backend: B | None = None
        self._life: asyncio.Task[None] | None = None
        self._on_change: Callable[[], None] | None = None
        self._last_reason = ""
        self._has_given_up = asyncio.Event()
        # Several live in one process: a line names its kind.
        self._logger = logging.getLogger(type(self).__module__)

    @property
    def status(self) -> EngineStatus:
        if self._status.state is EngineState.LOADING:
            return replace(self._status, progress=self._progress)
        return self._status

    async def given_up(self) -> str:
        """Returns, with the reason in a line, when an engine that was ready died and can't be
        brought back; else never, also where the first load failed.
        """
        await self._has_given_up.wait()
        return self._last_reason

    async def close(self) -> None:
        """Refuses new requests, ends live ones with an error, frees the engine. Idempotent."""
        if self._status.state in (EngineState.CLOSED, EngineState.DRAINING):
            return
        self._become(EngineState.DRAINING)
        try:
            if self._backend is not None:
                await self._backend.close()
        finally:
            await self._end_life()
            self._become(EngineState.CLOSED)

    def _begin(
        self, adopt: Callable[[B], Awaitable[None]], on_change: Callable[[], None] | None
    ) -> None:
        """Begins to load. `adopt` is awaited with the loaded backend before the state is READY."""
        self._on_change = on_change
        self._life = asyncio.get_running_loop().create_task(self._live(adopt))

    def _ready_backend(self) -> B:
        """Raises EngineUnavailable unless the state is READY."""
        state = self._status.state
        if self._backend is None or state is not EngineState.READY:
            reason = f": {self._status.reason}" if self._status.reason else ""
            raise EngineUnavailable(f"the {self.role} is {state}{reason}")
        return self._backend

    def _num_steps(self, backend: B) -> int:
        """How many steps the engine has made since it was loaded."""
        raise NotImplementedError

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """The engine has work until this ends."""
        watch = self._watch
        if watch is not None:
            watch.begin()
        try:
            yield
        finally:
            if watch is not None:
                watch.end()

    async def _end_life(self) -> None:
        if self._life is None:
            return
        self._life.cancel()
        await asyncio.gather(self._life, return_exceptions=True)

    async def _live(self, adopt: Callable[[B], Awaitable[None]]) -> None:
        failure = await self._load(adopt)
        if failure is not None:
            self._become(EngineState.FAILED, failure)
            await self._end_dead()
            return
        while failure is None:
            self._become(EngineState.READY)
            failure = await self._survive(adopt)
        self._become(EngineState.FAILED, failure)
        # Before the engine is closed, which may hang.
        if self._status.state is EngineState.FAILED:
            self._has_given_up.set()
        await self._end_dead()

    async def _load(self, adopt: Callable[[B], Awaitable[None]]) -> str | None:
        """Loads an engine; else returns why it can't be."""
        try:
            backend = await self._open_backend(self._report)
            self._refuse_if_closing()
            self._backend = backend
            await backend.start(self._report)
            await adopt(backend)
        except JarvisError as error:
            return str(error)
        except Exception as error:
            self._logger.exception("engine=%s failed to load", self._status.engine)
            return f"loading failed with {type(error).__name__}; the log has the details"
        return None

    async def _survive(self, adopt: Callable[[B], Awaitable[None]]) -> str | None:
        """Waits for the ready engine's death and loads another; else returns why it can't."""
        assert self._backend is not None
        loop = asyncio.get_running_loop()
        ready_at = loop.time()
        death = self._death = await self._wait_death(self._backend)
        self._restarts.forget_row(loop.time() - ready_at)
        failure: str | None = death.reason
        while failure is not None:
            delay_s = self._restarts.next_delay()
            if delay_s is None:
                return failure
            self._become(EngineState.LOADING, f"{failure}; it is loaded again")
            if not await self._end_dead():
                return failure
            # It was of the engine that is ended now: the next one may fail in its own way.
            self._death = None
            await asyncio.sleep(delay_s)
            failure = await self._load(adopt)
        self._death = None
        self._num_restarts += 1
        return None

    async def _wait_death(self, backend: B) -> Death:
        """By its own word, or because it makes no step."""
        if self._rules.step_timeout_s is None:
            return Death(await backend.wait_failed())
        watch = StepWatch(self._rules.step_timeout_s, lambda: self._num_steps(backend))
        self._watch = watch
        deaths = asyncio.create_task(backend.wait_failed())
        stalls = asyncio.create_task(watch.wait_stalled())
        try:
            await asyncio.wait({deaths, stalls}, return_when=asyncio.FIRST_COMPLETED)
            return Death(await deaths) if deaths.done() else Death(await stalls, is_stall=True)
        finally:
            watch.close()
            self._watch = None
            deaths.cancel()
            stalls.cancel()

    async def _end_dead(self) -> bool:
        """What can't be closed must not keep another engine from being loaded. False: what hangs
        can't be ended, and would compute beside that other one.
        """
        backend, death = self._backend, self._death
        try:
            if death is not None and death.is_stall:
                is_ended = isinstance(backend, Abandonable) and await backend.abandon(death.reason)
                if not is_ended:
                    return False
            if backend is not None:
                await backend.close()
        except Exception:
            self._logger.exception("engine=%s could not be closed", self._status.engine)
        return True

    def _refuse_if_closing(self) -> None:
        if self._status.state is EngineState.DRAINING:
            raise EngineUnavailable(f"the {self.role} was closed while it loaded")

    def _become(self, state: EngineState, reason: str | None = None) -> None:
        """What happens to an engine that closes changes nothing."""
        if self._status.state is EngineState.DRAINING and state is not EngineState.CLOSED:
            return
        self._progress = None
        engine, num_restarts = self._status.engine, self._num_restarts
        self._status = EngineStatus(state, engine, reason=reason, num_restarts=num_restarts)
        self._last_reason = reason or self._last_reason
        level = logging.INFO if reason is None else logging.ERROR
        self._logger.log(level, "engine=%s state=%s %s", self._status.engine, state, reason or "")
        if self._on_change is not None:
            self._on_change()

    def _report(self, progress: LoadProgress) -> None:
        """From any thread: one assignment, shown only while loading."""
        self._progress = progress
