"""Sampling where a request does not say: `.env` over the model's metadata over OpenAI's."""

import logging

import pytest

from core.sampling import SamplingPlan
from core.sampling_defaults import (
    FIELDS,
    NOTHING,
    Default,
    Origin,
    recommended_values,
    resolve,
)


def test_nothing_chosen_is_the_standard() -> None:
    defaults = resolve(NOTHING, NOTHING)
    assert defaults.plan == SamplingPlan()
    assert tuple(defaults.by_field) == FIELDS
    assert {default.origin for default in defaults.by_field.values()} == {Origin.STANDARD}


def test_settings_win_over_the_model_which_wins_over_the_standard() -> None:
    defaults = resolve(
        {"temperature": 0.5, "top_k": None}, {"temperature": 0.7, "top_k": 40, "top_p": 0.8}
    )
    assert defaults.by_field["temperature"] == Default(0.5, Origin.SETTINGS)
    assert defaults.by_field["top_k"] == Default(None, Origin.SETTINGS)
    assert defaults.by_field["top_p"] == Default(0.8, Origin.MODEL)
    assert defaults.by_field["min_p"] == Default(0.0, Origin.STANDARD)
    assert defaults.plan == SamplingPlan(temperature=0.5, top_p=0.8)


def test_zero_and_none_are_choices() -> None:
    chosen = resolve({"temperature": 0.0}, {"top_k": None})
    assert chosen.by_field["temperature"] == Default(0.0, Origin.SETTINGS)
    assert chosen.by_field["top_k"] == Default(None, Origin.MODEL)


def test_every_field_of_the_metadata_is_read() -> None:
    written = {
        "temperature": 0.6,
        "top_p": 0.95,
        "top_k": 20,
        "min_p": 0,
        "repetition_penalty": 1.05,
        "presence_penalty": 1.5,
        "frequency_penalty": -0.5,
    }
    assert recommended_values(written, "test") == written
    others = {"do_sample": False, "max_new_tokens": 5, "temperature": None}
    assert recommended_values(others, "test") == {}


@pytest.mark.parametrize("written", [0, -1, 0.0])
def test_a_top_k_that_keeps_all_is_none(written: float) -> None:
    assert recommended_values({"top_k": written}, "test") == {"top_k": None}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", 2.5),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        pytest.param("temperature", 10**400, id="temperature-huge"),
        ("temperature", "0.6"),
        ("temperature", True),
        ("temperature", [0.6]),
        ("top_p", 0),
        ("top_k", -2),
        ("top_k", 1.5),
        ("top_k", float("inf")),
        ("min_p", 1.5),
        ("repetition_penalty", 0),
        ("repetition_penalty", 2.5),
        ("presence_penalty", 3),
    ],
)
def test_a_value_that_can_not_be_used_is_told_and_left_out(
    name: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = recommended_values({name: value, "min_p": 0.1} | {name: value}, "config.json")
    assert name not in found
    assert f"ignored={name}" in caplog.text
    assert "config.json" in caplog.text
    assert len(caplog.text) < 400
