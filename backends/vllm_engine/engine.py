"""Owns every call into vLLM, behind typed wrappers. The one file that imports it.

Import it lazily and off the event loop: it takes seconds. vLLM's exceptions become ModelLoadError
and EngineFailed here. vLLM computes in a process of its own, with workers below that one.
"""

import asyncio
import contextlib
import dataclasses
import functools
import importlib.util
import multiprocessing
import threading
import traceback
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

import psutil
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.exceptions import VLLMValidationError
from vllm.inputs import tokens_input
from vllm.platforms import current_platform
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from backends.base import TokenRequest, TokenStep
from backends.vllm_engine.children import child_ids
from backends.vllm_engine.core_process import bound_to_us
from backends.vllm_engine.sampling_params import (
    needs_preparing,
    only_our_end_ids,
    sampling_params,
)
from backends.vllm_engine.step_stats import StepStats
from backends.vllm_engine.steps import step_of
from backends.vllm_engine.worker_heap import CALL, EXTENSION
from core.engine_stats import EngineStats
from core.errors import EngineFailed, ModelLoadError

_ENGINE_PROCESS = "EngineCore"
_GRACE_S = 10.0
# vLLM tells nobody which processes it starts: one start at a time, so that each knows its own.
_STARTING = threading.Lock()


def argument_names() -> frozenset[str]:
    """What the installed vLLM can be told about its engine."""
    return frozenset(field.name for field in dataclasses.fields(AsyncEngineArgs))


def is_cpu() -> bool:
    """Whether this vLLM computes on the CPU."""
    return bool(current_platform.is_cpu())


def reads_gguf() -> bool:
    """Whether vllm-gguf-plugin is there, whose kernels are for CUDA."""
    has_plugin = importlib.util.find_spec("vllm_gguf_plugin") is not None
    return has_plugin and bool(current_platform.is_cuda())


