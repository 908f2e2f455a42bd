"""Position scaling that a GGUF holds as numbers, told in a configuration's words."""

from pathlib import Path

import pytest

from backends.vllm_engine.gguf_file import GgufModel
from backends.vllm_engine.rope import llama3_factors, rope_parameters
from core.errors import ModelLoadError
from tests.backends.vllm_engine.gguf_making import byte_level

PLAIN = {"rope_type": "default", "rope_theta": 500000.0}


def model(
    factors: tuple[float, ...] = (), *, scaling: str | None = None, long: bool = False
) -> GgufModel:
    return GgufModel(Path("m.gguf"), "llama", True, 1, factors, scaling, long, None, byte_level())


def test_the_llama3_rule_is_found_from_its_factors() -> None:
    found = rope_parameters(model(llama3_factors(64, 500000.0, 8.0)), PLAIN)
    assert found == {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }


def test_factors_of_another_rule_are_refused() -> None:
    with pytest.raises(ModelLoadError, match="unknown kind"):
        rope_parameters(model((2.0,) * 63 + (4.0,)), PLAIN)


@pytest.mark.parametrize("source", [model(scaling="yarn"), model(long=True)])
def test_scaling_that_would_be_lost_is_refused(source: GgufModel) -> None:
    with pytest.raises(ModelLoadError, match="scales positions"):
        rope_parameters(source, PLAIN)


def test_scaling_that_was_read_is_left_alone() -> None:
    assert rope_parameters(model(scaling="yarn"), {"rope_type": "yarn"}) is None


def test_a_model_without_scaling_has_none() -> None:
    assert rope_parameters(model(), PLAIN) is None
    assert rope_parameters(model((1.0,) * 32), PLAIN) is None
