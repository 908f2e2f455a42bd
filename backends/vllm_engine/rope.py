"""Owns what a GGUF says of position scaling, in a Hugging Face configuration's words.

transformers reads a GGUF without it: a model would load, and be wrong at long prompts.
"""

import math
from collections.abc import Mapping

from backends.vllm_engine.gguf_file import GgufModel
from core.errors import ModelLoadError

_LOW_FREQUENCY, _HIGH_FREQUENCY, _TRAINED_WINDOW = 1.0, 4.0, 8192
_TOLERANCE = 1e-2

RopeParameters = dict[str, float | int | str]


def rope_parameters(model: GgufModel, read: Mapping[str, object]) -> RopeParameters | None:
    """`read` is what transformers made of it. None: leave that. Raises ModelLoadError.

    A GGUF of the Llama 3.1 family holds a factor for each frequency instead of the rule that made
    them (transformers, `_compute_llama3_parameters`): the rule is guessed and checked against them.
    """
    if read.get("rope_type", "default") != "default":
        return None
    if model.rope_scaling or model.has_long_rope:
        raise ModelLoadError(
            f"{model.path.name} scales positions ({model.rope_scaling or 'longrope'}) in a way "
            "that can't be converted: use the model's Hugging Face folder, or llama_cpp"
        )
    if not model.rope_factors or max(model.rope_factors) <= 1.0:
        return None
    theta = read.get("rope_theta")
    base = float(theta) if isinstance(theta, int | float) else 10000.0
    factor = max(model.rope_factors)
    if not _fits(model.rope_factors, base, factor):
        raise ModelLoadError(
            f"{model.path.name} has frequency factors of an unknown kind: use the model's "
            "Hugging Face folder, or llama_cpp"
        )
    return {
        "rope_type": "llama3",
        "rope_theta": base,
        "factor": factor,
        "low_freq_factor": _LOW_FREQUENCY,
        "high_freq_factor": _HIGH_FREQUENCY,
        "original_max_position_embeddings": _TRAINED_WINDOW,
    }


def llama3_factors(num_frequencies: int, base: float, factor: float) -> tuple[float, ...]:
    """What each of the frequencies is divided by, in the Llama 3.1 family."""
    return tuple(
        _divisor(2 * math.pi * base ** (i / num_frequencies), factor)
        for i in range(num_frequencies)
    )


def _divisor(wavelength: float, factor: float) -> float:
    turns = _TRAINED_WINDOW / wavelength
    if turns > _HIGH_FREQUENCY:
        return 1.0
    if turns < _LOW_FREQUENCY:
        return factor
    smooth = (turns - _LOW_FREQUENCY) / (_HIGH_FREQUENCY - _LOW_FREQUENCY)
    return 1.0 / ((1.0 - smooth) / factor + smooth)


def _fits(factors: tuple[float, ...], base: float, factor: float) -> bool:
    expected = llama3_factors(len(factors), base, factor)
    pairs = zip(factors, expected, strict=True)
    return all(math.isclose(a, b, rel_tol=_TOLERANCE) for a, b in pairs)
