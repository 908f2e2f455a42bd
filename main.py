"""Starts the server: settings, logging, engine, application, socket. Knows no request.

vLLM's engine process imports this module again, before all that it needs: importing it does nothing
but to see to it that this process ends with the server.
"""

import argparse
import asyncio
import functools
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from api.app import create_app
from api.tracing.wanted import open_spans
from backends.base import Backend, ModelCard, Tokenizer
from backends.choice import open_backend
from backends.delegate import Delegate
from backends.embedding import EmbeddingBackend
from backends.embedding_choice import open_embedding_backend
from backends.embedding_delegate import EmbeddingDelegate
from backends.parent_watch import end_with_parent
from backends.remote.host import RemoteHost
from backends.remote.plan import DEFAULT_FILE, plan_of
from backends.remote.report import check_report
from backends.restart_rules import RestartRules
from core import heap
from core.errors import ConfigurationError
from core.lifecycle import LoadProgress
from core.settings import InferenceEngine, Settings, load_settings
from core.settings_sources import read_env_file
from core.upstreams import UpstreamPlan
from core.version import VERSION
from hosting.connection_limits import ConnectionStats
from hosting.exit_codes import ExitCode
from hosting.listening import listen, url_of
from hosting.log_output import QueuedLines, writing_logs
from hosting.offline import go_offline
from hosting.reloading import reloading
from hosting.server import Ending
from hosting.serving import serve, server_config
from serving.embedding import EmbeddingService
from serving.service import GenerationService, ServingOptions
from serving.turns import QueueRules

_ROOT = Path(__file__).resolve().parent
_VARIABLES = {
    "engine": "JARVIS_INFERENCE_ENGINE",
    "model": "JARVIS_MODEL_NAME",
    "host": "JARVIS_HOST",
    "port": "JARVIS_PORT",
    "chat_format": "JARVIS_CHAT_FORMAT",
    "context_window": "JARVIS_MODEL_CONTEXT_WINDOW",
}
# What they say in detail holds URLs and headers, and so keys, and texts; or is only noise.
_QUIET_LOGGERS = ("httpx2", "httpcore2", "hpack", "watchfiles", "sse_starlette")


def main(arguments: Sequence[str], environ: dict[str, str]) -> int:
    """Serves until told to stop, or only checks. Returns the exit code."""
    heap.keep_small()
    try:
        given = vars(parser().parse_args(arguments))
        sources = sources_from(given, environ)
        settings = sources.settings()
        with writing_logs(settings.log_format) as lines:
            configure_logging(settings)
            start = Start(sources, settings, sources.plan(settings))
            if settings.offline:
                go_offline(start.plan, os.environ)
            return check(start) if given["check"] else run(start, lines)
    except ConfigurationError as error:
        print(f"configuration: {error}", file=sys.stderr)
        return ExitCode.CONFIGURATION


@dataclass(frozen=True, slots=True)
class Sources:
    """Where settings come from. Both methods raise ConfigurationError."""

    flags: Mapping[str, str]
    environ: Mapping[str, str]
    env_file: Path | None

    def settings(self) -> Settings:
        return load_settings(self.flags, environ=self.environ, env_file=self.env_file)

    def plan(self, settings: Settings) -> UpstreamPlan:
        in_file = {} if self.env_file is None else read_env_file(self.env_file)
        return plan_of(settings, {**in_file, **self.environ}, _ROOT / DEFAULT_FILE)


@dataclass(frozen=True, slots=True)
class Start:
    """What a start was asked for."""

    sources: Sources
    settings: Settings
    plan: UpstreamPlan


def sources_from(given: Mapping[str, Any], environ: Mapping[str, str]) -> Sources:
    """Raises ConfigurationError."""
    env_file: Path | None = given["env_file"]
    if env_file is None:
        env_file = _ROOT / ".env" if (_ROOT / ".env").is_file() else None
    elif not env_file.is_file():
        raise ConfigurationError(f"--env-file {env_file}: there is no such file")
    flags = {_VARIABLES[name]: given[name] for name in _VARIABLES if given[name] is not None}
    return Sources(flags, environ, env_file)


def check(start: Start) -> int:
    """Prints how the upstreams do. Returns 0 where all can be used, else 1."""
    settings = start.settings
    is_local = settings.inference_engine is not InferenceEngine.REMOTE
    names = (settings.served_model_id, *settings.model_aliases) if is_local else ()
    text, is_good = asyncio.run(check_report(start.plan, names))
    print(text)
    return ExitCode.STOPPED if is_good else ExitCode.FAILED


def parser() -> argparse.ArgumentParser:
    """Few flags: each stands for a variable, and the rest is in `.env`."""
    flags = argparse.ArgumentParser(
        prog="./run.sh",
        description="Serves a model over the OpenAI HTTP API.",
        epilog="All settings are in .env.example, to be copied to .env.",
        allow_abbrev=False,
    )
    flags.add_argument("--engine", metavar="ENGINE", help="llama_cpp, vllm or remote")
    flags.add_argument("--model", help="a GGUF file, a Hugging Face folder, or a hub id")
    flags.add_argument("--host", metavar="ADDRESS", help="where to listen")
    flags.add_argument("--port", help="where to listen; 0 picks a free port")
    flags.add_argument(
        "--chat-format", metavar="FORMAT", help="auto, chatml, llama3, mistral, model or a file"
    )
    flags.add_argument("--context-window", metavar="TOKENS", help="prompt and answer together")
    flags.add_argument("--env-file", metavar="FILE", type=Path, help="read instead of .env")
    flags.add_argument(
        "--check", action="store_true", help="say which upstreams answer, and serve nothing"
    )
    return flags


