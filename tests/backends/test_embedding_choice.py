"""Which form of an embedding model each engine takes: its own where there is one, else the other.

The hub is a server on this machine.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.embedding_choice import find_embedding_model
from backends.model_source import Hub, ModelKind
from core.errors import ModelLoadError, ModelNotFoundOnHub
from core.settings import load_settings
from tests.backends.test_model_source import FakeHub, HubServer

FOLDER = ("config.json", "model.safetensors", "tokenizer.json", "1_Pooling/config.json")
REPOS = {
    "owner/folder": FOLDER,
    "owner/one-GGUF": ("m.gguf",),
    "owner/two-GGUF": ("m-Q8_0.gguf", "m-F16.gguf"),
    "owner/both": (*FOLDER, "m.gguf"),
    "owner/neither": ("README.md",),
}
ENGINES = ("llama_cpp", "vllm")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    server = HubServer(FakeHub(REPOS))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Hub(f"http://127.0.0.1:{server.server_address[1]}", tmp_path / "hub")
    server.shutdown()
    thread.join()
    server.server_close()


def found(engine: str, name: str, hub: Hub | None = None) -> tuple[ModelKind, str]:
    flags = {"JARVIS_MODEL_NAME": name, "JARVIS_INFERENCE_ENGINE": engine}
    model = find_embedding_model(load_settings(flags, environ={}, env_file=None), hub)
    return model.kind, model.model_id


@pytest.mark.parametrize("engine", ENGINES)
def test_files_and_folders_are_taken_as_they_were_given(engine: str, tmp_path: Path) -> None:
    file, folder = tmp_path / "a.gguf", tmp_path / "b"
    file.touch()
    folder.mkdir()
    (folder / "config.json").touch()
    assert found(engine, str(file)) == (ModelKind.GGUF, "a")
    assert found(engine, str(folder)) == (ModelKind.FOLDER, "b")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_repository_of_one_form_is_taken_on_either_engine(engine: str, hub: Hub) -> None:
    assert found(engine, "owner/folder", hub) == (ModelKind.FOLDER, "owner/folder")
    assert found(engine, "owner/one-GGUF", hub) == (ModelKind.GGUF, "owner/one-GGUF")
    assert found(engine, "owner/two-GGUF:F16", hub)[0] is ModelKind.GGUF


def test_of_both_forms_an_engine_takes_its_own(hub: Hub) -> None:
    assert found("llama_cpp", "owner/both", hub)[0] is ModelKind.GGUF
    assert found("vllm", "owner/both", hub)[0] is ModelKind.FOLDER


@pytest.mark.parametrize("engine", ENGINES)
def test_what_can_not_be_chosen_or_found_is_told(engine: str, hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundOnHub, match=r"has several such .*m-F16\.gguf"):
        found(engine, "owner/two-GGUF", hub)
    with pytest.raises(ModelNotFoundOnHub, match=r"owner/neither has no config\.json"):
        found(engine, "owner/neither", hub)
    with pytest.raises(ModelNotFoundOnHub, match="no such repository"):
        found(engine, "owner/none", hub)
    with pytest.raises(ModelLoadError, match="JARVIS_EMBEDDING_MODEL='no such file'"):
        found(engine, "no such file", hub)
    with pytest.raises(ModelLoadError, match=r"has no config\.json: it is no Hugging Face"):
        found(engine, str(tmp_path), hub)
