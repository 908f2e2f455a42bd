"""Bad model files become one line of error, not a dead server: real files, a real child process."""

import os
import struct
from pathlib import Path

import pytest

from backends.llama.options import LlamaOptions
from backends.llama.probing import ChildProbe
from core.errors import EngineUnavailable, ModelLoadError

pytestmark = pytest.mark.engine

MODEL = Path(__file__).resolve().parents[3] / "models" / "jarvis-tiny.gguf"


def patched(key: str, value: bytes) -> bytes:
    """The shipped model with one metadata value overwritten in place."""
    raw = MODEL.read_bytes()
    at = raw.index(key.encode()) + len(key) + struct.calcsize("<I")
    return raw[:at] + value + raw[at + len(value) :]


async def probe(content: bytes, folder: Path) -> None:
    path = folder / "model.gguf"
    path.write_bytes(content)
    await ChildProbe(LlamaOptions(path, "model"), folder / "cache").run()


async def test_a_native_crash_is_an_error_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no debugger is called, which may wait for another one for ever."""
    debugger, called = tmp_path / "gdb", tmp_path / "called"
    debugger.write_text(f"#!/bin/sh\ntouch {called}\n")
    debugger.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("GGML_NO_BACKTRACE", raising=False)
    negative_epsilon = patched("llama.attention.layer_norm_rms_epsilon", struct.pack("<f", -1.0))
    with pytest.raises(ModelLoadError, match=r"crashed \(SIG[A-Z]+\) when it tried model.gguf"):
        await probe(negative_epsilon, tmp_path)
    assert not called.exists()


@pytest.mark.parametrize("damage", ["magic", "half", "shape"])
async def test_a_damaged_file_is_refused_with_llama_cpps_own_reason(
    tmp_path: Path, damage: str
) -> None:
    raw = MODEL.read_bytes()
    content = {
        "magic": b"XXXX" + raw[4:],
        "half": raw[: len(raw) // 2],
        "shape": patched("llama.feed_forward_length", struct.pack("<I", 7)),
    }[damage]
    with pytest.raises(ModelLoadError, match=r"could not load model.gguf: .{10,}"):
        await probe(content, tmp_path)


async def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    options = LlamaOptions(tmp_path / "none.gguf", "none")
    with pytest.raises(ModelLoadError, match=r"there is no model file .*none.gguf"):
        await ChildProbe(options, tmp_path).run()


async def test_a_good_verdict_is_kept_until_the_file_changes(tmp_path: Path) -> None:
    await probe(MODEL.read_bytes(), tmp_path)
    verdicts = list((tmp_path / "cache" / "probes").iterdir())
    assert len(verdicts) == 1
    negative_epsilon = patched("llama.attention.layer_norm_rms_epsilon", struct.pack("<f", -1.0))
    with pytest.raises(ModelLoadError):
        await probe(negative_epsilon, tmp_path)


async def test_a_cancelled_probe_says_so(tmp_path: Path) -> None:
    child = ChildProbe(LlamaOptions(MODEL, "model"), tmp_path)
    child.cancel()
    with pytest.raises(EngineUnavailable):
        await child.run()
