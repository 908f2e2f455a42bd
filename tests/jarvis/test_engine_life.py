"""How the library's engines start, end, and are left."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from core.errors import EngineFailed, EngineUnavailable, ModelLoadError, UpstreamFailed
from jarvis import AsyncEngine, Engine, EngineConfig
from jarvis.options import DEFAULT_MAX_TOKENS
from tests.engines import MODEL, ROOT
from tests.jarvis.shared_backends import opening
from tests.jarvis.watched_script import CONFIG, WatchedScript

WAIT_S = 4
LONG = 3000
# Steps that are made before all wait for ever.
STALLING = 5


def scripted(backend: WatchedScript) -> Engine:
    return Engine(CONFIG, open_backend=opening(backend))


def engine_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "jarvis-engine"]


def test_an_engine_is_available_from_its_start_to_its_end() -> None:
    backend = WatchedScript()
    engine = scripted(backend)
    assert not engine.is_available()
    assert engine.reason == "the engine was not started"
    with pytest.raises(EngineUnavailable, match="not started"):
        engine.generate("Hello")
    with engine:
        assert engine.is_available()
        assert engine.reason is None
    assert not engine.is_available()
    assert engine.reason == "the engine is closed"
    with pytest.raises(EngineUnavailable):
        _ = backend.card
    with pytest.raises(EngineUnavailable, match="closed"):
        engine.generate("Hello")
    with pytest.raises(EngineUnavailable, match="closed"):
        next(engine.stream("Hello"))
    engine.close()
    with pytest.raises(RuntimeError, match="another one"):
        engine.start()


def test_a_plain_prompt_goes_on_for_as_long_as_by_default_also_where_none_is_given() -> None:
    with scripted(WatchedScript()) as engine:
        usages = [engine.generate("Hello", **given).usage for given in ({}, {"max_tokens": None})]
    assert {usage.completion_tokens for usage in usages} == {DEFAULT_MAX_TOKENS}


async def test_an_asynchronous_one_is_too() -> None:
    engine = AsyncEngine(CONFIG, open_backend=opening(WatchedScript()))
    assert not await engine.is_available()
    with pytest.raises(EngineUnavailable, match="not started"):
        await engine.generate("Hello")
    async with engine:
        assert await engine.is_available()
    assert not await engine.is_available()
    with pytest.raises(EngineUnavailable, match="closed"):
        await engine.chat("Hello")
    await engine.close()


def test_a_model_that_cannot_be_loaded_fails_the_start_and_leaves_no_thread() -> None:
    engine = Engine(EngineConfig(model="models/none.gguf"))
    with pytest.raises(ModelLoadError, match=r"none\.gguf"):
        engine.start()
    assert not engine.is_available()
    assert not engine_threads()


def test_an_engine_that_dies_says_why_it_is_not_available() -> None:
    backend = WatchedScript()
    with scripted(backend) as engine:
        stream = engine.stream("Hello", max_tokens=LONG)
        assert next(stream)
        engine._started.submit(_call(lambda: backend.fail("it ran dry")))
        with pytest.raises(EngineFailed, match="it ran dry"):
            list(stream)
        assert not engine.is_available()
        assert engine.reason == "it ran dry"
        with pytest.raises(EngineUnavailable, match="it ran dry"):
            engine.chat("Hello")


async def _call(call: Callable[[], None]) -> None:
    call()


def test_a_stream_that_is_left_is_aborted() -> None:
    def close(engine: Engine) -> None:
        stream = engine.stream("Hello", max_tokens=LONG)
        assert next(stream) == "a"
        stream.close()
        assert list(stream) == []
        with pytest.raises(RuntimeError, match="before the answer's end"):
            stream.result()

    def leave(engine: Engine) -> None:
        for _ in engine.chat_stream("Hello", max_tokens=LONG):
            break

    def raise_within(engine: Engine) -> None:
        with pytest.raises(ZeroDivisionError), engine.stream("Hello", max_tokens=LONG) as stream:
            raise ZeroDivisionError(next(stream))

    for way in (close, leave, raise_within):
        backend = WatchedScript(STALLING)
        with scripted(backend) as engine:
            way(engine)
            assert backend.was_aborted.wait(WAIT_S), way.__name__
            assert len(backend.requests) == 1


def test_a_stream_that_is_never_read_asks_for_nothing() -> None:
    backend = WatchedScript()
    with scripted(backend) as engine:
        engine.stream("Hello").close()
        engine.stream("Hello")
        assert engine.is_available()
    assert not backend.requests


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Also where tests were started in the background, with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_wait_ends_what_it_waited_for() -> None:
    def interrupt() -> None:
        if not is_told.is_set():
            is_told.set()
            signal_main()

    is_told = threading.Event()
    for call in ("generate", "stream"):
        is_told.clear()
        backend = WatchedScript(STALLING, interrupt)
        with scripted(backend) as engine:
            with pytest.raises(KeyboardInterrupt):
                list(getattr(engine, call)("Hello", max_tokens=LONG))
            assert backend.was_aborted.wait(WAIT_S)
            assert engine.is_available()


def signal_main() -> None:
    """As Ctrl-C does."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def test_closing_ends_what_other_threads_wait_for() -> None:
    backend = WatchedScript(STALLING)
    engine = scripted(backend).start()
    outcomes: list[BaseException] = []

    def wait(call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:
            outcomes.append(error)

    calls: list[Callable[[], object]] = [
        lambda: engine.generate("Hello", max_tokens=LONG),
        lambda: list(engine.stream("Hello", max_tokens=LONG)),
    ]
    threads = [threading.Thread(target=wait, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    assert backend.has_begun.wait(WAIT_S)
    engine.close()
    for thread in threads:
        thread.join(WAIT_S)
    assert len(outcomes) == len(calls)
    assert all(isinstance(each, EngineFailed | EngineUnavailable) for each in outcomes), outcomes
    assert not engine_threads()


def test_an_engine_that_nobody_holds_is_closed() -> None:
    def use() -> None:
        assert scripted(WatchedScript()).start().generate("Hello", max_tokens=3).text == "abc"

    use()
    gc.collect()
    for thread in engine_threads():
        thread.join(WAIT_S)
    assert not engine_threads()


async def test_a_running_loop_in_the_callers_thread_does_not_matter() -> None:
    with scripted(WatchedScript()) as engine:
        assert engine.generate("Hello", max_tokens=3).text == "abc"
        assert "".join(engine.stream("Hello", max_tokens=3)) == "abc"


def test_an_asynchronous_engine_belongs_to_one_loop() -> None:
    engine = AsyncEngine(CONFIG, open_backend=opening(WatchedScript()))
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(engine.start())
        with pytest.raises(EngineUnavailable, match="another event loop"):
            second.run(engine.generate("Hello"))
        first.run(engine.close())


def test_two_engines_live_in_one_process() -> None:
    with scripted(WatchedScript()) as first, scripted(WatchedScript()) as second:
        streams = [engine.stream("Hello", max_tokens=26) for engine in (first, second)]
        assert [next(stream) for stream in streams] == ["a", "a"]
        first.close()
        assert "".join(streams[1]) == "bcdefghijklmnopqrstuvwxyz"
        assert second.is_available()


def test_a_server_that_is_down_is_not_available_and_can_come_later() -> None:
    config = EngineConfig("remote", "some-model", base_url="http://127.0.0.1:9")
    with Engine(config) as engine:
        assert not engine.is_available()
        assert "127.0.0.1:9" in (engine.reason or "")
        with pytest.raises(UpstreamFailed):
            engine.generate("Hello")


FORGETFUL = """
import atexit, os, sys
from jarvis import Engine, EngineConfig, EngineUnavailable

engine = Engine(EngineConfig(model=sys.argv[1])).start()
child = os.fork()
if not child:
    assert not engine.is_available()
    assert "forked" in engine.reason
    try:
        engine.generate("Hello")
    except EngineUnavailable as error:
        print(error, flush=True)
    engine.close()
    sys.exit(0)
os.waitpid(child, 0)
stream = engine.stream("Once upon", max_tokens=3000, temperature=1)
print(next(stream))
atexit.register(lambda: print(engine.reason))
"""


FORGETFUL_OF_VLLM = """
import sys
from jarvis import Engine, EngineConfig

if __name__ == "__main__":
    engine = Engine(EngineConfig("vllm", sys.argv[1])).start()
    stream = engine.stream("Once upon", max_tokens=3000, temperature=1)
    print(next(stream))
"""


def living_of(group: int) -> list[psutil.Process]:
    """Those that have ended and wait to be collected are not among them."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            is_over = process.status() == psutil.STATUS_ZOMBIE
            if os.getpgid(process.pid) == group and not is_over:
                found.append(process)
    return found


def run_to_its_end(program: Path, code: str) -> str:
    """What it prints. Fails where a process of its is left."""
    program.write_text(code)
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(program), str(MODEL)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        assert not psutil.wait_procs(living_of(process.pid), timeout=5)[1]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return output


@pytest.mark.engine
def test_a_program_that_forgets_to_close_ends_and_its_forks_are_told(tmp_path: Path) -> None:
    told, first, reason = run_to_its_end(tmp_path / "program.py", FORGETFUL).splitlines()
    assert "stayed in the process that forked" in told
    assert first
    assert reason == "the engine is closed"


@pytest.mark.engine
@pytest.mark.long
def test_a_program_that_forgets_to_close_vllm_leaves_no_process(tmp_path: Path) -> None:
    assert run_to_its_end(tmp_path / "program.py", FORGETFUL_OF_VLLM).strip()
