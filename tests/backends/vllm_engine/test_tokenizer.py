"""A tokenizer.json as the seam's tokenizer."""

import json

import pytest

from backends.vllm_engine.gguf_tokenizer import build_tokenizer
from backends.vllm_engine.tokenizer import HuggingFaceTokenizer, adds_token_in_front
from core.errors import ModelLoadError
from tests.backends.vllm_engine.gguf_making import CONTROL, byte_level

BOS_ID = byte_level().bos_id


def text_with(**parts: object) -> str:
    return json.dumps({**json.loads(build_tokenizer(byte_level()).to_str()), **parts})


def begins_with_bos() -> dict[str, object]:
    bos = {"id": CONTROL[0], "type_id": 0}
    return {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": bos}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {CONTROL[0]: {"id": CONTROL[0], "ids": [BOS_ID], "tokens": [CONTROL[0]]}},
    }


def test_nothing_is_added_cut_or_padded() -> None:
    cut = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    text = text_with(post_processor=begins_with_bos(), truncation=cut)
    ids = HuggingFaceTokenizer(text).encode("xyzxyz", with_control=True)
    assert len(ids) == 6
    assert BOS_ID not in ids


def test_whether_begin_of_text_is_added_is_seen_in_the_tokenizer() -> None:
    assert BOS_ID is not None
    assert adds_token_in_front(text_with(post_processor=begins_with_bos()), BOS_ID)
    assert not adds_token_in_front(text_with(), BOS_ID)


def test_a_lone_surrogate_is_a_question_mark_as_with_llama_cpp() -> None:
    tokenizer = HuggingFaceTokenizer(text_with())
    assert tokenizer.encode("\ud800", with_control=False) == tokenizer.encode(
        "?", with_control=False
    )


def test_a_damaged_tokenizer_is_refused() -> None:
    with pytest.raises(ModelLoadError, match=r"tokenizer\.json"):
        HuggingFaceTokenizer("{}")
