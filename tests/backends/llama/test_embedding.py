"""What is llama.cpp's own among embedding engines: files it can't serve, and how it dies."""

import asyncio
import json
import queue
from pathlib import Path

import pytest

from backends.embedding_choice import open_embedding_backend
from backends.llama.embedder_thread import (
    Embedded,
    EmbedderListener,
    EmbedderThread,
    LoadedEmbedder,
)
from backends.llama.embedding_backend import LlamaEmbeddingBackend
from backends.llama.options import LlamaOptions
from core.errors import EngineFailed, EngineUnavailable, JarvisError, ModelLoadError
from core.lifecycle import LoadProgress
from core.settings import InferenceEngine
from tests.embedding_engines import embedding_settings, minilm_folder, minilm_gguf, opened
from tests.engines import MODEL

pytestmark = pytest.mark.engine


class NoProbe:
    """Lets every model be loaded at once."""

    async def run(self) -> None:
        """Nothing is tried."""

    def cancel(self) -> None:
        """Nothing is under way."""


class Reports:
    """What a thread tells, to be waited for. `None` is the end of a thread that was closed."""

    def __init__(self) -> None:
        self.seen: queue.SimpleQueue[LoadedEmbedder | Embedded | JarvisError | None] = (
            queue.SimpleQueue()
        )

    def listener(self) -> EmbedderListener:
        return EmbedderListener(
            progress=lambda _: None,
            loaded=self.seen.put,
            embedded=self.seen.put,
            stopped=self.seen.put,
        )


def started(cache: Path) -> tuple[EmbedderThread, Reports, LoadedEmbedder]:
    reports = Reports()
    thread = EmbedderThread(LlamaOptions(minilm_gguf(cache), "minilm"), reports.listener())
    thread.start()
    loaded = reports.seen.get()
    assert isinstance(loaded, LoadedEmbedder)
    return thread, reports, loaded


async def refusal(path: Path, cache: Path) -> str:
    backend = opened("llama_cpp", path, cache)
    with pytest.raises(ModelLoadError) as caught:
        await backend.start(lambda _: None)
    await backend.close()
    return str(caught.value)


async def test_a_chat_model_is_refused_by_name_in_a_line(cache: Path) -> None:
    message = await refusal(MODEL, cache)
    assert message == "jarvis-tiny.gguf is no embedding model: its metadata names no pooling"


async def test_a_damaged_file_is_refused_in_a_line(cache: Path, tmp_path: Path) -> None:
    whole = minilm_gguf(cache).read_bytes()
    for name, content in {"cut": whole[: len(whole) // 2], "text": b"no weights at all"}.items():
        path = tmp_path / f"{name}.gguf"
        path.write_bytes(content)
        message = await refusal(path, cache)
        assert message.startswith(f"llama.cpp could not load {name}.gguf: ")
        assert "\n" not in message


async def test_a_missing_file_is_refused_in_a_line(cache: Path, tmp_path: Path) -> None:
    assert "there is no model file" in await refusal(tmp_path / "gone.gguf", cache)


async def test_a_model_that_fails_to_load_in_process_is_a_load_error(tmp_path: Path) -> None:
    path = tmp_path / "text.gguf"
    path.write_bytes(b"no weights at all")
    backend = LlamaEmbeddingBackend(LlamaOptions(path, "text"), lambda _: NoProbe(), tmp_path)
    with pytest.raises(ModelLoadError, match=r"could not load text\.gguf"):
        await backend.start(lambda _: None)
    with pytest.raises(EngineUnavailable):
        await backend.embed("late", [(1,)])
    await backend.close()


async def test_a_name_opens_the_model_that_it_means(cache: Path) -> None:
    settings = embedding_settings("vllm", cache)
    backend = await open_embedding_backend(
        InferenceEngine.LLAMA_CPP, str(minilm_gguf(cache)), settings
    )
    await backend.start(lambda _: None)
    assert backend.card.name == "all-MiniLM-L6-v2"
    assert len(await backend.embed("one", [backend.encoder.encode("hello")])) == 1
    await backend.close()


async def test_names_that_mean_nothing_here_are_refused_by_the_right_variable(cache: Path) -> None:
    settings = embedding_settings("llama_cpp", cache)
    with pytest.raises(ModelLoadError, match="JARVIS_EMBEDDING_MODEL='no such file'"):
        await open_embedding_backend(InferenceEngine.LLAMA_CPP, "no such file", settings)


async def test_folders_that_hold_no_embedding_model_are_refused_in_a_line(
    cache: Path, tmp_path: Path
) -> None:
    folders = {"chat": {"architectures": ["LlamaForCausalLM"]}, "other": {"model_type": "xlnet"}}
    reasons = {"chat": "chat is no embedding model", "other": "other holds a xlnet model"}
    for name, config in folders.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        (tmp_path / name / "tokenizer.json").write_text("{}")
        message = await refusal(tmp_path / name, cache)
        assert message.startswith(reasons[name])
        assert "\n" not in message


async def test_closing_while_it_converts_ends_the_load(tmp_path: Path) -> None:
    backend = opened("llama_cpp", minilm_folder(), tmp_path)
    loop, is_converting = asyncio.get_running_loop(), asyncio.Event()

    def report(progress: LoadProgress) -> None:
        if progress.step.startswith("reading"):
            loop.call_soon_threadsafe(is_converting.set)

    start = asyncio.create_task(backend.start(report))
    await is_converting.wait()
    await backend.close()
    with pytest.raises(EngineUnavailable):
        await start
    left = (tmp_path / "converted-embeddings").glob("*")
    assert [path for path in left if path.is_dir()] == []


def test_an_abort_ends_a_job_between_its_batches(cache: Path) -> None:
    thread, reports, loaded = started(cache)
    text = loaded.encoder.encode("some words of a long text " * 40)
    thread.submit(1, [text] * 200)
    thread.submit(2, [loaded.encoder.encode("short")])
    thread.abort(1)
    thread.submit(3, [loaded.encoder.encode("last")])
    keys = [reports.seen.get(), reports.seen.get()]
    assert [each.key for each in keys if isinstance(each, Embedded)] == [2, 3]
    thread.close()
    thread.join()
    assert reports.seen.get() is None
    assert reports.seen.empty()


def test_a_native_failure_ends_the_thread_with_its_reason(cache: Path) -> None:
    thread, reports, _ = started(cache)
    thread.submit(1, [(10**6,)])
    failure = reports.seen.get()
    assert isinstance(failure, EngineFailed)
    assert "llama_decode returned" in str(failure)
    thread.join()


async def test_a_native_failure_fails_every_call_and_is_told(cache: Path) -> None:
    backend = LlamaEmbeddingBackend(
        LlamaOptions(minilm_gguf(cache), "minilm"), lambda _: NoProbe(), cache
    )
    await backend.start(lambda _: None)
    calls = [
        asyncio.create_task(backend.embed("x", [backend.encoder.encode("words " * 60)] * 200))
        for _ in range(3)
    ]
    await asyncio.sleep(0)
    assert backend._engine is not None
    # No valid input does it, and others are refused before.
    backend._engine.submit(-1, [(10**6,)])
    for answer in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(answer, EngineFailed)
    assert "llama_decode returned" in await backend.wait_failed()
    with pytest.raises(EngineUnavailable):
        await backend.embed("late", [(1,)])
    await backend.close()
