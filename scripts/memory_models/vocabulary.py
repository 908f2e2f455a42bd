"""Owns the vocabulary of all these models: single bytes, pairs of letters, control tokens."""

from itertools import product
from pathlib import Path

from gguf import GGUFWriter, TokenType

from scripts.tiny_model.rendering import BOS, CONTROLS, EOS, PADDING

TEMPLATE = Path(__file__).parents[1] / "tiny_model" / "chat_template.jinja"
FIRST_LETTERS, SECOND_LETTERS = " aeioutnrs", "aeioutnrslchdmpg"


def byte_letters() -> list[str]:
    """GPT-2's printable letter for each byte: itself where it has one, else one from 256 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def merges() -> list[tuple[str, str]]:
    """The pairs that become tokens of their own, likeliest spelling aside: any will do."""
    letters = byte_letters()
    pairs = product(FIRST_LETTERS.encode(), SECOND_LETTERS.encode())
    return [(letters[left], letters[right]) for left, right in pairs]


def tokens() -> list[str]:
    """Every token in the order of ids; the control tokens come last."""
    return [*byte_letters(), *(left + right for left, right in merges()), *CONTROLS]


def write_vocabulary(writer: GGUFWriter) -> None:
    """Writes a byte-level BPE with `jarvis-tiny`'s control tokens and chat template."""
    spelled = tokens()
    ids = {token: index for index, token in enumerate(spelled)}
    kinds = [TokenType.NORMAL] * (len(spelled) - len(CONTROLS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(spelled)
    writer.add_token_types(kinds + [TokenType.CONTROL] * len(CONTROLS))
    writer.add_token_merges([" ".join(pair) for pair in merges()])
    writer.add_bos_token_id(ids[BOS])
    writer.add_eos_token_id(ids[EOS])
    writer.add_pad_token_id(ids[PADDING])
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE.read_text(encoding="utf-8").rstrip("\n"))
