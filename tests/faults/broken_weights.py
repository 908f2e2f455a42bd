"""Writes the shipped model with weights that are no numbers, as a damaged or badly converted file
has them: the engines read such files without a word.
"""

from pathlib import Path

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter

MODEL = Path(__file__).resolve().parents[2] / "models" / "jarvis-tiny.gguf"
_OWN_KEYS = ("GGUF.", "general.architecture")


def write_with_broken_id(path: Path, token_id: int) -> Path:
    """Only prompts with `token_id` meet the broken row: logits get a matrix of their own."""
    reader = GGUFReader(MODEL)
    writer = GGUFWriter(path, "llama")
    for name, field in reader.fields.items():
        if not name.startswith(_OWN_KEYS):
            kind = field.types[0]
            element = field.types[-1] if kind is GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), kind, element)
    for tensor in reader.tensors:
        if tensor.name == "token_embd.weight":
            writer.add_tensor("output.weight", tensor.data.copy())
            broken = tensor.data.copy()
            broken[token_id] = np.nan
            writer.add_tensor(tensor.name, broken)
        else:
            writer.add_tensor(tensor.name, tensor.data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
