"""Owns what each of the models is made of: its architecture, its metadata, its tensors."""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from gguf import GGUFWriter, LlamaFileType

from scripts.memory_models import blocks
from scripts.memory_models.blocks import Shape, Tensors
from scripts.memory_models.vocabulary import tokens, write_vocabulary
from scripts.memory_models.weights import Drawer

SLIDING_WINDOW = 32
NUM_BLOCKS = 4
SEED = 20
Contents = Iterator[Tensors]


def make_models(folder: Path) -> dict[str, Path]:
    """Writes all models into `folder`, the same bytes each time; returns their paths by name."""
    return {name: make_model(name, folder) for name in MAKERS}


def make_model(name: str, folder: Path) -> Path:
    """Writes one: "plain", "sliding_window", "recurrent" or "hybrid"."""
    path = folder / f"{name}.gguf"
    architecture, fill = MAKERS[name]
    writer = GGUFWriter(path, architecture)
    shape, draw = Shape(), Drawer(SEED)
    writer.add_name(f"random {name}")
    writer.add_file_type(LlamaFileType.ALL_F32)
    writer.add_vocab_size(len(tokens()))
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(NUM_BLOCKS)
    writer.add_layer_norm_rms_eps(1e-5)
    for tensor_name, weights in chain.from_iterable(fill(writer, shape, draw)):
        writer.add_tensor(tensor_name, weights)
    write_vocabulary(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_attention(writer: GGUFWriter, shape: Shape, kv_heads: int | list[int]) -> None:
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(10_000.0)


def _add_states(writer: GGUFWriter, shape: Shape) -> None:
    writer.add_ssm_conv_kernel(shape.convolution)
    writer.add_ssm_inner_size(shape.state_width)
    writer.add_ssm_state_size(shape.state_size)
    writer.add_ssm_time_step_rank(shape.state_heads)
    writer.add_ssm_group_count(shape.state_groups)


def _plain(writer: GGUFWriter, shape: Shape, draw: Drawer) -> Contents:
    _add_attention(writer, shape, shape.kv_heads)
    yield blocks.ends(draw, shape, len(tokens()))
    for block in range(NUM_BLOCKS):
        yield blocks.attention(draw, shape, block)
        yield blocks.feed_forward(draw, shape, block)


def _sliding_window(writer: GGUFWriter, shape: Shape, draw: Drawer) -> Contents:
    """Command R7B: every second block sees the window alone.

    Not Gemma: llama.cpp looks its GELU up in a table of halves, whose steps make ties of floats.
    """
    _add_attention(writer, shape, shape.kv_heads)
    writer.add_layer_norm_eps(1e-5)
    writer.add_logit_scale(blocks.LOGIT_DEVIATION / blocks.TIED_DEVIATION / shape.width**0.5)
    writer.add_sliding_window(SLIDING_WINDOW)
    writer.add_uint32("cohere2.attention.sliding_window_pattern", 2)
    yield blocks.tied_ends(draw, shape, len(tokens()))
    for block in range(NUM_BLOCKS):
        yield blocks.attention(draw, shape, block)
        yield blocks.feed_forward(draw, shape, block, normed=False)


def _recurrent(writer: GGUFWriter, shape: Shape, draw: Drawer) -> Contents:
    """Mamba 2: states alone."""
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    _add_states(writer, shape)
    yield blocks.ends(draw, shape, len(tokens()))
    for block in range(NUM_BLOCKS):
        yield blocks.mamba2(draw, shape, block)


def _hybrid(writer: GGUFWriter, shape: Shape, draw: Drawer) -> Contents:
    """Granite 4: every second block attends, the others have states."""
    attends = [block % 2 == 1 for block in range(NUM_BLOCKS)]
    _add_attention(writer, shape, [shape.kv_heads * each for each in attends])
    _add_states(writer, shape)
    yield blocks.ends(draw, shape, len(tokens()))
    for block in range(NUM_BLOCKS):
        mixer = blocks.attention if attends[block] else blocks.mamba2
        yield mixer(draw, shape, block)
        yield blocks.feed_forward(draw, shape, block)


Fill = Callable[[GGUFWriter, Shape, Drawer], Contents]
MAKERS: dict[str, tuple[str, Fill]] = {
    "plain": ("llama", _plain),
    "sliding_window": ("cohere2", _sliding_window),
    "recurrent": ("mamba2", _recurrent),
    "hybrid": ("granitehybrid", _hybrid),
}
