"""Owns reading a GGUF file's metadata, as values. Knows no engine and converts nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.gguf_sampling import gguf_recommendation, metadata_text
from core.errors import ModelLoadError
from core.sampling_defaults import SamplingValues

if TYPE_CHECKING:
    from gguf import GGUFReader

_MATRIX_RANK = 2


class TokenKind(IntEnum):
    """`tokenizer.ggml.token_type`, as llama.cpp numbers it."""

    UNDEFINED = 0
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class GgufVocabulary:
    """The tokenizer of a GGUF. Index is token id; `scores` is empty where there are merges.

    `model` is `tokenizer.ggml.model` ("gpt2" for byte-level BPE, "llama" for sentencepiece),
    `pre` names the pre-tokenizer. None means that the file does not say.
    """

    model: str
    pre: str | None
    tokens: tuple[str, ...]
    kinds: tuple[TokenKind, ...]
    merges: tuple[str, ...]
    scores: tuple[float, ...]
    bos_id: int | None
    eos_id: int | None
    end_ids: tuple[int, ...]
    add_bos: bool | None
    add_space_prefix: bool | None


@dataclass(frozen=True, slots=True)
class GgufModel:
    """What a conversion needs to know. `num_weights` counts numbers, not bytes."""

    path: Path
    architecture: str
    is_float32: bool
    num_weights: int
    rope_factors: tuple[float, ...]
    rope_scaling: str | None
    has_long_rope: bool
    chat_template: str | None
    vocabulary: GgufVocabulary
    recommended: SamplingValues = field(default_factory=dict)


def read_gguf(path: Path) -> GgufModel:
    """Raises ModelLoadError where the file is none, is damaged, or lacks what is needed."""
    # Here, since a machine without the vLLM extras has no gguf.
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        fields = {name: field.contents() for name, field in reader.fields.items()}
        return _model(path, reader, fields)
    except OSError as error:
        raise ModelLoadError(f"{path.name} can't be read: {error.strerror or error}") from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ModelLoadError(f"{path.name} is no GGUF file, or a damaged one: {error!r}") from error


def _model(path: Path, reader: "GGUFReader", fields: Mapping[str, Any]) -> GgufModel:
    architecture = str(fields["general.architecture"])
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    matrices = [t for t in reader.tensors if len(t.shape) >= _MATRIX_RANK]
    factors = tensors.get("rope_freqs.weight")
    scaling = fields.get(f"{architecture}.rope.scaling.type")
    template = fields.get("tokenizer.chat_template")
    return GgufModel(
        path=path,
        architecture=architecture,
        is_float32=all(tensor.tensor_type.name == "F32" for tensor in matrices),
        num_weights=sum(int(tensor.n_elements) for tensor in reader.tensors),
        rope_factors=() if factors is None else tuple(map(float, factors.data.ravel())),
        rope_scaling=str(scaling) if scaling not in (None, "none") else None,
        has_long_rope="rope_factors_long.weight" in tensors,
        chat_template=str(template) if template is not None else None,
        vocabulary=_vocabulary(fields),
        recommended=gguf_recommendation(lambda key: metadata_text(fields.get(key))),
    )


def _vocabulary(fields: Mapping[str, Any]) -> GgufVocabulary:
    prefix = "tokenizer.ggml."
    known = {name.removeprefix(prefix): v for name, v in fields.items() if name.startswith(prefix)}
    tokens = tuple(map(str, fields["tokenizer.ggml.tokens"]))
    ends = (known.get(f"{end}_token_id") for end in ("eos", "eot", "eom"))
    return GgufVocabulary(
        model=str(fields["tokenizer.ggml.model"]),
        pre=known.get("pre"),
        tokens=tokens,
        kinds=tuple(map(TokenKind, known.get("token_type") or [TokenKind.NORMAL] * len(tokens))),
        merges=tuple(known.get("merges") or ()),
        scores=tuple(known.get("scores") or ()),
        bos_id=_token_id(known.get("bos_token_id"), tokens),
        eos_id=_token_id(known.get("eos_token_id"), tokens),
        end_ids=tuple(sorted({i for i in (_token_id(e, tokens) for e in ends) if i is not None})),
        add_bos=known.get("add_bos_token"),
        add_space_prefix=known.get("add_space_prefix"),
    )


def _token_id(value: object, tokens: tuple[str, ...]) -> int | None:
    """None where the file gives none, or one outside its own vocabulary."""
    return value if isinstance(value, int) and 0 <= value < len(tokens) else None
