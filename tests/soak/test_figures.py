"""Slopes and quantiles."""

import pytest

from soak.figures import growth, quantile_ms

MIB = 1 << 20


def test_growth_is_the_slope_over_the_whole_time() -> None:
    at_s = [0.0, 900.0, 1800.0, 3600.0]
    found = growth(at_s, [int((100 + 10 * each / 3600) * MIB) for each in at_s])
    assert found is not None
    assert found.mib_per_hour == pytest.approx(10, abs=0.01)
    assert found.percent == pytest.approx(10, abs=0.01)


def test_noise_around_a_level_is_no_growth() -> None:
    levels = [100, 104, 100, 96, 100, 104, 100, 96, 100]
    found = growth([float(each) for each in range(9)], [each * MIB for each in levels])
    assert found is not None
    assert abs(found.percent) < 5


def test_too_few_points_tell_nothing() -> None:
    assert growth([0.0, 1.0], [1, 2]) is None
    assert quantile_ms([], 0.5) is None
    assert quantile_ms([0.001, 0.003], 0.5) == 2.0
