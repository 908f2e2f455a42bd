"""Starts the server: settings, logging, engine, application, socket. Knows no request.

vLLM's engine process imports this module again, so importing it does nothing.
"""

import argparse
import asyncio
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from backends.base import Backend
from backends.choice import open_backend
from backends.delegate import Delegate
from backends.embedding import EmbeddingBackend
from backends.embedding_choice import open_embedding_backend
from backends.embedding_delegate import EmbeddingDelegate
from backends.remote.host import RemoteHost
from backends.remote.plan import DEFAULT_FILE, plan_of
from backends.remote.report import check_report
from core.errors import ConfigurationError
from core.lifecycle import LoadProgress
from core.settings import InferenceEngine, Settings, load_settings
from core.settings_sources import read_env_file
from core.upstreams import UpstreamPlan
from serving.embedding import EmbeddingService
from serving.service import GenerationService, ServingOptions

_ROOT = Path(__file__).resolve().parent
_VARIABLES = {
    "engine": "JARVIS_INFERENCE_ENGINE",
    "model": "JARVIS_MODEL_NAME",
    "host": "JARVIS_HOST",
    "port": "JARVIS_PORT",
    "chat_format": "JARVIS_CHAT_FORMAT",
    "context_window": "JARVIS_MODEL_CONTEXT_WINDOW",
}
_BACKLOG = 2048
# What they say in detail holds URLs and headers, and so keys.
_QUIET_LOGGERS = ("httpx2", "httpcore2", "hpack")
# Longer than clients keep idle connections (5 s in httpx): else both may give one up at once, and
# a request sent at that moment is lost.
_KEEP_ALIVE_S = 75
_EXIT_UNREACHABLE = 1
_EXIT_CONFIGURATION = 2


def main(arguments: Sequence[str], environ: dict[str, str]) -> int:
    """Serves until told to stop, or only checks. Returns the exit code."""
    try:
        start = start_from(arguments, environ)
        configure_logging(start.settings)
        if start.is_check:
            return check(start)
        with listen(start.settings.host, start.settings.port) as listener:
            app = build_app(start)
            print(f"serving on {url_of(start.settings.host, listener)}", flush=True)
            serve(app, listener)
    except ConfigurationError as error:
        print(f"configuration: {error}", file=sys.stderr)
        return _EXIT_CONFIGURATION
    return 0


@dataclass(frozen=True, slots=True)
class Start:
    """What a start was asked for."""

    settings: Settings
    plan: UpstreamPlan
    is_check: bool = False


def start_from(arguments: Sequence[str], environ: Mapping[str, str]) -> Start:
    """Raises ConfigurationError; exits on --help and on unknown flags, as argparse does."""
    given = vars(parser().parse_args(arguments))
    env_file: Path | None = given["env_file"]
    if env_file is None:
        env_file = _ROOT / ".env" if (_ROOT / ".env").is_file() else None
    elif not env_file.is_file():
        raise ConfigurationError(f"--env-file {env_file}: there is no such file")
    flags = {_VARIABLES[name]: given[name] for name in _VARIABLES if given[name] is not None}
    settings = load_settings(flags, environ=environ, env_file=env_file)
    in_file = {} if env_file is None else read_env_file(env_file)
    plan = plan_of(settings, {**in_file, **environ}, _ROOT / DEFAULT_FILE)
    return Start(settings, plan, given["check"])


def check(start: Start) -> int:
    """Prints how the upstreams do. Returns 0 where all can be used, else 1."""
    settings = start.settings
    is_local = settings.inference_engine is not InferenceEngine.REMOTE
    names = (settings.served_model_id, *settings.model_aliases) if is_local else ()
    text, is_good = asyncio.run(check_report(start.plan, names))
    print(text)
    return 0 if is_good else _EXIT_UNREACHABLE


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
    """One format for our lines and the engines'; others are heard where something is wrong."""
    logging.basicConfig(
        level=logging.DEBUG if settings.debug else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("vllm").setLevel(settings.vllm_logging_level)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.DEBUG if settings.debug else logging.WARNING)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket, so that a taken port is known before anything is loaded."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"can't listen on {host} port {port}: {error.strerror}; choose another JARVIS_HOST or"
            " JARVIS_PORT (0 picks a free port)"
        ) from error


def url_of(host: str, listener: socket.socket) -> str:
    """With the port that was picked, where it was left open."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"


def build_app(start: Start) -> FastAPI:
    """The application. From its start on, its engines load in the background, and upstreams are
    looked at.

    Raises ConfigurationError.
    """
    settings = start.settings
    delegate = generation_delegate(settings)
    service = None if delegate is None else generation_service(settings, delegate)
    embedder = embedding_delegate(settings)
    upstreams = RemoteHost(start.plan) if start.plan.upstreams else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if delegate is not None and service is not None:
            delegate.start(service.adopt)
        if embedder is not None:
            embedder.start()
        if upstreams is not None:
            upstreams.start()
        try:
            yield
        finally:
            await close_all(delegate, embedder, upstreams)

    embedding = None if embedder is None else EmbeddingService(embedder)
    return create_app(settings, service, lifespan, embedding, upstreams)


def generation_delegate(settings: Settings) -> Delegate | None:
    """None where upstreams alone answer."""
    if settings.inference_engine is InferenceEngine.REMOTE:
        return None

    async def open_chosen(report: Callable[[LoadProgress], None]) -> Backend:
        return await open_backend(settings, report)

    return Delegate(settings.inference_engine, open_chosen)


def generation_service(settings: Settings, delegate: Delegate) -> GenerationService:
    options = ServingOptions(
        settings.chat_format, settings.default_sampling, settings.use_model_sampling
    )
    return GenerationService(delegate, options)


async def close_all(*engines: Delegate | EmbeddingDelegate | RemoteHost | None) -> None:
    """At once: each may take seconds. One that can't be closed keeps no other from it."""
    closings = [engine.close() for engine in engines if engine is not None]
    for outcome in await asyncio.gather(*closings, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


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

    return EmbeddingDelegate(settings.inference_engine, open_chosen)


def serve(app: FastAPI, listener: socket.socket) -> None:
    """Blocks until SIGINT or SIGTERM; the server has closed when it returns."""
    # uvicorn raises the signal once more when it has closed: a planned stop is no failure.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: None)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
    )
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        logging.getLogger(__name__).info("stopped by=keyboard")


if __name__ == "__main__":
    import os

    sys.exit(main(sys.argv[1:], dict(os.environ)))
