"""Owns the tokenizer: training its merges, encoding, decoding. Knows no dialogue and no network."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from chat_formats.base import Piece
from scripts.tiny_model.rendering import CONTROLS

VOCABULARY_SIZE = 4096
LETTERS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,DIGITS}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _splitter(digits: int) -> pre_tokenizers.PreTokenizer:
    pattern = LETTERS.replace("DIGITS", str(digits))
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


@dataclass(frozen=True)
class Bpe:
    """A byte-level BPE as llama.cpp's `llama-bpe` cuts text; control tokens have the last ids."""

    tokens: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]

    @cached_property
    def _text(self) -> Tokenizer:
        vocabulary = {token: index for index, token in enumerate(self.tokens)}
        text = Tokenizer(models.BPE(vocab=vocabulary, merges=list(self.merges), ignore_merges=True))
        text.pre_tokenizer = _splitter(3)
        text.decoder = decoders.ByteLevel()
        return text

    @cached_property
    def control_ids(self) -> dict[str, int]:
        """Control tokens' ids by their spelling."""
        return {token: len(self.tokens) + index for index, token in enumerate(CONTROLS)}

    def encode(self, pieces: Iterable[Piece]) -> list[int]:
        """Ids of a rendered prompt; text stays text, also where it spells a control token."""
        ids: list[int] = []
        for piece in pieces:
            if piece.is_control:
                ids.append(self.control_ids[piece.text])
            else:
                ids += self._text.encode(piece.text).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids without control tokens."""
        return str(self._text.decode([index for index in ids if index < len(self.tokens)]))

    def save(self, path: Path) -> None:
        """Writes tokens and merges as JSON."""
        path.write_text(json.dumps({"tokens": self.tokens, "merges": self.merges}))

    @classmethod
    def load(cls, path: Path) -> "Bpe":
        """Reads what `save` wrote."""
        stored = json.loads(path.read_text())
        merges = tuple((left, right) for left, right in stored["merges"])
        return cls(tokens=tuple(stored["tokens"]), merges=merges)


def train_bpe(texts: Iterable[str]) -> Bpe:
    """Learns the merges. Digits are cut apart, so that every number is spelled digit by digit."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = _splitter(1)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE - len(CONTROLS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    model = json.loads(learner.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    merges = tuple((left, right) for left, right in model["merges"])
    return Bpe(tokens=tuple(tokens), merges=merges)
