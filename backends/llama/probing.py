"""Tries a model in a child process before the in-process load. Owns the child and the verdict.

A native crash can't be caught in-process: one in the child becomes a ModelLoadError instead of a
dead server. A verdict that was good is remembered for the same file, options and build.
"""

import asyncio
import hashlib
import json
import logging
import os
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Protocol

from backends.llama.options import LlamaOptions
from core.errors import EngineUnavailable, ModelLoadError

logger = logging.getLogger(__name__)

_PROJECT = Path(__file__).resolve().parents[2]


class Probe(Protocol):
    """Something that says whether a model may be loaded in-process."""

    async def run(self) -> None:
        """Raises ModelLoadError if it may not."""
        ...

    def cancel(self) -> None:
        """Ends a run under way."""
        ...


class ChildProbe:
    """Loads the model and computes a few tokens in a child process of the same interpreter."""

    def __init__(
        self, options: LlamaOptions, cache_dir: Path, program: str = "backends.llama.probe"
    ) -> None:
        """`program` is the module that the child runs, with the options as its argument."""
        self._program = program
        self._options = options
        self._verdicts = cache_dir / "probes"
        self._child: asyncio.subprocess.Process | None = None
        self._is_cancelled = False

    async def run(self) -> None:
        """Raises ModelLoadError; EngineUnavailable where it was cancelled."""
        if not self._options.model_path.is_file():
            raise ModelLoadError(f"there is no model file {self._options.model_path}")
        verdict = self._verdicts / await asyncio.to_thread(
            _fingerprint, self._options, self._program
        )
        if not verdict.exists():
            await self._run_child()
            # It is only tried again the next time where nothing can be written.
            with suppress(OSError):
                verdict.parent.mkdir(parents=True, exist_ok=True)
                verdict.touch()

    def cancel(self) -> None:
        self._is_cancelled = True
        if self._child is not None and self._child.returncode is None:
            self._child.kill()

    async def _run_child(self) -> None:
        self._child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._program,
            json.dumps(asdict(self._options), default=str),
            str(os.getpid()),
            cwd=_PROJECT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            if self._is_cancelled:
                self.cancel()
            output, log = await self._child.communicate()
        finally:
            if self._child.returncode is None:
                self._child.kill()
        if self._is_cancelled:
            raise EngineUnavailable("the engine was closed while it loaded")
        self._judge(self._child.returncode or 0, output, log)

    def _judge(self, returncode: int, output: bytes, log: bytes) -> None:
        name = self._options.model_path.name
        if returncode < 0:
            logger.error("probe=%s log=%r", name, log[-2000:].decode("utf-8", "replace"))
            fault = signal.Signals(-returncode).name
            raise ModelLoadError(
                f"llama.cpp crashed ({fault}) when it tried {name}: the file is damaged, or this "
                "build does not suit this CPU (then remove .venv and run ./run.sh setup again)"
            )
        if returncode != 0:
            lines = output.decode("utf-8", "replace").strip().splitlines()
            raise ModelLoadError(lines[-1] if lines else f"llama.cpp could not load {name}")


def _fingerprint(options: LlamaOptions, program: str) -> str:
    """Names the file's state, the options, the native build and the program; not the content."""
    stat = options.model_path.stat()
    try:
        package = metadata.distribution("llama_cpp_python").locate_file("llama_cpp")
    except metadata.PackageNotFoundError as error:
        raise ModelLoadError(
            "llama-cpp-python is not installed: run ./run.sh setup --engine llama_cpp"
        ) from error
    library = Path(str(package)) / "lib"
    build = sorted((entry.name, entry.stat().st_mtime_ns) for entry in library.iterdir())
    facts = (program, asdict(options), stat.st_size, stat.st_mtime_ns, build)
    return hashlib.sha256(json.dumps(facts, default=str, sort_keys=True).encode()).hexdigest()
