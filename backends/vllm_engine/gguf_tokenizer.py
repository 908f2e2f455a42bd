"""Owns making a tokenizer out of a GGUF's metadata that gives llama.cpp's ids. Writes no file.

Every CONTROL token becomes a special added token, every USER_DEFINED one an added token that is
not special, so that the two readings of a control token's spelling can be told apart later.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from backends.vllm_engine.gguf_file import GgufVocabulary, TokenKind
from backends.vllm_engine.pre_tokenizers import find_pre_tokenizer, known_names
from core.errors import ModelLoadError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BYTE_LEVEL, _SENTENCEPIECE = "gpt2", "llama"
_WORD_MARK = "\u2581"
# llama.cpp takes these for control tokens even where a file calls them ordinary ones.
_ALWAYS_CONTROL = frozenset(
    (
        *("<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>"),
        *("<|calls|>", "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>"),
        *("_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>"),
        *("<turn|>", "<|tool_response>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "[e~["),
        *("<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<\uff5cfim\u2581begin\uff5c>"),
        *("<PRE>", "\u2581<PRE>", "<|code_prefix|>", "<|prefix|>"),
        *("<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<\uff5cfim\u2581hole\uff5c>"),
        *("<SUF>", "\u2581<SUF>", "<|code_suffix|>", "<|suffix|>"),
        *("<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<\uff5cfim\u2581end\uff5c>"),
        *("<MID>", "\u2581<MID>", "<|code_middle|>", "<|middle|>"),
        *("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
        *("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>"),
    )
)


def build_tokenizer(vocabulary: GgufVocabulary) -> "Tokenizer":
    """A `tokenizers.Tokenizer`. Raises ModelLoadError for a kind that is not known."""
    if vocabulary.model == _BYTE_LEVEL:
        tokenizer = _byte_level(vocabulary)
    elif vocabulary.model == _SENTENCEPIECE:
        tokenizer = _sentencepiece(vocabulary)
    else:
        raise ModelLoadError(
            f"the GGUF's tokenizer is of kind {vocabulary.model!r}: vLLM gets those of kind "
            "gpt2 and llama from a GGUF; use the model's Hugging Face folder, or llama_cpp"
        )
    _add_tokens(tokenizer, vocabulary)
    return tokenizer


def adds_bos(vocabulary: GgufVocabulary) -> bool:
    """Whether a plain prompt begins with begin-of-text: as the file says, else as llama.cpp."""
    if vocabulary.add_bos is not None:
        return vocabulary.add_bos
    if vocabulary.model == _SENTENCEPIECE:
        return True
    kind = find_pre_tokenizer(vocabulary.pre or "default")
    return kind is not None and kind.add_bos


def is_control(vocabulary: GgufVocabulary, token_id: int) -> bool:
    """Whether only a template may produce the id."""
    kind = vocabulary.kinds[token_id]
    return kind is TokenKind.CONTROL or vocabulary.tokens[token_id] in _ALWAYS_CONTROL


def _byte_level(vocabulary: GgufVocabulary) -> "Tokenizer":
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    name = vocabulary.pre or "default"
    kind = find_pre_tokenizer(name)
    if kind is None:
        raise ModelLoadError(
            f"the GGUF's pre-tokenizer {name!r} is not known for vLLM; known are "
            f"{', '.join(sorted(known_names()))}; use the model's Hugging Face folder, or llama_cpp"
        )
    merges = [(left, right) for left, _, right in (m.partition(" ") for m in vocabulary.merges)]
    tokenizer = Tokenizer(
        models.BPE(
            vocab=_ids_by_token(vocabulary),
            merges=_usable(merges, vocabulary),
            ignore_merges=kind.is_whole_word_first,
        )
    )
    cuts = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in kind.patterns]
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*cuts, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _sentencepiece(vocabulary: GgufVocabulary) -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models, normalizers

    unknown = next((t for t, k in _tokens(vocabulary) if k is TokenKind.UNKNOWN), None)
    tokenizer = Tokenizer(
        models.BPE(
            vocab=_ids_by_token(vocabulary),
            merges=list(_merges_by_score(vocabulary)),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    has_prefix = vocabulary.add_space_prefix is not False
    prefix = [normalizers.Prepend(_WORD_MARK)] if has_prefix else []
    spaces = normalizers.Replace(" ", _WORD_MARK)
    tokenizer.normalizer = normalizers.Sequence([*prefix, spaces])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_WORD_MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return tokenizer


def _merges_by_score(vocabulary: GgufVocabulary) -> Iterator[tuple[str, str]]:
    """Sentencepiece merges whatever makes the piece of the highest score; BPE wants a ranking."""
    ids = {
        token: i
        for i, (token, kind) in enumerate(_tokens(vocabulary))
        if kind in (TokenKind.NORMAL, TokenKind.USER_DEFINED, TokenKind.UNUSED)
    }
    for token in sorted(ids, key=lambda t: (-vocabulary.scores[ids[t]], ids[t])):
        halves = ((token[:cut], token[cut:]) for cut in range(1, len(token)))
        yield from (pair for pair in halves if pair[0] in ids and pair[1] in ids)


def _usable(merges: list[tuple[str, str]], vocabulary: GgufVocabulary) -> list[tuple[str, str]]:
    """A merge whose parts or result are no tokens never applies, and would be refused."""
    tokens = _ids_by_token(vocabulary)
    return [(a, b) for a, b in merges if a in tokens and b in tokens and a + b in tokens]


def _ids_by_token(vocabulary: GgufVocabulary) -> dict[str, int]:
    """Without unused ones: no text becomes them, and none comes of them."""
    return {
        token: i
        for i, (token, kind) in enumerate(_tokens(vocabulary))
        if kind is not TokenKind.UNUSED or is_control(vocabulary, i)
    }


def _tokens(vocabulary: GgufVocabulary) -> Iterator[tuple[str, TokenKind]]:
    return zip(vocabulary.tokens, vocabulary.kinds, strict=True)


def _add_tokens(tokenizer: "Tokenizer", vocabulary: GgufVocabulary) -> None:
    from tokenizers import AddedToken

    added = []
    for i, (token, kind) in enumerate(_tokens(vocabulary)):
        is_special = is_control(vocabulary, i) or kind is TokenKind.UNKNOWN
        if token and (is_special or kind is TokenKind.USER_DEFINED):
            added.append(AddedToken(token, special=is_special, normalized=False))
    tokenizer.add_tokens(added)
