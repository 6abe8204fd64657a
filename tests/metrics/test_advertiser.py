"""Figures of an advertiser's page that small numbers put to the test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bidsim.metrics.advertiser import _figures
from bidsim.metrics.intervals import rates_differ


def test_roas__of_no_sale_or_of_unknown_sales_is_not_told() -> None:
    assert _figures(10**9, 0, 0, None)["roas"] is None
    assert _figures(10**9, 7, 7 * 10**9, None)["roas"] is None


def test_roas__of_sales_alike_is_poisson_s() -> None:
    found = _figures(2 * 10**9, 3, 30 * 10**9, float(np.sqrt(3 * 10.0**2)))["roas"]
    assert found["value"] == pytest.approx(15.0)
    assert found["low"] == pytest.approx(5 * stats.chi2.ppf(0.025, 6) / 2)
    assert found["high"] == pytest.approx(5 * stats.chi2.ppf(0.975, 8) / 2)


@pytest.mark.parametrize("mean", [2.0, 8.0, 60.0])
def test_roas__covers_where_sales_are_few(mean: float) -> None:
    dice, held = np.random.default_rng(1), []
    for _ in range(2_000):
        sold = dice.lognormal(0.0, 0.5, dice.poisson(mean))
        found = _figures(
            10**9, len(sold), round(sold.sum() * 1e9), float(np.sqrt((sold**2).sum())) if len(sold) else None
        )["roas"]
        if found is not None:
            held.append(found["low"] <= mean * np.exp(0.125) <= found["high"])
    assert 0.92 <= np.mean(held) <= 0.995


def test_rates_differ__where_intervals_overlap_and_a_test_tells_them_apart() -> None:
    assert rates_differ((170, 100.0), (125, 100.0))
    assert not rates_differ((170, 100.0), (150, 100.0))
    assert not rates_differ((0, 1.0), (0, 1.0))
    assert not rates_differ((5, 0.0), (0, 1.0))


def test_rates_differ__by_chance_in_one_of_twenty_at_most() -> None:
    counts = np.random.default_rng(2).poisson([[40.0, 80.0]] * 2_000)
    assert np.mean([rates_differ((int(a), 1.0), (int(b), 2.0)) for a, b in counts]) <= 0.06
