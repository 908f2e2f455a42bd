"""Owns which sampling a GGUF recommends. Opens no file: its metadata is handed in as text.

Metadata is compared as llama.cpp shows it, numbers with six decimals, so that one file recommends
the same to an engine that reads its bytes.
"""

from collections.abc import Callable

from core.sampling_defaults import SamplingValues, recommended_values

_KEYS = {
    "temperature": "general.sampling.temp",
    "top_p": "general.sampling.top_p",
    "top_k": "general.sampling.top_k",
    "min_p": "general.sampling.min_p",
    "repetition_penalty": "general.sampling.penalty_repeat",
}


def gguf_recommendation(text_of: Callable[[str], str | None]) -> SamplingValues:
    """`text_of` gives a key's value as text, None where the file has none."""
    written = {name: _number(text_of(key)) for name, key in _KEYS.items()}
    return recommended_values(written, "the GGUF's metadata")


def metadata_text(value: object) -> str | None:
    """A metadata value as llama.cpp shows it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def _number(text: str | None) -> object:
    """Text that is no number stays text, which is then refused as such."""
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number
