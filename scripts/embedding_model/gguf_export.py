"""Owns writing a BERT embedding model as GGUF: its weights, vocabulary and what it was trained for.

llama.cpp knows no window but the number of position embeddings: those beyond the window that the
model was trained for are left out.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import load_file

from scripts.embedding_model.folder import BertFolder, UnsuitableModel

NORMALIZED_KEY = "jarvis.embedding.is_normalized"
_PHANTOM_SPACE = "\u2581"
_CONTINUING = "##"
_POSITIONS = "embeddings.position_embeddings.weight"
_NEEDED_TOKENS = ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]")
_POOLER = "pooler."
# What is not computed for a pooled vector.
_UNUSED = ("embeddings.position_ids", "cls.")
# What llama.cpp computes of the first token to rank a pair.
_RANKING = {"pooler.dense": "cls", "classifier": "cls.output"}


def write_gguf(folder: BertFolder, target: Path, name: str) -> None:
    """All weights in float32, beside the file's place first. Raises UnsuitableModel."""
    unfinished = target.with_name(f".{target.name}.unfinished")
    writer = gguf.GGUFWriter(unfinished, arch="bert")
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    _write_shape(writer, folder)
    _write_vocabulary(writer, folder.tokenizer, int(folder.config["vocab_size"]))
    _write_weights(writer, folder)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(unfinished, target)


def _write_shape(writer: Any, folder: BertFolder) -> None:
    config = folder.config
    writer.add_context_length(folder.window)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType[folder.pooling])
    writer.add_token_type_count(config.get("type_vocab_size", 1))
    writer.add_bool(NORMALIZED_KEY, folder.is_normalized)


def _write_vocabulary(writer: Any, tokenizer: Mapping[str, Any], size: int) -> None:
    """llama.cpp marks the begin of a word, where WordPiece marks what continues one."""
    ids: dict[str, int] = tokenizer["model"]["vocab"]
    texts = {token_id: text for text, token_id in ids.items()}
    control = {each["id"] for each in tokenizer.get("added_tokens", ()) if each["special"]}
    tokens: list[str] = []
    kinds: list[int] = []
    for token_id in range(size):
        text = texts.get(token_id)
        is_plain = text is not None and token_id not in control
        tokens.append(_marked(text) if text and is_plain else text or f"[PAD{token_id}]")
        unplain = gguf.TokenType.UNUSED if text is None else gguf.TokenType.CONTROL
        kinds.append(gguf.TokenType.NORMAL if is_plain else unplain)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    _write_normalizer(writer, tokenizer.get("normalizer") or {})
    _write_special_ids(writer, ids)


def _marked(text: str) -> str:
    is_continuing = text.startswith(_CONTINUING)
    return text.removeprefix(_CONTINUING) if is_continuing else _PHANTOM_SPACE + text


def _write_normalizer(writer: Any, normalizer: Mapping[str, Any]) -> None:
    if normalizer.get("type") != "BertNormalizer":
        raise UnsuitableModel(f"a GGUF can't hold the normalizer {normalizer.get('type')}")
    lowercase = bool(normalizer["lowercase"])
    strips = normalizer.get("strip_accents")
    writer.add_bool("tokenizer.ggml.normalizer.lowercase", lowercase)
    writer.add_bool(
        "tokenizer.ggml.normalizer.strip_accents", lowercase if strips is None else bool(strips)
    )


def _write_special_ids(writer: Any, ids: Mapping[str, int]) -> None:
    missing = [token for token in _NEEDED_TOKENS if token not in ids]
    if missing:
        raise UnsuitableModel(f"the vocabulary has no {', '.join(missing)}")
    writer.add_bos_token_id(ids["[CLS]"])
    writer.add_sep_token_id(ids["[SEP]"])
    writer.add_pad_token_id(ids["[PAD]"])
    writer.add_unk_token_id(ids["[UNK]"])
    writer.add_mask_token_id(ids["[MASK]"])


def _write_weights(writer: Any, folder: BertFolder) -> None:
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, folder.config["num_hidden_layers"])
    unused = _UNUSED if folder.pooling == "RANK" else (*_UNUSED, _POOLER)
    for full_name, weights in sorted(load_file(folder.weights).items()):
        name = full_name.removeprefix("bert.")
        if name.startswith(unused):
            continue
        stem, _, suffix = name.rpartition(".")
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if stem in _RANKING:
            target = f"{_RANKING[stem]}.{suffix}"
        if target is None:
            raise UnsuitableModel(f"a GGUF can't hold the weights {full_name}")
        kept = weights[: folder.window] if name == _POSITIONS else weights
        writer.add_tensor(target, np.ascontiguousarray(kept, dtype=np.float32))
