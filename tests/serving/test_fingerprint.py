"""The fingerprint changes with what changes answers, and with nothing else."""

import re
from dataclasses import replace

from backends.base import ModelCard
from backends.scripted import byte_vocabulary
from chat_formats.chatml import ChatmlFormat
from chat_formats.llama3 import Llama3Format
from core.sampling_defaults import NOTHING, resolve
from serving.fingerprint import system_fingerprint
from serving.prompting import special_tokens

CARD = ModelCard(
    name="m",
    vocabulary=byte_vocabulary(),
    context_window=64,
    num_slots=8,
    chat_template=None,
    is_byte_level=True,
    engine_build="scripted 1",
    weights_digest="abc",
)
CHATML = ChatmlFormat(special_tokens(CARD))
LLAMA3 = Llama3Format(special_tokens(CARD))
DEFAULTS = resolve(NOTHING, NOTHING)
OURS = system_fingerprint(CARD, CHATML, DEFAULTS)


def test_it_is_short_and_the_same_each_time() -> None:
    assert re.fullmatch(r"fp_[0-9a-f]{12}", OURS)
    assert system_fingerprint(CARD, CHATML, DEFAULTS) == OURS
    assert OURS == "fp_04f60ab91242"


def test_what_changes_answers_changes_it() -> None:
    found = {
        OURS,
        system_fingerprint(replace(CARD, weights_digest="abd"), CHATML, DEFAULTS),
        system_fingerprint(replace(CARD, engine_build="scripted 2"), CHATML, DEFAULTS),
        system_fingerprint(CARD, LLAMA3, DEFAULTS),
        system_fingerprint(CARD, CHATML, resolve({"temperature": 0.7}, NOTHING)),
        system_fingerprint(CARD, CHATML, resolve({"top_p": 0.7}, NOTHING)),
    }
    assert len(found) == 6


def test_names_and_who_chose_a_default_do_not_count() -> None:
    renamed = replace(CARD, name="n", context_window=128)
    assert system_fingerprint(renamed, CHATML, DEFAULTS) == OURS
    by_settings = resolve({"temperature": 0.7}, NOTHING)
    by_model = resolve(NOTHING, {"temperature": 0.7})
    assert system_fingerprint(CARD, CHATML, by_settings) == system_fingerprint(
        CARD, CHATML, by_model
    )
