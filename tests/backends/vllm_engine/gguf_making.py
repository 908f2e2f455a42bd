"""Writes small GGUF files and vocabularies for tests."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from backends.vllm_engine.gguf_file import GgufVocabulary, TokenKind
from backends.vllm_engine.vocabulary import byte_alphabet

CONTROL = ("<|im_start|>", "<|im_end|>")
USER_DEFINED = ("<think>",)
NO_SAMPLING: Mapping[str, float | str] = MappingProxyType({})
MERGES = ("h e", "l l", "he ll", "hell o", "\u0120 w", "1 2", "12 3")


def byte_level(pre: str | None = "llama-bpe") -> GgufVocabulary:
    """All bytes, a few merges, two control tokens and a user-defined one."""
    tokens = [*byte_alphabet(), *(merge.replace(" ", "") for merge in MERGES)]
    kinds = [TokenKind.NORMAL] * len(tokens)
    tokens += [*CONTROL, *USER_DEFINED, "[unused]"]
    kinds += [TokenKind.CONTROL] * 2 + [TokenKind.USER_DEFINED, TokenKind.UNUSED]
    return GgufVocabulary(
        model="gpt2",
        pre=pre,
        tokens=tuple(tokens),
        kinds=tuple(kinds),
        merges=MERGES,
        scores=(),
        bos_id=tokens.index(CONTROL[0]),
        eos_id=tokens.index(CONTROL[1]),
        end_ids=(tokens.index(CONTROL[1]),),
        add_bos=None,
        add_space_prefix=None,
    )


def sentencepiece() -> GgufVocabulary:
    """Byte pieces and a few words, in the order that sentencepiece writes them."""
    special = ["<unk>", "<s>", "</s>"]
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    words = ["\u2581", "h", "e", "l", "o", "he", "ll", "hell", "hello", "\u2581hello"]
    kinds = [TokenKind.UNKNOWN, TokenKind.CONTROL, TokenKind.CONTROL]
    kinds += [TokenKind.BYTE] * 256 + [TokenKind.NORMAL] * len(words)
    scores = [0.0] * (len(special) + 256) + [-float(10 - i) for i in range(len(words))]
    return replace(
        byte_level(),
        model="llama",
        pre=None,
        tokens=(*special, *bytes_, *words),
        kinds=tuple(kinds),
        merges=(),
        scores=tuple(scores),
        bos_id=1,
        eos_id=2,
        end_ids=(2,),
    )


def write_vocabulary(
    path: Path, vocabulary: GgufVocabulary, sampling: Mapping[str, float | str] = NO_SAMPLING
) -> Path:
    """A GGUF without weights, which llama.cpp opens with `vocab_only`. `sampling` is what it
    recommends, by the end of each key."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_tokenizer_model(vocabulary.model)
    if vocabulary.pre is not None:
        writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types(list(vocabulary.kinds))
    if vocabulary.merges:
        writer.add_token_merges(list(vocabulary.merges))
    if vocabulary.scores:
        writer.add_token_scores(list(vocabulary.scores))
    if vocabulary.bos_id is not None:
        writer.add_bos_token_id(vocabulary.bos_id)
    if vocabulary.eos_id is not None:
        writer.add_eos_token_id(vocabulary.eos_id)
    add_by_type = {int: writer.add_int32, float: writer.add_float32, str: writer.add_string}
    for name, value in sampling.items():
        add_by_type[type(value)](f"general.sampling.{name}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path
