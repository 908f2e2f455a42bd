"""Long texts have the ids that the library's plain call gives, and leave Python to others."""

import random
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from backends.rust_encoding import encoded

LETTERS = "abcdefgh"
PAIRS = [(one, other) for one in LETTERS for other in LETTERS]
VOCABULARY = [*LETTERS, " ", "[CLS]", "[SEP]", *(one + other for one, other in PAIRS)]
NUM_LONG = 500_000
NUM_TURNS = 20


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    ids = {text: token_id for token_id, text in enumerate(VOCABULARY)}
    made = Tokenizer(models.BPE(vocab=ids, merges=PAIRS, fuse_unk=False))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ends = [("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return made


def text_of(length: int) -> str:
    draws = random.Random(length)
    return "".join(draws.choices(LETTERS + " ", k=length))


@pytest.mark.parametrize("length", [0, 5, 4096, 4097, 20_000])
@pytest.mark.parametrize("adds_special", [True, False])
def test_ids_are_those_of_the_plain_call(
    tokenizer: Tokenizer, length: int, adds_special: bool
) -> None:
    text = text_of(length)
    plain = tokenizer.encode(text, add_special_tokens=adds_special).ids
    assert encoded(tokenizer, text, adds_special=adds_special) == plain
    pair = tokenizer.encode(text, "abc", add_special_tokens=adds_special).ids
    assert encoded(tokenizer, (text, "abc"), adds_special=adds_special) == pair


def test_others_run_while_a_long_text_is_encoded(tokenizer: Tokenizer) -> None:
    text, num_turns = text_of(NUM_LONG), 0
    with ThreadPoolExecutor(1) as pool:
        encoding = pool.submit(encoded, tokenizer, text, adds_special=False)
        while wait([encoding], timeout=0.001).not_done:
            num_turns += 1
    assert len(encoding.result()) > NUM_LONG / 4
    assert num_turns > NUM_TURNS
