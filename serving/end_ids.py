"""Computes, once for every engine, which ids end an answer. Engines' own rules are off."""

from collections.abc import Iterable

from core.vocabulary import Vocabulary

# Control tokens that end a turn or a text in the families we know, where metadata forgets them.
_ENDING_SPELLINGS = frozenset(
    {
        "<|im_end|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|end_of_text|>",
        "<|endoftext|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
        "<end_of_turn>",
        "<|END_OF_TURN_TOKEN|>",
        "</s>",
        "<eos>",
        "<EOT>",
        "[EOS]",
    }
)


def end_ids(vocabulary: Vocabulary, stop_tokens: Iterable[str] = ()) -> frozenset[int]:
    """The model's own end ids, the format's `stop_tokens`, and known spellings of control ids."""
    control = vocabulary.control_tokens()
    spelled = (_ENDING_SPELLINGS | set(stop_tokens)) & control.keys()
    own = {vocabulary.eos_id} if vocabulary.eos_id is not None else set()
    return vocabulary.metadata_end_ids | own | {control[spelling] for spelling in spelled}
