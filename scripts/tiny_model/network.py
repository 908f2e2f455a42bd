"""Owns the Llama network in PyTorch. Knows no tokenizer, no dialogue and no file format."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that a GGUF of the llama architecture states."""

    vocabulary: int = 4096
    width: int = 256
    layers: int = 5
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    feed_forward: int = 480
    context: int = 4096
    rope_theta: float = 10_000.0
    norm_epsilon: float = 1e-5


def rotations(shape: Shape, length: int) -> Tensor:
    """Cosines and sines of rotary positions, (2, length, head_dim / 2)."""
    steps = torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim
    angles = torch.outer(torch.arange(length).float(), shape.rope_theta**-steps)
    return torch.stack((angles.cos(), angles.sin()))


def rotate(states: Tensor, turns: Tensor) -> Tensor:
    """Rotates neighbouring pairs, the order in which GGUF keeps llama's weights.

    `states` is (batch, heads, length, head_dim).
    """
    even, odd = states.float().unflatten(-1, (-1, 2)).unbind(-1)
    cosine, sine = turns
    rotated = torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1)
    return rotated.flatten(-2).to(states.dtype)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal attention over (batch, heads, length, head_dim).

    Written out: on rows this short PyTorch's fused kernel for the CPU is the slower one.
    """
    scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
    length = scores.shape[-1]
    future = torch.ones(length, length, dtype=torch.bool, device=scores.device).triu(1)
    return scores.masked_fill(future, float("-inf")).softmax(-1).to(value.dtype) @ value


class Attention(nn.Module):
    """Causal attention with grouped key and value heads."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.query = nn.Linear(shape.width, shape.heads * shape.head_dim, bias=False)
        self.key = nn.Linear(shape.width, shape.kv_heads * shape.head_dim, bias=False)
        self.value = nn.Linear(shape.width, shape.kv_heads * shape.head_dim, bias=False)
        self.output = nn.Linear(shape.heads * shape.head_dim, shape.width, bias=False)

    def forward(self, states: Tensor, turns: Tensor) -> Tensor:
        """(batch, length, width) to the same."""
        query, key, value = (
            layer(states).unflatten(-1, (-1, self.shape.head_dim)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        groups = self.shape.heads // self.shape.kv_heads
        attended = attend(
            rotate(query, turns),
            rotate(key, turns).repeat_interleave(groups, dim=1),
            value.repeat_interleave(groups, dim=1),
        )
        mixed: Tensor = self.output(attended.transpose(1, 2).flatten(-2))
        return mixed


class Block(nn.Module):
    """Attention, then a gated feed-forward, each on normalised states."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.attention = Attention(shape)
        self.feed_forward_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.gate = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.up = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, states: Tensor, turns: Tensor) -> Tensor:
        """(batch, length, width) to the same."""
        states = states + self.attention(self.attention_norm(states), turns)
        normed = self.feed_forward_norm(states)
        gated: Tensor = self.down(functional.silu(self.gate(normed)) * self.up(normed))
        return states + gated


class TinyLlama(nn.Module):
    """Llama whose output weights are its embeddings."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.apply(_initialise)
        for block in self.blocks:
            for layer in (block.attention.output, block.down):
                nn.init.normal_(layer.weight, std=0.04 / (2 * shape.layers) ** 0.5)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (batch, length) to normalised states (batch, length, width)."""
        turns = rotations(self.shape, ids.shape[1]).to(ids.device)
        states = self.embedding(ids)
        for block in self.blocks:
            states = block(states, turns)
        normed: Tensor = self.norm(states)
        return normed

    def logits(self, states: Tensor) -> Tensor:
        """States of any leading shape to logits over the vocabulary."""
        return functional.linear(states, self.embedding.weight)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.04)
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
