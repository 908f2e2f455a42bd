"""Owns writing a GGUF's weights as safetensors with transformers. Knows no cache and no tokenizer.

transformers knows each architecture's names and orders (llama.cpp permutes query and key rows);
its own save refuses a model that came from a GGUF, so the state dict is written here.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.vllm_engine.gguf_file import GgufModel
from backends.vllm_engine.rope import rope_parameters
from core.errors import ModelLoadError

if TYPE_CHECKING:
    from torch import Tensor

_SHARD_BYTES = 2 << 30

Shard = dict[str, "Tensor"]


def write_model(
    source: GgufModel, folder: Path, dtype: str, report: Callable[[float], None]
) -> None:
    """Writes config.json and the weights. `report` gets the share written, from 0 to 1, and may
    raise to give up. Raises ModelLoadError.
    """
    model = _read(source, "AutoModelForCausalLM", dtype)
    _save_config(source, model.config, type(model).__name__, folder, dtype)
    _write_weights(model.state_dict(), folder, report)


def write_config(source: GgufModel, folder: Path, dtype: str) -> None:
    """Writes config.json alone, for an engine that reads the GGUF's weights itself."""
    config = _read(source, "AutoConfig", dtype)
    from torch import device
    from transformers import AutoModelForCausalLM

    with device("meta"):
        architecture = type(AutoModelForCausalLM.from_config(config)).__name__
    _save_config(source, config, architecture, folder, dtype)


def _read(source: GgufModel, auto_class: str, dtype: str) -> Any:
    try:
        import torch
        import transformers
        from transformers import modeling_gguf_pytorch_utils
    except ImportError as error:
        raise ModelLoadError(
            f"converting a GGUF for vLLM needs {error.name}: run ./run.sh setup --engine vllm"
        ) from error
    # Both have read the environment long ago.
    transformers.utils.logging.disable_progress_bar()
    modeling_gguf_pytorch_utils.tqdm = transformers.utils.logging.tqdm
    for_weights = {
        "dtype": getattr(torch, dtype),
        "quantization_config": transformers.GgufConfig(dequantize=True),
    }
    try:
        return getattr(transformers, auto_class).from_pretrained(
            source.path.parent,
            gguf_file=source.path.name,
            local_files_only=True,
            **(for_weights if auto_class == "AutoModelForCausalLM" else {}),
        )
    # What transformers raises for a file that it can't read is anything at all.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelLoadError(
            f"transformers can't read {source.path.name} (architecture {source.architecture}) to "
            f"convert it for vLLM: {reason}; use its Hugging Face folder, or llama_cpp"
        ) from error


def _save_config(
    source: GgufModel, config: Any, architecture: str, folder: Path, dtype: str
) -> None:
    scaling = rope_parameters(source, getattr(config, "rope_parameters", None) or {})
    values = {
        **config.to_dict(),
        "architectures": [architecture],
        "dtype": dtype,
        **({"rope_parameters": scaling} if scaling else {}),
    }
    values.pop("quantization_config", None)
    (folder / "config.json").write_text(json.dumps(values, indent=2, default=str))


def _write_weights(state: Shard, folder: Path, report: Callable[[float], None]) -> None:
    from safetensors.torch import save_file

    shards = list(_shards(state))
    total = sum(map(_num_bytes, shards))
    written = 0
    places: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_file(shard, folder / name, metadata={"format": "pt"})
        places |= dict.fromkeys(shard, name)
        written += _num_bytes(shard)
        report(written / total)
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _shards(state: Shard) -> Iterator[Shard]:
    """Tied weights are one tensor under two names, of which the first is written."""
    shard: Shard = {}
    seen: set[int] = set()
    for name, tensor in state.items():
        if tensor.data_ptr() in seen:
            continue
        seen.add(tensor.data_ptr())
        if shard and _num_bytes(shard) + tensor.nbytes > _SHARD_BYTES:
            yield shard
            shard = {}
        shard[name] = tensor.contiguous()
    yield shard


def _num_bytes(shard: Shard) -> int:
    return sum(tensor.nbytes for tensor in shard.values())
