"""Owns the tensors of each sort of block, by their GGUF names. Knows no file and no metadata."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scripts.memory_models.weights import Drawer, Weights, ones

Tensors = Iterator[tuple[str, Weights]]
# Sharp enough that an answer depends on single ids far back, and a wrong one shows.
ATTENTION_SHARPNESS = 1.6
LOGIT_DEVIATION = 6.0
TIED_DEVIATION = 0.1


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes that all models share. `state_width` is twice the width, as Granite requires."""

    width: int = 64
    heads: int = 2
    kv_heads: int = 1
    feed_forward: int = 96
    context: int = 4096
    state_size: int = 16
    state_heads: int = 8
    state_groups: int = 1
    convolution: int = 4

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def state_width(self) -> int:
        return 2 * self.width

    @property
    def convolved(self) -> int:
        return self.state_width + 2 * self.state_groups * self.state_size


def ends(draw: Drawer, shape: Shape, num_tokens: int) -> Tensors:
    """Embedding and output, not tied: tied ones would mostly repeat the last id."""
    yield "token_embd.weight", draw.normal((num_tokens, shape.width), 1.0)
    yield "output_norm.weight", ones(shape.width)
    yield "output.weight", draw.matrix(num_tokens, shape.width, LOGIT_DEVIATION)


def tied_ends(draw: Drawer, shape: Shape, num_tokens: int) -> Tensors:
    """One embedding for both ends, too small beside what the blocks add to repeat the last id."""
    yield "token_embd.weight", draw.normal((num_tokens, shape.width), TIED_DEVIATION)
    yield "output_norm.weight", ones(shape.width)


def attention(draw: Drawer, shape: Shape, block: int) -> Tensors:
    wide, narrow = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    name = f"blk.{block}"
    yield f"{name}.attn_norm.weight", ones(shape.width)
    yield f"{name}.attn_q.weight", draw.matrix(wide, shape.width, ATTENTION_SHARPNESS)
    yield f"{name}.attn_k.weight", draw.matrix(narrow, shape.width, ATTENTION_SHARPNESS)
    yield f"{name}.attn_v.weight", draw.matrix(narrow, shape.width)
    yield f"{name}.attn_output.weight", draw.matrix(shape.width, wide, 2.0)


def feed_forward(draw: Drawer, shape: Shape, block: int, *, normed: bool = True) -> Tensors:
    name = f"blk.{block}"
    if normed:
        yield f"{name}.ffn_norm.weight", ones(shape.width)
    yield f"{name}.ffn_gate.weight", draw.matrix(shape.feed_forward, shape.width)
    yield f"{name}.ffn_up.weight", draw.matrix(shape.feed_forward, shape.width)
    yield f"{name}.ffn_down.weight", draw.matrix(shape.width, shape.feed_forward)


def mamba2(draw: Drawer, shape: Shape, block: int) -> Tensors:
    """A state space block: heads forget within few ids to several hundred."""
    name, heads = f"blk.{block}", shape.state_heads
    num_inputs = shape.state_width + shape.convolved + heads
    steps = draw.spread((heads,), 0.004, 0.4)
    groups = shape.state_groups
    yield f"{name}.attn_norm.weight", ones(shape.width)
    yield f"{name}.ssm_in.weight", draw.matrix(num_inputs, shape.width)
    yield f"{name}.ssm_conv1d.weight", draw.matrix(shape.convolved, shape.convolution, 1.5)
    yield f"{name}.ssm_conv1d.bias", draw.normal((shape.convolved,), 0.1)
    # The step is softplus of this bias and what the input adds to it.
    yield f"{name}.ssm_dt.bias", np.log(np.expm1(steps)).astype(np.float32)
    yield f"{name}.ssm_a", -draw.spread((heads, 1), 0.5, 2.0)
    yield f"{name}.ssm_d", draw.normal((heads, 1), 0.5)
    yield f"{name}.ssm_norm.weight", ones(groups, shape.state_width // groups)
    yield f"{name}.ssm_out.weight", draw.matrix(shape.width, shape.state_width, 1.5)
