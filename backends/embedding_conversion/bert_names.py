"""Owns what the weights of a BERT model are called in a Hugging Face folder and in a GGUF."""

from collections.abc import Mapping

POSITIONS = "embeddings.position_embeddings.weight"
TOKEN_TYPES = "embeddings.token_type_embeddings.weight"

_BEFORE = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
_LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
# What is computed of the first token to rank a pair.
_RANKING = {"pooler.dense": "cls", "classifier": "cls.output"}
_WITHOUT_BIAS = frozenset(("token_embd", "position_embd", "token_types"))


def gguf_names(num_layers: int, *, ranks_pairs: bool) -> Mapping[str, str]:
    """By the names in a folder, without the `bert.` that some begin with. Every name is needed."""
    modules = dict(_BEFORE)
    for layer in range(num_layers):
        for ours, theirs in _LAYER.items():
            modules[f"encoder.layer.{layer}.{ours}"] = f"blk.{layer}.{theirs}"
    if ranks_pairs:
        modules |= _RANKING
    return {
        f"{ours}.{part}": f"{theirs}.{part}"
        for ours, theirs in modules.items()
        for part in (("weight",) if theirs in _WITHOUT_BIAS else ("weight", "bias"))
    }