def configure_logging(settings: Settings) -> None:
    """Ours are told in full; other libraries' and the engines' where something is wrong."""
    level = logging.DEBUG if settings.debug else logging.INFO
    logging.getLogger().setLevel(level)
    logging.getLogger("vllm").setLevel(settings.vllm_logging_level)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.DEBUG if settings.debug else logging.WARNING)


def run(start: Start, lines: QueuedLines) -> int:
    """Returns the exit code. Raises ConfigurationError."""
    settings, stats = start.settings, ConnectionStats()
    with listen(settings) as listener:
        engines = engines_of(start)
        app = build_app(settings, engines)
        app.state.connections = stats
        config = server_config(app, settings, stats)
        for number in (signal.SIGINT, signal.SIGTERM):
            # Until the loop listens for them, there is nothing to end.
            signal.signal(number, lambda _number, _frame: sys.exit(ExitCode.STOPPED))
        # A service may be told to read again as soon as it runs. What it would read was just read.
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)
        # In one piece, beside the lines of the log's own thread.
        print(f"serving on {url_of(settings, listener)}\n", end="", flush=True)
        ending = Ending(
            traffic=app.state.traffic,
            drain_timeout_s=settings.drain_timeout_s,
            reload=reloading(start.sources.settings, app.state.access.reload),
            given_up=engines.given_up,
            last_words=lines.end,
        )
        return serve(config, listener, ending)


@dataclass(frozen=True, slots=True)
class Engines:
    """What answers; None where the settings want none."""

    generating: Delegate | None
    embedding: EmbeddingDelegate | None
    upstreams: RemoteHost | None

    @property
    def given_up(self) -> tuple[Callable[[], Awaitable[str]], ...]:
        local = (self.generating, self.embedding)
        return tuple(each.given_up for each in local if each is not None)

    async def close(self) -> None:
        """At once: each may take seconds. One that can't be closed keeps no other from it."""
        each_one = (self.generating, self.embedding, self.upstreams)
        closings = [each.close() for each in each_one if each is not None]
        for outcome in await asyncio.gather(*closings, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome


def engines_of(start: Start) -> Engines:
    """Nothing is loaded or asked yet. Raises ConfigurationError."""
    return Engines(
        generation_delegate(start.settings),
        embedding_delegate(start.settings),
        RemoteHost(start.plan) if start.plan.upstreams else None,
    )


def build_app(settings: Settings, engines: Engines) -> FastAPI:
    """The application. From its start on, its engines load in the background, and upstreams are
    looked at.

    Raises ConfigurationError.
    """
    generating, embedder, upstreams = engines.generating, engines.embedding, engines.upstreams
    service = None if generating is None else generation_service(settings, generating)
    # OpenTelemetry reads the process's own environment itself.
    spans = open_spans(os.environ, VERSION, is_offline=settings.offline)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if generating is None or service is None:
            heap.leave_alone()
        else:
            generating.start(functools.partial(adopt, service))
        if embedder is not None:
            embedder.start()
        if upstreams is not None:
            upstreams.start()
        try:
            yield
        finally:
            await engines.close()
            if spans is not None:
                await spans.close()

    embedding = None if embedder is None else EmbeddingService(embedder, queue_rules(settings))
    return create_app(settings, service, lifespan, embedding, upstreams, spans=spans)


async def adopt(service: GenerationService, card: ModelCard, tokenizer: Tokenizer) -> None:
    """After each load of an engine, whose objects then live as long as it does."""
    await service.adopt(card, tokenizer)
    heap.leave_alone()


def generation_delegate(settings: Settings) -> Delegate | None:
    """None where upstreams alone answer."""
    if settings.inference_engine is InferenceEngine.REMOTE:
        return None

    async def open_chosen(report: Callable[[LoadProgress], None]) -> Backend:
        return await open_backend(settings, report)

    return Delegate(settings.inference_engine, open_chosen, restart_rules(settings))


def restart_rules(settings: Settings) -> RestartRules:
    return RestartRules(settings.engine_restarts, step_timeout_s=settings.step_timeout_s)


def generation_service(settings: Settings, delegate: Delegate) -> GenerationService:
    options = ServingOptions(
        settings.chat_format,
        settings.default_sampling,
        settings.use_model_sampling,
        queue_rules(settings),
    )
    return GenerationService(delegate, options)


def queue_rules(settings: Settings) -> QueueRules:
    return QueueRules(settings.max_queue, settings.max_queue_tokens)


def embedding_delegate(settings: Settings) -> EmbeddingDelegate | None:
    """None where the settings name no embedding model. Raises ConfigurationError."""
    model = settings.embedding_model
    if model is None:
        return None
    if settings.inference_engine is InferenceEngine.REMOTE:
        raise ConfigurationError(
            "JARVIS_EMBEDDING_MODEL is held by an engine, and JARVIS_INFERENCE_ENGINE is remote:"
            " leave it empty, and ask an upstream for vectors"
        )

    async def open_chosen(report: Callable[[LoadProgress], None]) -> EmbeddingBackend:
        report(LoadProgress(f"finding {model}"))
        return await open_embedding_backend(settings.inference_engine, model, settings)

    return EmbeddingDelegate(settings.inference_engine, open_chosen, restart_rules(settings))


if __name__ == "__mp_main__":
    end_with_parent(os.getppid())
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], dict(os.environ)))
