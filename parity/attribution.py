"""Measures what number formats do: each engine as it is, beside itself computing in float32.

Where the float32 ones agree, the engines compute the same model, and what is left between them as
they are is the formats' doing.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from parity.comparison import ROUNDING, score_distance
from parity.statistics import Distance
from parity.subjects import Subject
from parity.transcript import Transcript

_ITEM_BYTES = 4
_SPARE_BYTES = 512 << 20


class AttributionUnavailable(Exception):
    """It can't be measured here; the message says why, in a line."""


@dataclass(frozen=True, slots=True)
class Move:
    """How far one pair of subjects is apart."""

    what: str
    distance: Distance


@dataclass(frozen=True, slots=True)
class Attribution:
    """The moves, and what they say in a line."""

    moves: tuple[Move, ...]
    words: str


def attribute(
    plain: tuple[Transcript, Transcript], exact: tuple[Transcript, Transcript]
) -> Attribution:
    """`exact` are the same engines in float32."""
    left, right = plain
    moves = (
        Move(f"{left.label} and {right.label}", score_distance(left, right)),
        Move(f"{left.label} and itself in float32", score_distance(left, exact[0])),
        Move(f"{right.label} and itself in float32", score_distance(right, exact[1])),
        Move("both in float32", score_distance(*exact)),
    )
    own = [
        f"{each.label} ({each.engine}) by {move.distance.mean:.1e}"
        for each, move in zip(plain, moves[1:3], strict=True)
    ]
    if moves[3].distance.p99 <= ROUNDING:
        words = (
            f"in float32 both agree to {moves[3].distance.p99:.0e}: the engines compute the same"
            f" model. Number formats move log-probabilities of {' and of '.join(own)} on average."
        )
    else:
        words = (
            f"in float32 they are still {moves[3].distance.mean:.1e} apart: the difference is not"
            " the formats' alone"
        )
    return Attribution(moves, words)


def exact_subjects(model: Path, folder: Path) -> tuple[Subject, Subject]:
    """Both engines in float32, llama.cpp with a copy of the file. Or AttributionUnavailable."""
    copy = folder / f"{model.stem}.f32.gguf"
    _write_float32(model, copy)
    settings = {"JARVIS_VLLM_DTYPE": "float32"}
    return (
        Subject("llama_cpp float32", "llama_cpp", str(copy)),
        Subject("vllm float32", "vllm", str(model), settings),
    )


def _write_float32(model: Path, target: Path) -> None:
    import gguf

    reader = gguf.GGUFReader(model)
    num_bytes = sum(int(tensor.n_elements) for tensor in reader.tensors) * _ITEM_BYTES
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if free < num_bytes + _SPARE_BYTES:
        raise AttributionUnavailable(
            f"a float32 copy takes {num_bytes >> 20} MiB, and {free >> 20} MiB are free in"
            f" {target.parent}"
        )
    architecture = str(reader.fields["general.architecture"].contents())
    writer = gguf.GGUFWriter(target, architecture)
    dropped = {"general.architecture", "general.file_type", "general.quantization_version"}
    for name, field in reader.fields.items():
        if name not in dropped and not name.startswith("GGUF."):
            sub_type = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.quants.dequantize(tensor.data, tensor.tensor_type))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
