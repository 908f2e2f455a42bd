"""The command that writes an embedding model's folder as GGUF."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from safetensors.numpy import load_file

from tests.embedding_engines import minilm_folder

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(60)
def test_the_command_writes_every_weight_and_says_why_it_can_not(tmp_path: Path) -> None:
    target = tmp_path / "minilm.gguf"
    command = [sys.executable, str(ROOT / "scripts" / "convert_minilm.py")]
    done = subprocess.run(
        [*command, str(minilm_folder()), str(target)], capture_output=True, text=True, check=True
    )
    assert str(target) in done.stdout
    written = {tensor.name: tensor.data for tensor in GGUFReader(target).tensors}
    own = load_file(minilm_folder() / "model.safetensors")
    np.testing.assert_array_equal(
        written["token_embd.weight"], own["embeddings.word_embeddings.weight"]
    )
    assert written["position_embd.weight"].shape == (256, 384)
    assert len(written) == 5 + 16 * 6
    failed = subprocess.run([*command, str(tmp_path), str(target)], capture_output=True, text=True)
    assert failed.returncode == 1
    assert "has no config.json" in failed.stderr
    assert failed.stderr.count("\n") == 1
