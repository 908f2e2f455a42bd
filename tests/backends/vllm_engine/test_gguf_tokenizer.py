"""A GGUF's tokenizer gives llama.cpp's ids, read back through the file that is written."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backends.vllm_engine.gguf_file import GgufVocabulary, TokenKind, read_gguf
from backends.vllm_engine.gguf_tokenizer import adds_bos, build_tokenizer
from backends.vllm_engine.pre_tokenizers import known_names
from backends.vllm_engine.tokenizer import HuggingFaceTokenizer
from core.errors import ModelLoadError
from tests.backends.vllm_engine.gguf_making import (
    CONTROL,
    byte_level,
    sentencepiece,
    write_vocabulary,
)

Encode = Callable[..., list[int]]
PARTS = (
    *("hello", " world", "  ", "\n", "\r\n", "\t", "1234", "12,345.6", "don't", "I'LL", "HeLLo"),
    *("<|im_start|>", "<|im_end|>", "<think>", "[unused]", "<", '{"a": [1]}', "!?", "...", "_x"),
    *("\u00e9\u00df", "\u6f22\u5b57", "\u304b\u306a", "\ud55c\uad6d", "\u0661\u0662", "\u05b0"),
    *("\U0001f600", "\u00a0", "\u2028", "\u00b5", "\u03a9\u03c9", "\u0416\u0436", "\u0301", "\x00"),
)


def made(vocabulary: GgufVocabulary) -> HuggingFaceTokenizer:
    return HuggingFaceTokenizer(build_tokenizer(vocabulary).to_str())


def texts(count: int) -> Iterator[str]:
    chosen = random.Random(7)
    for _ in range(count):
        yield "".join(chosen.choices(PARTS, k=chosen.randint(1, 12)))


def llama_cpp_encode(path: Path) -> Encode:
    import llama_cpp

    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, None)
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    llama_cpp.llama_log_set(llama_cpp.llama_log_callback(), None)
    vocab = llama_cpp.llama_model_get_vocab(model)

    def encode(text: str, *, with_control: bool) -> list[int]:
        raw = text.encode()
        ids = (llama_cpp.llama_token * (len(raw) + 8))()
        count = llama_cpp.llama_tokenize(vocab, raw, len(raw), ids, len(ids), False, with_control)
        return list(ids[:count])

    return encode


def differences(vocabulary: GgufVocabulary, path: Path) -> list[str]:
    ours = made(read_gguf(write_vocabulary(path, vocabulary)).vocabulary)
    theirs = llama_cpp_encode(path)
    return [
        text
        for text in texts(150)
        for with_control in (True, False)
        if ours.encode(text, with_control=with_control) != theirs(text, with_control=with_control)
    ]


@pytest.mark.parametrize("pre", known_names())
def test_every_known_pre_tokenizer_gives_llama_cpps_ids(pre: str, tmp_path: Path) -> None:
    assert differences(byte_level(pre), tmp_path / "m.gguf") == []


def test_sentencepiece_gives_llama_cpps_ids(tmp_path: Path) -> None:
    assert differences(sentencepiece(), tmp_path / "m.gguf") == []


def test_control_tokens_are_read_as_such_only_if_asked() -> None:
    tokenizer, vocabulary = made(byte_level()), byte_level()
    control_id = vocabulary.tokens.index(CONTROL[0])
    assert tokenizer.encode(CONTROL[0], with_control=True) == [control_id]
    assert control_id not in tokenizer.encode(CONTROL[0], with_control=False)


def test_user_defined_tokens_are_read_either_way() -> None:
    user_id = byte_level().tokens.index("<think>")
    for with_control in (True, False):
        assert made(byte_level()).encode("<think>", with_control=with_control) == [user_id]


def test_what_looks_like_an_end_of_turn_is_control_whatever_the_file_says() -> None:
    vocabulary = byte_level()
    kinds = list(vocabulary.kinds)
    end_id = vocabulary.tokens.index("<|im_end|>")
    kinds[end_id] = TokenKind.NORMAL
    tokenizer = made(replace(vocabulary, kinds=tuple(kinds)))
    assert tokenizer.encode("<|im_end|>", with_control=True) == [end_id]
    assert end_id not in tokenizer.encode("<|im_end|>", with_control=False)


def test_an_unknown_pre_tokenizer_is_refused() -> None:
    with pytest.raises(ModelLoadError, match="'future-bpe' is not known"):
        build_tokenizer(byte_level("future-bpe"))


def test_an_unknown_kind_of_tokenizer_is_refused() -> None:
    with pytest.raises(ModelLoadError, match="of kind 'rwkv'"):
        build_tokenizer(replace(byte_level(), model="rwkv"))


def test_begin_of_text_goes_by_the_file_else_by_llama_cpps_rule() -> None:
    assert adds_bos(byte_level("llama-bpe"))
    assert not adds_bos(byte_level("qwen2"))
    assert not adds_bos(replace(byte_level("llama-bpe"), add_bos=False))
    assert adds_bos(sentencepiece())
