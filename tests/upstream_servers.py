"""Real servers of several kinds on loopback, for tests of what stands before them.

Each is a process of its own, started at once and waited for where its URL is first asked for.
"""

import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psutil

from benchmarks.servers.process import free_port
from core.upstreams import UpstreamKind

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "models" / "jarvis-tiny.gguf"
MODEL_ID = MODEL.stem
WINDOW = 1024
# Read instead of the user's own .env.
_NO_SETTINGS = ROOT / "benchmarks" / "servers" / "no_settings.env"
_HOST = "127.0.0.1"
_MAIN = (
    *(sys.executable, str(ROOT / "main.py"), "--host", _HOST, "--port", "0"),
    *("--env-file", str(_NO_SETTINGS)),
)
_READY_S = 240
_STOP_S = 30
_UVICORN = re.compile(r"Uvicorn running on http://127\.0\.0\.1:(\d+)")
# vLLM hands its socket to uvicorn, which then says no more than this, just before it listens.
_STARTED = re.compile(r"Application startup complete")
_OURS = re.compile(r"serving on http://127\.0\.0\.1:(\d+)")
_OURS_READY = re.compile(r"state=ready")


@dataclass(frozen=True, slots=True)
class Launch:
    """How one is started. It is ready when it has printed each of `signs`, in this order, and
    listens; the group in one of them is its port, where that is left to it.
    """

    kind: UpstreamKind
    command: tuple[str, ...]
    signs: tuple[re.Pattern[str], ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None


def inherited() -> dict[str, str]:
    """This process's variables without the settings of a server that the user runs."""
    own = ("JARVIS_", "VLLM_")
    return {name: text for name, text in os.environ.items() if not name.startswith(own)}


def vllm(cache: Path) -> Launch:
    """vLLM's own server, on the folder that is made of the shipped model in `cache`."""
    environ = {
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "auto",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TQDM_DISABLE": "1",
    }
    port = free_port()
    command = (sys.executable, "-m", "tests.upstream_servers", str(cache), str(port))
    return Launch(UpstreamKind.VLLM, command, (_STARTED,), environ, port)


def llama_cpp() -> Launch:
    """llama-cpp-python's own server, which answers one request after another."""
    options = {
        "--model": str(MODEL),
        "--model_alias": MODEL_ID,
        "--n_ctx": str(WINDOW),
        "--n_threads": "1",
        "--n_threads_batch": "1",
        # Else a new request ends the one that is being answered.
        "--interrupt_requests": "false",
        "--logits_all": "false",
        "--verbose": "false",
        "--host": _HOST,
        "--port": "0",
    }
    flags = (part for pair in options.items() for part in pair)
    command = (sys.executable, "-m", "llama_cpp.server", *flags)
    return Launch(UpstreamKind.LLAMA_CPP, command, (_UVICORN,))


def jarvis(cache: Path, **settings: str) -> Launch:
    """This project's server on the llama.cpp engine."""
    environ = {
        "JARVIS_INFERENCE_ENGINE": "llama_cpp",
        "JARVIS_MODEL_NAME": str(MODEL),
        "JARVIS_MODEL_CONTEXT_WINDOW": str(WINDOW),
        "JARVIS_LLAMA_MAX_NUM_SEQS": "8",
        "JARVIS_LLAMA_THREADS": "1",
        "JARVIS_CACHE_DIR": str(cache),
        **settings,
    }
    return Launch(UpstreamKind.JARVIS, _MAIN, (_OURS, _OURS_READY), environ)


def remote(**settings: str) -> Launch:
    """This project's server with no engine, before upstreams that `settings` name."""
    environ = {"JARVIS_INFERENCE_ENGINE": "remote", **settings}
    return Launch(UpstreamKind.JARVIS, _MAIN, (_OURS,), environ)


class UpstreamServer:
    """One server, under way from the constructor on. What it prints is read as it comes, so that it
    never blocks on a pipe.
    """

    def __init__(self, launch: Launch) -> None:
        self.kind = launch.kind
        self.output: list[str] = []
        self._launch = launch
        self._url: str | None = None
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.process = subprocess.Popen(
            launch.command,
            cwd=ROOT,
            env={**inherited(), "PYTHONUNBUFFERED": "1", **launch.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def root_url(self) -> str:
        """Waits until it is ready. Fails, with all that it printed, where it ends before."""
        if self._url is None:
            self._url = f"http://{_HOST}:{self._wait_for_signs()}"
            with httpx2.Client(transport=httpx2.HTTPTransport(retries=5)) as client:
                client.get(f"{self._url}/v1/models").raise_for_status()
        return self._url

    @property
    def base_url(self) -> str:
        """What paths such as `chat/completions` stand behind; waits like `root_url`."""
        return f"{self.root_url}/v1"

    def kill(self) -> None:
        """At once, with all its processes, as where the machine's memory runs out."""
        self._end(self.processes())

    def stop(self) -> None:
        """Asks ours first; others may take half a minute, and nothing is tested of it. Harmless
        when it has ended.
        """
        tree = self.processes()
        if self.kind is UpstreamKind.JARVIS:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_STOP_S)
        self._end(tree)

    def processes(self) -> list[psutil.Process]:
        """It and those below it, as long as it runs."""
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        return []

    def _end(self, tree: list[psutil.Process]) -> None:
        for process in tree:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(_STOP_S)
        left = psutil.wait_procs(tree, timeout=_STOP_S)[1]
        self._reader.join(_STOP_S)
        assert not left, f"still there: {left}"

    def _wait_for_signs(self) -> int:
        port = self._launch.port
        for sign in self._launch.signs:
            found = self.wait_for(sign)
            port = int(found[1]) if found.re.groups else port
        assert port is not None
        return port

    def wait_for(self, sign: re.Pattern[str]) -> re.Match[str]:
        """In what it prints from here on. Fails, with all that it printed, where it ends before."""
        while True:
            try:
                line = self._lines.get(timeout=_READY_S)
            except queue.Empty:
                line = None
            assert line is not None, f"{self.kind} is not ready:\n" + "".join(self.output)
            found = sign.search(line)
            if found is not None:
                return found

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self.output.append(line)
                self._lines.put(line)
        self._lines.put(None)


@contextmanager
def running(*launches: Launch) -> Iterator[tuple[UpstreamServer, ...]]:
    """All started at the same time and none waited for; stopped together at the end."""
    servers: list[UpstreamServer] = []
    try:
        servers += map(UpstreamServer, launches)
        yield tuple(servers)
    finally:
        with ThreadPoolExecutor(max(len(servers), 1)) as pool:
            outcomes = [pool.submit(server.stop) for server in servers]
        for outcome in outcomes:
            outcome.result()


def _become_vllm(cache: Path, port: str) -> None:
    """Replaces this process with vLLM's server, when the folder that it reads is written."""
    from backends.conversion_listener import Listener
    from backends.vllm_engine.conversion import Form, convert
    from backends.vllm_engine.gguf_file import read_gguf

    listener = Listener(lambda _: None, threading.Event())
    folder = convert(read_gguf(MODEL), cache / "converted", Form("float32"), listener)
    options = {
        "--model": str(folder),
        "--served-model-name": MODEL_ID,
        "--dtype": "float32",
        "--max-model-len": str(WINDOW),
        "--max-num-seqs": "8",
        "--tool-call-parser": "hermes",
        "--host": _HOST,
        "--port": port,
    }
    flags = [part for pair in options.items() for part in pair]
    module = ("-m", "vllm.entrypoints.openai.api_server", "--enforce-eager")
    command = [sys.executable, *module, "--enable-auto-tool-choice", *flags]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    _become_vllm(Path(sys.argv[1]), sys.argv[2])
