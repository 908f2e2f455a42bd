"""What each engine tells of the one model: the same weights, and its own build."""

import re

import pytest

from backends.weights_digest import weights_digest
from tests.engines import MODEL, Engine

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]


async def test_both_engines_tell_the_file_s_own_digest(llama: Engine, vllm: Engine) -> None:
    digest = weights_digest(MODEL)
    assert llama.backend.card.weights_digest == digest
    assert vllm.backend.card.weights_digest == digest


async def test_both_engines_find_the_same_recommendation(llama: Engine, vllm: Engine) -> None:
    assert llama.backend.card.recommended == vllm.backend.card.recommended


async def test_each_engine_names_its_version_and_number_formats(
    llama: Engine, vllm: Engine
) -> None:
    by_llama = r"llama_cpp \d+\.\d+\.\d+, (CPU|GPU), KV cache f32, flash attention auto"
    assert re.fullmatch(by_llama, llama.backend.card.engine_build)
    by_vllm = r"vllm \d+\.\d+\S*, float32, KV cache auto"
    assert re.fullmatch(by_vllm, vllm.backend.card.engine_build)
