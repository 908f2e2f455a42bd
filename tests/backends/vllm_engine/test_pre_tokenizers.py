"""Which pre-tokenizers are known, and that no name is claimed twice."""

from backends.vllm_engine.pre_tokenizers import find_pre_tokenizer, known_names


def test_no_name_is_claimed_twice() -> None:
    names = known_names()
    assert len(names) == len(set(names))


def test_an_unknown_name_is_not_guessed() -> None:
    assert find_pre_tokenizer("llama") is None
    assert find_pre_tokenizer("") is None


def test_llama3_takes_whole_words_first_and_begins_with_bos() -> None:
    kind = find_pre_tokenizer("llama-bpe")
    assert kind is not None
    assert kind.is_whole_word_first
    assert kind.add_bos
