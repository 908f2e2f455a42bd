"""What is vLLM's own among embedding engines: beside a chat engine, folders, and how it dies."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from backends.vllm_engine.embedding_folder import is_normalized, ranks_pairs
from backends.vllm_engine.folder import read_folder
from backends.vllm_engine.token_types import TokenTypes, token_types
from core.errors import EngineFailed, EngineUnavailable, ModelLoadError
from tests.embedding_engines import EmbeddingEngine, opened, vllm_embedding
from tests.engines import MODEL, Engine

engine_test = pytest.mark.engine
on_session_loop = pytest.mark.asyncio(loop_scope="session")


def folder_of(path: Path, config: Mapping[str, object], steps: list[str] | None = None) -> Path:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    (path / "tokenizer.json").write_text("{}")
    if steps is not None:
        kinds = [{"type": f"sentence_transformers.models.{step}"} for step in steps]
        (path / "modules.json").write_text(json.dumps(kinds))
    return path


def test_a_folder_says_whether_its_vectors_have_length_1(tmp_path: Path) -> None:
    config: dict[str, object] = {"architectures": ["BertModel"]}
    assert is_normalized(read_folder(folder_of(tmp_path, config)))
    folder_of(tmp_path, config, ["Transformer", "Pooling"])
    assert not is_normalized(read_folder(tmp_path))
    folder_of(tmp_path, config, ["Transformer", "Pooling", "Normalize"])
    assert is_normalized(read_folder(tmp_path))


def test_a_folder_says_what_its_model_is_for(tmp_path: Path) -> None:
    cross = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}}
    assert ranks_pairs(read_folder(folder_of(tmp_path, cross)))
    assert not ranks_pairs(read_folder(folder_of(tmp_path, {"architectures": ["BertModel"]})))
    sorting = {**cross, "id2label": {"0": "bad", "1": "good"}}
    with pytest.raises(ModelLoadError, match="sorts into 2 classes"):
        ranks_pairs(read_folder(folder_of(tmp_path, sorting)))
    chat: dict[str, object] = {"architectures": ["LlamaForCausalLM"]}
    with pytest.raises(ModelLoadError, match="is no embedding model"):
        ranks_pairs(read_folder(folder_of(tmp_path, chat)))
    assert not ranks_pairs(read_folder(folder_of(tmp_path, chat, ["Transformer", "Pooling"])))


def test_a_damaged_list_of_steps_is_a_load_error(tmp_path: Path) -> None:
    folder_of(tmp_path, {})
    for content in ("{", "{}", "[1]"):
        (tmp_path / "modules.json").write_text(content)
        with pytest.raises(ModelLoadError, match=r"modules\.json"):
            is_normalized(read_folder(tmp_path))


def test_the_second_text_of_a_pair_has_type_1() -> None:
    kinds = token_types({"model_type": "bert", "type_vocab_size": 2}, (101, 102, 102))
    assert kinds == TokenTypes(102)
    assert kinds.arguments((101, 7, 8, 102, 9, 102)) == {"compressed_token_type_ids": 4}
    assert kinds.arguments((101, 7, 102)) is None
    assert kinds.arguments((7, 8)) is None


def test_models_with_one_type_of_token_are_told_of_none() -> None:
    assert token_types({"model_type": "bert", "type_vocab_size": 1}, (101, 102, 102)) is None
    assert token_types({"model_type": "xlm-roberta"}, (0, 2, 2, 2)) is None


@pytest.mark.timeout(60)
async def test_ggufs_that_hold_no_embedding_model_are_refused_in_a_line(
    cache: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and no more")
    reasons = {
        MODEL: "jarvis-tiny.gguf is no embedding model: its metadata names no pooling",
        broken: "broken.gguf is no GGUF file, or a damaged one",
        tmp_path / "gone.gguf": "there is no model file",
    }
    for path, reason in reasons.items():
        backend = opened("vllm", path, cache)
        with pytest.raises(ModelLoadError, match=reason) as caught:
            await backend.start(lambda _: None)
        assert "\n" not in str(caught.value)
        await backend.close()


@engine_test
@on_session_loop
async def test_it_works_beside_a_chat_engine_at_the_same_time(
    vllm: Engine, vllm_embedder: EmbeddingEngine
) -> None:
    text = "Beside a chat model, in the same process."
    alone = await vllm.answer(vllm.request(vllm.prompt("Hello"), 16))
    embedding = asyncio.create_task(vllm_embedder.embed_texts([text] * 64))
    chats = [vllm.answer(vllm.request(vllm.prompt("Hello"), 16)) for _ in range(4)]
    answers = await asyncio.gather(*chats)
    vectors = await embedding
    assert len(vectors) == 64
    assert answers == [alone] * 4


@pytest.mark.long
@engine_test
@on_session_loop
async def test_engines_that_start_at_the_same_time_know_their_own_processes(
    cache: Path, vllm: Engine
) -> None:
    """Closing one would end the other's process if they were mixed up."""
    engines = [EmbeddingEngine("vllm", vllm_embedding(cache)) for _ in range(2)]
    await asyncio.gather(*(engine.backend.start(lambda _: None) for engine in engines))
    await engines[0].backend.close()
    assert len(await engines[1].embed_texts(["still here"])) == 1
    await engines[1].backend.close()
    answer = await vllm.answer(vllm.request(vllm.prompt("Hello"), 4))
    assert len(answer.token_ids) == 4


@pytest.mark.long
@engine_test
@on_session_loop
async def test_the_death_of_its_process_fails_every_call_and_is_told(cache: Path) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    engine = EmbeddingEngine("vllm", vllm_embedding(cache))
    await engine.backend.start(lambda _: None)
    calls = [asyncio.create_task(engine.embed_texts(["words " * 200] * 128)) for _ in range(3)]
    await asyncio.sleep(0)
    for child in psutil.Process().children(recursive=True):
        if child.pid not in before and "resource_tracker" not in " ".join(child.cmdline()):
            child.kill()
    for answer in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(answer, EngineFailed), answer
    assert "died" in await engine.backend.wait_failed()
    with pytest.raises(EngineUnavailable):
        await engine.embed_texts(["late"])
    await engine.backend.close()
