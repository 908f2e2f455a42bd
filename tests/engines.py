"""Opens real engines on the shipped model for tests, and serves them over real HTTP."""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from backends.base import Backend, TokenRequest
from backends.delegate import Delegate
from backends.llama.backend import LlamaBackend
from backends.llama.from_settings import llama_options
from backends.llama.probing import ChildProbe
from core.engine_stats import EngineStats
from core.events import FinishReason
from core.lifecycle import EngineState, LoadProgress
from core.sampling import SamplingPlan
from core.settings import Settings, load_settings
from hosting.connection import connection_class
from hosting.connection_limits import ConnectionStats, connection_limits
from serving.service import GenerationService, ServingOptions
from serving.turns import QueueRules
from tests.script import scripted_backend

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "models" / "jarvis-tiny.gguf"
GREEDY = SamplingPlan(temperature=0.0)


def settings_for(engine: str, **flags: str) -> Settings:
    values = {"JARVIS_INFERENCE_ENGINE": engine, "JARVIS_MODEL_NAME": str(MODEL), **flags}
    return load_settings(values, environ={}, env_file=None)


def llama_backend(cache: Path) -> Backend:
    settings = settings_for("llama_cpp", JARVIS_CACHE_DIR=str(cache))
    options = llama_options(settings, MODEL)
    return LlamaBackend(options, ChildProbe(options, settings.cache_dir))


def vllm_backend(cache: Path) -> Backend:
    # Here and not at the top: suites of the other backends must not depend on it.
    from backends.vllm_engine.backend import VllmBackend

    return VllmBackend(settings_for("vllm", JARVIS_CACHE_DIR=str(cache)), MODEL)


# Each gets the run's own cache folder, so that nothing of an earlier run is relied on.
MAKERS: dict[str, Callable[[Path], Backend]] = {
    "scripted": lambda _: scripted_backend(),
    "llama": llama_backend,
    "vllm": vllm_backend,
}


@dataclass(frozen=True)
class Answer:
    """All ids of one sequence, and how it ended."""

    token_ids: tuple[int, ...]
    finish: FinishReason | None


@dataclass
class Engine:
    """A backend under test with what the suites need of it."""

    kind: str
    backend: Backend
    reports: list[LoadProgress] = field(default_factory=list)

    def prompt(self, text: str) -> tuple[int, ...]:
        return tuple(self.backend.tokenizer.encode(text, with_control=True))

    def request(
        self,
        prompt_ids: tuple[int, ...],
        max_tokens: int = 24,
        *,
        end_ids: frozenset[int] = frozenset(),
        sampling: SamplingPlan = GREEDY,
    ) -> TokenRequest:
        return TokenRequest(uuid.uuid4().hex, prompt_ids, max_tokens, end_ids, sampling)

    async def answer(self, request: TokenRequest) -> Answer:
        token_ids: list[int] = []
        finish: FinishReason | None = None
        async for step in self.backend.generate(request):
            assert finish is None, "nothing comes after the end"
            token_ids += step.token_ids
            finish = step.finish
        return Answer(tuple(token_ids), finish)


class StartedBackend:
    """A backend that is started already, to be shared: starting and closing it do nothing."""

    def __init__(self, backend: Backend) -> None:
        self.card = backend.card
        self.tokenizer = backend.tokenizer
        self.generate = backend.generate
        self.wait_failed = backend.wait_failed
        self._backend = backend

    @property
    def stats(self) -> EngineStats:
        return self._backend.stats

    async def start(self, report: Callable[[LoadProgress], None]) -> None:
        report(LoadProgress("started before"))

    async def close(self) -> None:
        """Left to who started it."""


@asynccontextmanager
async def serve(
    backend: Backend, engine: str, chat_format: str, **flags: str
) -> AsyncIterator[str]:
    """The whole application over a started backend, on a free port; yields its base URL."""
    async with listening(application(backend, engine, chat_format, **flags)) as url:
        yield url


def application(backend: Backend, engine: str, chat_format: str, **flags: str) -> FastAPI:
    """Over a started backend."""

    async def open_backend(_: Callable[[LoadProgress], None]) -> Backend:
        return StartedBackend(backend)

    delegate = Delegate(engine, open_backend)
    settings = settings_for(engine, **flags)
    queue = QueueRules(settings.max_queue, settings.max_queue_tokens)
    service = GenerationService(delegate, ServingOptions(chat_format, queue=queue))
    is_ready = asyncio.Event()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        delegate.start(service.adopt, on_change=is_ready.set)
        await is_ready.wait()
        assert delegate.status.state is EngineState.READY, delegate.status.reason
        yield
        await delegate.close()

    return create_app(settings, service, lifespan)


def listener_on_loopback() -> socket.socket:
    """asyncio sends small pieces at once only where a socket names its protocol, which those of
    `socket.create_server` don't: each answer would wait 40 ms for the client's acknowledgement.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(2048)
    except BaseException:
        listener.close()
        raise
    return listener


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[str]:
    """Serves an application by uvicorn on a free loopback port."""
    with listener_on_loopback() as listener:
        config = uvicorn.Config(
            app,
            http=connection_class(connection_limits(settings_for("llama_cpp")), ConnectionStats()),
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="on",
            timeout_keep_alive=75,
        )
        server = uvicorn.Server(config)
        # Its `serve` would take over the process's signals, which are pytest's.
        task = asyncio.create_task(server._serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task