class VllmEngine:
    """A running AsyncLLM. Made and shut down in any thread; all else belongs to the event loop."""

    def __init__(self, args: Mapping[str, Any], context_window: int) -> None:
        """Blocks until the engine process is ready, for half a minute or more.

        The window is cut to the model's own. AsyncLLM needs no running loop to be made: it starts
        its tasks with the first call that has one. Raises ModelLoadError.
        """
        with _STARTING:
            others = child_ids()
            config = self._start(args, context_window)
            self._processes = _descendants_of_engine(others)
        self.context_window: int = config.model_config.max_model_len
        self.num_slots: int = config.scheduler_config.max_num_seqs
        self._watched: list[int] = []
        self._on_death: Callable[[], None] = lambda: None
        self._asking: asyncio.Task[Any] | None = None
        self._giving_back: asyncio.Task[Any] | None = None
        self._has_worker_heap = args.get("worker_extension_cls") == EXTENSION

    def _start(self, args: Mapping[str, Any], context_window: int) -> Any:
        try:
            own = AsyncEngineArgs(**args).create_model_config().max_model_len
            window = min(context_window, own)
            config = AsyncEngineArgs(**args, max_model_len=window).create_engine_config()
            # Statistics without vLLM's loggers: given one of ours, it collects them all the same.
            with bound_to_us():
                self._llm: Any = AsyncLLM.from_vllm_config(
                    config, disable_log_stats=True, stat_loggers=[StepStats]
                )
            self._step_stats: Any = self._llm.logger_manager.stat_loggers[0]
        # A wrong model or argument shows as nearly any exception, from any depth.
        except Exception as error:
            # The trace would keep the half-made engine, with its sockets, for as long as it lives.
            traceback.clear_frames(error.__traceback__)
            raise ModelLoadError(f"vLLM can't load the model: {_one_line(error)}") from error
        return config

    async def prepare(self, on_death: Callable[[], None]) -> None:
        """The first call on the loop. `on_death` is called when the engine process ends.

        Raises EngineFailed where it has ended, or was shut down, before this returned.
        """
        loop = asyncio.get_running_loop()
        self._on_death = on_death
        self._watched = self._sentinels()
        for sentinel in self._watched:
            loop.add_reader(sentinel, self._tell_death)
        # Asked for now, since vLLM asks with the first request, and waits for ever if that fails.
        self._asking = loop.create_task(self._llm.get_supported_tasks())
        await asyncio.wait({self._asking})
        if self._asking.cancelled() or self._asking.exception():
            raise EngineFailed("vLLM's engine process ended right after its start")
        if self._has_worker_heap:
            self._step_stats.on_many = self._give_heap_back

    def _give_heap_back(self) -> None:
        """Of an engine that dies meanwhile others tell."""
        if self._giving_back is None or self._giving_back.done():
            giving = asyncio.create_task(self._llm.collective_rpc(CALL))
            giving.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._giving_back = giving

    @property
    def stats(self) -> EngineStats:
        stats: EngineStats = self._step_stats.stats
        return stats

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenStep, None]:
        """Raises EngineFailed. Closing the generator waits until the abort is on its way."""
        prompt = tokens_input(list(request.prompt_ids), cache_salt=request.cache_salt)
        params = sampling_params(request)
        if needs_preparing(request):
            prompt = await self._prepared(prompt, params, request)
        self._step_stats.note_request()
        outputs = self._llm.generate(prompt, params, request.id, priority=request.priority)
        async with aclosing(outputs):
            while True:
                step = step_of(await self._next_output(outputs), request)
                yield step
                if step.finish is not None:
                    return

    async def _prepared(self, prompt: Any, params: Any, request: TokenRequest) -> Any:
        """What vLLM makes of a request, in a thread: it may compile a grammar for a second."""
        process = functools.partial(
            self._llm.input_processor.process_inputs,
            request.id,
            prompt,
            params,
            supported_tasks=await self._llm.get_supported_tasks(),
            priority=request.priority,
        )
        try:
            prepared = await asyncio.to_thread(process)
        except (ValueError, VLLMValidationError) as error:
            raise EngineFailed(f"vLLM refused the request: {_one_line(error)}") from error
        only_our_end_ids(prepared.sampling_params)
        return prepared

    async def _next_output(self, outputs: AsyncGenerator[Any, None]) -> Any:
        try:
            return await anext(outputs)
        except EngineDeadError as error:
            # Also where the process lives on, but vLLM no longer listens to it.
            self._on_death()
            raise EngineFailed("vLLM's engine ended while it worked on the request") from error
        except EngineGenerateError as error:
            reason = _one_line(error.__cause__ or error)
            raise EngineFailed(f"vLLM failed on the request: {reason}") from error

    def fail_live(self) -> None:
        """Ends every live sequence: a shutdown alone would leave them waiting."""
        for task in (self._asking, self._giving_back):
            if task is not None:
                task.cancel()
        self._llm.output_processor.propagate_error(EngineDeadError())

    def end_reading(self) -> None:
        """Before a shutdown, whose end of the process vLLM would else log as a failure."""
        if self._llm.output_handler is not None:
            self._llm.output_handler.cancel()

    def unwatch(self) -> None:
        """Before a shutdown, after which the sentinels may be other files."""
        loop = asyncio.get_running_loop()
        for sentinel in self._watched:
            loop.remove_reader(sentinel)
        self._watched = []

    def kill(self) -> None:
        """Blocks until no process is left, however it hangs. A shutdown must follow."""
        _kill(self._processes)

    def shutdown(self) -> None:
        """Blocks until no process is left."""
        try:
            self._llm.shutdown(timeout=_GRACE_S)
        finally:
            _kill(self._processes)

    async def release(self) -> None:
        """After a shutdown, which leaves vLLM's tasks to the loop and its sockets' context open."""
        resources = self._llm.engine_core.resources
        own = (self._asking, self._giving_back)
        tasks = (resources.output_queue_task, self._llm.output_handler, *own)
        living = [task for task in tasks if task is not None]
        if living:
            await asyncio.wait(living, timeout=_GRACE_S)
        resources.ctx.destroy(linger=0)
        self._llm = None

    def _sentinels(self) -> list[int]:
        processes = self._llm.engine_core.resources.engine_manager
        # Ray's actors have none: there, a request that fails is the only sign.
        return list(processes.sentinels()) if hasattr(processes, "sentinels") else []

    def _tell_death(self) -> None:
        self.unwatch()
        self.fail_live()
        self._on_death()


def kill_starting_engine(others: frozenset[int]) -> None:
    """Ends an engine process that is still loading, which ends the load with ModelLoadError.

    `others` are the children that were there before the load: none of them is ours to end.
    """
    _kill(_descendants_of_engine(others))


def _descendants_of_engine(others: frozenset[int]) -> list[psutil.Process]:
    """The engine process and those below it. Each knows its start time, so none is mistaken."""
    found: list[psutil.Process] = []
    for child in multiprocessing.active_children():
        if child.name.startswith(_ENGINE_PROCESS) and child.pid not in {None, *others}:
            with contextlib.suppress(psutil.NoSuchProcess):
                parent = psutil.Process(child.pid)
                found += [parent, *parent.children(recursive=True)]
    return found


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=_GRACE_S)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
