"""Owns writing the network and its tokenizer as a GGUF file. Knows no training and no dialogue."""

import os
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, LlamaFileType, TokenType

from scripts.tiny_model.bpe import Bpe
from scripts.tiny_model.network import Shape, TinyLlama
from scripts.tiny_model.rendering import BOS, CONTROLS, EOS, PADDING

TEMPLATE = Path(__file__).with_name("chat_template.jinja")
BLOCK_TENSORS = {
    "attention_norm": "attn_norm",
    "attention.query": "attn_q",
    "attention.key": "attn_k",
    "attention.value": "attn_v",
    "attention.output": "attn_output",
    "feed_forward_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


def export(network: TinyLlama, bpe: Bpe, path: Path) -> None:
    """Writes the file beside its place first, so that a reader never sees half of it."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    writer = GGUFWriter(unfinished, "llama")
    _add_shape(writer, network.shape)
    _add_tokenizer(writer, bpe)
    _add_tensors(writer, network)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(unfinished, path)


def _add_shape(writer: GGUFWriter, shape: Shape) -> None:
    writer.add_name("jarvis-tiny")
    writer.add_description("A demonstration and a test fixture. It knows a handful of skills.")
    writer.add_file_type(LlamaFileType.ALL_F32)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)


def _add_tokenizer(writer: GGUFWriter, bpe: Bpe) -> None:
    kinds = [TokenType.NORMAL] * len(bpe.tokens) + [TokenType.CONTROL] * len(CONTROLS)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list([*bpe.tokens, *CONTROLS])
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(merge) for merge in bpe.merges])
    writer.add_bos_token_id(bpe.control_ids[BOS])
    writer.add_eos_token_id(bpe.control_ids[EOS])
    writer.add_pad_token_id(bpe.control_ids[PADDING])
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE.read_text(encoding="utf-8").rstrip("\n"))


def _add_tensors(writer: GGUFWriter, network: TinyLlama) -> None:
    """The rotation pairs neighbours, as GGUF wants it, so nothing is permuted."""
    weights = {
        name: tensor.detach().cpu().float().numpy().astype(np.float32)
        for name, tensor in network.state_dict().items()
    }
    writer.add_tensor("token_embd.weight", weights["embedding.weight"])
    writer.add_tensor("output_norm.weight", weights["norm.weight"])
    for block in range(network.shape.layers):
        for ours, theirs in BLOCK_TENSORS.items():
            writer.add_tensor(
                f"blk.{block}.{theirs}.weight", weights[f"blocks.{block}.{ours}.weight"]
            )
