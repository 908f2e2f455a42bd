"""Owns a byte-level vocabulary of any size, learned from the text of Python's standard library.

Nothing is downloaded, and the same Python gives the same vocabulary.
"""

import json
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

END_OF_TEXT, TURN_START, TURN_END = CONTROLS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n'"
    " + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# How llama.cpp's `llama-bpe` cuts text.
_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEXT_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens in the byte-level spelling, the control tokens last; merges as "left right"."""

    tokens: tuple[str, ...]
    merges: tuple[str, ...]

    @property
    def num_text_tokens(self) -> int:
        return len(self.tokens) - len(CONTROLS)

    def control_id(self, spelling: str) -> int:
        return self.num_text_tokens + CONTROLS.index(spelling)

    @property
    def unprintable_ids(self) -> tuple[int, ...]:
        """Control tokens, and tokens that are no whole characters by themselves."""
        text = range(self.num_text_tokens)
        parts = (index for index in text if not _is_whole(self.tokens[index]))
        return (*parts, *range(self.num_text_tokens, len(self.tokens)))


def learned(size: int) -> Vocabulary:
    """A vocabulary of `size` tokens. Takes some seconds for tens of thousands."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(CONTROLS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learner.train_from_iterator(_library_text(), trainer)
    model = json.loads(learner.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    if len(tokens) + len(CONTROLS) != size:
        raise ValueError(f"the standard library's text gives {len(tokens)} tokens, not {size}")
    merges = tuple(" ".join(merge) for merge in model["merges"])
    return Vocabulary((*tokens, *CONTROLS), merges)


def _library_text() -> Iterator[str]:
    left = _TEXT_BYTES
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "site-packages" in path.parts or left <= 0:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")[:left]
        left -= len(text)
        yield text


def _is_whole(token: str) -> bool:
    """Printable ASCII stands for itself in the byte-level spelling, and Ġ and Ċ for white space."""
    return token.replace("Ġ", " ").replace("Ċ", " ").isascii()
