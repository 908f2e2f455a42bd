"""The definition of sampling keeps its ranges."""

from typing import Any

import pytest

from core.sampling import SamplingPlan


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": -0.1},
        {"temperature": 2.1},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": float("nan")},
        {"top_k": 0},
        {"min_p": 1.1},
    ],
)
def test_values_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        SamplingPlan(**fields)


@pytest.mark.parametrize(
    ("temperature", "is_greedy", "drawn"),
    [(0.0, True, 0.01), (9e-6, True, 0.01), (1e-5, False, 0.01), (0.7, False, 0.7)],
)
def test_low_temperatures_are_greedy_or_drawn_at_one_hundredth(
    temperature: float, is_greedy: bool, drawn: float
) -> None:
    plan = SamplingPlan(temperature)
    assert (plan.is_greedy, plan.drawing_temperature) == (is_greedy, drawn)
