"""Owns how ids are drawn where a request does not say: the values in force, and who chose each.

One rule for every engine: `.env`, else what the model's own metadata recommends, else OpenAI's
defaults, which are those of a SamplingPlan. Values go by the names of a SamplingPlan's fields; a
name that is not there means that nobody chose it.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from core.sampling import SamplingPlan

logger = logging.getLogger(__name__)

SamplingValues = Mapping[str, float | int | None]
NOTHING: SamplingValues = MappingProxyType({})
FIELDS = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
)
# What models and settings write for a top_k that keeps all ids.
_ALL_IDS = (0, -1)


class Origin(StrEnum):
    """Who chose a default."""

    SETTINGS = "settings"
    MODEL = "model"
    STANDARD = "standard"


@dataclass(frozen=True, slots=True)
class Default:
    """A field's value where a request has none. `value` None is a top_k that keeps all ids."""

    value: float | int | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class SamplingDefaults:
    """`by_field` holds each of FIELDS."""

    by_field: Mapping[str, Default]

    @property
    def plan(self) -> SamplingPlan:
        """What is done for a request that chooses nothing."""
        values = {name: default.value for name, default in self.by_field.items()}
        return SamplingPlan(**values)  # type: ignore[arg-type]


def resolve(settings: SamplingValues, recommended: SamplingValues) -> SamplingDefaults:
    """`settings` are those of `.env`; pass NOTHING for `recommended` where it is not to be used."""
    standard = SamplingPlan()
    by_field: dict[str, Default] = {}
    for name in FIELDS:
        if name in settings:
            by_field[name] = Default(settings[name], Origin.SETTINGS)
        elif name in recommended:
            by_field[name] = Default(recommended[name], Origin.MODEL)
        else:
            by_field[name] = Default(getattr(standard, name), Origin.STANDARD)
    return SamplingDefaults(by_field)


def recommended_values(written: Mapping[str, object], source: str) -> SamplingValues:
    """What a model's metadata recommends. `written` is what it says, None meaning nothing.

    Logs a warning for each value that can't be used and leaves it out; `source` names the metadata.
    Whether the model is to be sampled at all (`do_sample`) is not asked, as vLLM doesn't.
    """
    found: dict[str, float | int | None] = {}
    for name in FIELDS:
        value = written.get(name)
        if value is None:
            continue
        try:
            found[name] = sampling_value(name, value)
        except (ValueError, OverflowError) as error:
            logger.warning("ignored=%s value=%.40r in=%s reason=%s", name, value, source, error)
    return MappingProxyType(found)


def sampling_value(name: str, written: object) -> float | int | None:
    """A field's value as a SamplingPlan has it. Raises ValueError or OverflowError where it is out
    of range."""
    if isinstance(written, bool) or not isinstance(written, int | float):
        raise ValueError(f"{name} is no number")
    value: float | int | None
    if name == "top_k":
        if written != int(written):
            raise ValueError(f"{name} is no whole number")
        value = None if written in _ALL_IDS else int(written)
    else:
        value = float(written)
    SamplingPlan(**{name: value})  # type: ignore[arg-type]
    return value
