"""A server whose model is bad stays up, says why, refuses by 503, and ends by SIGTERM with 0."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backends.model_checks.gguf_files import a_text, with_metadata
from tests.e2e.conftest import start
from tests.e2e.server import Start
from tests.engines import MODEL

__all__ = ["start"]

pytestmark = pytest.mark.engine

CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
LOOP = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


def cut(path: Path) -> None:
    path.write_bytes(MODEL.read_bytes()[:1_000_000])


def looping(path: Path) -> None:
    with_metadata(path, tokenizer__chat_template=a_text(LOOP))


def without_tokenizer(path: Path) -> None:
    with_metadata(path, tokenizer__ggml__tokens=None)


def stays_up(start: Start, path: Path, engine: str, words: str) -> None:
    server = start("--engine", engine, "--model", str(path))
    with server.client() as client:
        line = server.wait_for("state=failed")
        assert "ERROR" in line
        ready = client.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["state"] == "failed"
        assert words in ready.json()["reason"]
        assert str(path.parent) not in ready.text
        assert client.get("/health").status_code == 200
        refused = client.post("/v1/chat/completions", json=CHAT)
        assert refused.status_code == 503
        assert words in refused.json()["error"]["message"]
    assert server.stop() == 0
    assert "Traceback" not in "".join(server.output)


@pytest.mark.parametrize(("write", "words"), [(cut, "truncated"), (looping, "did not finish")])
def test_a_bad_model_leaves_a_server_that_answers(
    start: Start, tmp_path: Path, write: Callable[[Path], None], words: str
) -> None:
    path = tmp_path / "model.gguf"
    write(path)
    stays_up(start, path, "llama_cpp", words)


@pytest.mark.parametrize(
    ("write", "words"), [(without_tokenizer, "no tokenizer"), (looping, "did not finish")]
)
@pytest.mark.long
def test_so_does_one_with_vllm(
    start: Start, tmp_path: Path, write: Callable[[Path], None], words: str
) -> None:
    path = tmp_path / "model.gguf"
    write(path)
    stays_up(start, path, "vllm", words)


@pytest.mark.long
def test_a_folder_with_code_of_its_own_is_never_loaded(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "config.json").write_text(
        '{"model_type": "evil", "auto_map": {"AutoConfig": "configuration_evil.Evil"}}'
    )
    (folder / "configuration_evil.py").write_text(f"open({str(folder / 'canary')!r}, 'w')")
    (folder / "tokenizer.json").write_text("{}")
    stays_up(start, folder, "vllm", "auto_map")
    assert not (folder / "canary").exists()
    shutil.rmtree(folder)
