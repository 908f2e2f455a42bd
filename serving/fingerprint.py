"""Owns the system fingerprint: what a seeded answer depends on besides the request, in short.

It binds the weights, the engine's build and number formats, the chat format and the sampling
defaults. Where it differs, the same request may get another answer. Knows no engine.
"""

import hashlib
import json

from backends.base import ModelCard
from chat_formats.base import ChatFormat
from core.sampling_defaults import FIELDS, SamplingDefaults

_NUM_DIGITS = 12


def system_fingerprint(card: ModelCard, chat_format: ChatFormat, defaults: SamplingDefaults) -> str:
    """`fp_` and 12 hexadecimal digits. Who chose a default does not count, only its value."""
    facts = [
        card.weights_digest,
        card.engine_build,
        chat_format.digest,
        [defaults.by_field[name].value for name in FIELDS],
    ]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return f"fp_{digest[:_NUM_DIGITS]}"
