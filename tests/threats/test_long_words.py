"""A word as long as a body ended llama.cpp's tokenizer, and so the server, with the vocabularies of
Mistral, gpt-oss, Llama 4, DeepSeek and others (see tests/backends/llama/test_long_words.py).
"""

import pytest

from backends.undivided_text import LONGEST_STRETCH
from tests.threats.conftest import EngineTarget
from tests.threats.oracle import Attack, chat_attack

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]

TOO_LONG = "a" * (LONGEST_STRETCH + 1)


async def test_cve_2025_52566_a_word_of_a_megabyte_is_refused_on_every_engine(
    engine_target: EngineTarget,
) -> None:
    error = await engine_target.refuses(Attack("/tokenize", {"prompt": TOO_LONG}))
    assert "more than 1048576 characters without punctuation" in error["message"]
    banned = await engine_target.refuses(chat_attack(bad_words=[TOO_LONG]))
    assert banned["param"] == "bad_words"


@pytest.mark.parametrize("kind", ["a", "7", " ", "!"])
async def test_cve_2025_52566_a_shorter_one_is_tokenized(
    engine_target: EngineTarget, kind: str
) -> None:
    answer = await engine_target.during(Attack("/tokenize", {"prompt": kind * 40_000}))
    assert answer.status_code == 200
    assert answer.json()["count"] > 0
