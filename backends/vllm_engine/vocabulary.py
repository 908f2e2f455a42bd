"""Owns what a Hugging Face folder tells of its token ids: their bytes, and which are control.

Encodes nothing.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from backends.vllm_engine.folder import ModelFolder
from backends.vllm_engine.tokenizer import adds_token_in_front
from core.errors import ModelLoadError
from core.vocabulary import Vocabulary

_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_WORD_MARK = "\u2581"


@dataclass(frozen=True, slots=True)
class FolderVocabulary:
    """`is_byte_level` tells a byte-level BPE vocabulary from a sentencepiece one."""

    vocabulary: Vocabulary
    is_byte_level: bool


def read_vocabulary(folder: ModelFolder) -> FolderVocabulary:
    """As long as the model's logits are wide. Raises ModelLoadError for an unusable folder."""
    try:
        tokenizer = json.loads(folder.tokenizer_text)
        ids = _ids_by_token(tokenizer["model"]["vocab"])
        added = [t for t in tokenizer.get("added_tokens") or () if isinstance(t, dict)]
        is_byte_level = "ByteLevel" in set(_kinds(tokenizer))
        pieces = _pieces(folder, ids, added, is_byte_level=is_byte_level)
    except (ValueError, KeyError, TypeError) as error:
        raise ModelLoadError(f"the model's tokenizer.json is not understood: {error!r}") from error
    spelled = {**ids, **{token["content"]: token["id"] for token in added}}
    bos_id = _named_id(folder, "bos", spelled)
    eos_id = _named_id(folder, "eos", spelled)
    num_ids = len(pieces)
    ends = {i for i in (eos_id, *_listed_ends(folder)) if i is not None and 0 <= i < num_ids}
    vocabulary = Vocabulary(
        pieces=pieces,
        control_ids=frozenset(t["id"] for t in added if t.get("special") and t["id"] < num_ids),
        bos_id=bos_id if bos_id is not None and bos_id < num_ids else None,
        eos_id=eos_id if eos_id is not None and eos_id < num_ids else None,
        metadata_end_ids=frozenset(ends),
        add_bos=_adds_bos(folder, bos_id),
    )
    return FolderVocabulary(vocabulary, is_byte_level)


def byte_alphabet() -> dict[str, int]:
    """The printable character that stands for each byte in byte-level BPE, as GPT-2 chose them."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    return alphabet | {chr(0x100 + i): byte for i, byte in enumerate(others)}


def _ids_by_token(vocab: object) -> dict[str, int]:
    if isinstance(vocab, dict):
        return vocab
    if isinstance(vocab, list):
        return {entry[0]: i for i, entry in enumerate(vocab)}
    raise ValueError("its vocabulary is neither a mapping nor a list")


def _kinds(part: object) -> Iterator[str]:
    """The `type` of every step before and after the model, however deep they nest."""
    if isinstance(part, list):
        for item in part:
            yield from _kinds(item)
    elif isinstance(part, dict):
        if isinstance(part.get("type"), str):
            yield part["type"]
        names = ("pre_tokenizer", "decoder", "pretokenizers", "decoders")
        for name in names:
            yield from _kinds(part.get(name))


def _pieces(
    folder: ModelFolder,
    ids: Mapping[str, int],
    added: list[dict[str, Any]],
    *,
    is_byte_level: bool,
) -> tuple[bytes, ...]:
    """Ids that the tokenizer doesn't know stand for nothing."""
    highest = max([*ids.values(), *(token["id"] for token in added)], default=-1)
    width = folder.text_config.get("vocab_size")
    pieces = [b""] * (width if isinstance(width, int) else highest + 1)
    alphabet = byte_alphabet()
    for token, token_id in ids.items():
        if token_id < len(pieces):
            pieces[token_id] = _bytes_of(token, alphabet if is_byte_level else None)
    for entry in added:
        if entry["id"] < len(pieces):
            pieces[entry["id"]] = entry["content"].encode()
    return tuple(pieces)


def _bytes_of(token: str, alphabet: Mapping[str, int] | None) -> bytes:
    if alphabet is not None:
        # Characters outside the alphabet stand for themselves, as llama.cpp has it.
        parts = (bytes((alphabet[char],)) if char in alphabet else char.encode() for char in token)
        return b"".join(parts)
    byte = _BYTE_PIECE.fullmatch(token)
    return bytes.fromhex(byte[1]) if byte else token.replace(_WORD_MARK, " ").encode()


def _named_id(folder: ModelFolder, name: str, spelled: Mapping[str, int]) -> int | None:
    """The tokenizer's word goes before the model's; a list's first is the one."""
    token = folder.tokenizer_config.get(f"{name}_token")
    spelling = token.get("content") if isinstance(token, dict) else token
    if isinstance(spelling, str) and spelling in spelled:
        return spelled[spelling]
    value = folder.text_config.get(f"{name}_token_id")
    if isinstance(value, list):
        value = next(iter(value), None)
    return value if isinstance(value, int) else None


def _listed_ends(folder: ModelFolder) -> list[int]:
    value = folder.generation_config.get("eos_token_id")
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, int)]


def _adds_bos(folder: ModelFolder, bos_id: int | None) -> bool:
    if bos_id is None:
        return False
    explicit = folder.tokenizer_config.get("add_bos_token")
    if isinstance(explicit, bool):
        return explicit
    return adds_token_in_front(folder.tokenizer_text, bos_id)
