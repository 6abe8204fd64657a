"""Alarms: the statistics by plain formulas, what they promise in quiet times, and what they find."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bidsim.monitoring import baseline as baseline_module
from bidsim.monitoring.baseline import Baseline, Family, fit_baseline, window_overdispersion
from bidsim.monitoring.detector import (
    MULTIPLIERS,
    Detector,
    advance,
    calibrate_threshold,
    change_point,
    count_alarms,
    deviance,
)
from bidsim.monitoring.replay import replayed


def _windows(
    dice: np.random.Generator, windows: int, mean: np.ndarray, overdispersion: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    expected = mean[None, :] * dice.gamma(50, 1 / 50, (windows, len(mean)))
    wobble = dice.gamma(1 / overdispersion, overdispersion, expected.shape) if overdispersion else 1.0
    return expected, dice.poisson(expected * wobble).astype(float)


def test_advance__is_shiryaev_and_roberts_with_scipys_negative_binomial() -> None:
    dice = np.random.default_rng(1)
    mean, size = np.array([0.4, 3.0, 40.0]), np.array([5.0, 50.0, 1e9])
    statistics, naive = np.zeros((3, len(MULTIPLIERS))), np.zeros((3, len(MULTIPLIERS)))
    for _ in range(6):
        y = dice.poisson(mean).astype(float)
        total = advance(statistics, mean, y, size, np.array(MULTIPLIERS))
        for s in range(3):
            for j, r in enumerate(MULTIPLIERS):
                if size[s] > 1e6:
                    ratio = math.exp(stats.poisson.logpmf(y[s], r * mean[s]) - stats.poisson.logpmf(y[s], mean[s]))
                else:
                    logs = [stats.nbinom.logpmf(y[s], size[s], size[s] / (size[s] + m)) for m in (r * mean[s], mean[s])]
                    ratio = math.exp(logs[0] - logs[1])
                naive[s, j] = (1 + naive[s, j]) * ratio
        np.testing.assert_allclose(statistics, naive, rtol=3e-4)  # a size of 1e9 is all but Poisson's
        np.testing.assert_allclose(total, naive.mean(axis=1), rtol=1e-6)


def test_statistics__have_mean_t_after_t_quiet_windows() -> None:
    dice, slices = np.random.default_rng(2), 60_000
    mean, size = np.full(slices, 4.0), np.full(slices, 20.0)
    statistics = np.zeros((slices, 2))
    for _ in range(5):
        y = dice.negative_binomial(20, 20 / 24.0, slices).astype(float)
        advance(statistics, mean, y, size, np.array([0.7, 1.4]))
    np.testing.assert_allclose(statistics.mean(axis=0), [5.0, 5.0], rtol=0.05)


def test_statistics__stay_finite_and_wait_where_nothing_is_expected() -> None:
    statistics = np.zeros((2, len(MULTIPLIERS)))
    for _ in range(400):
        total = advance(
            statistics, np.array([100.0, 0.0]), np.array([1e4, 0.0]), np.full(2, 1e9), np.array(MULTIPLIERS)
        )
    assert np.isfinite(statistics).all()
    assert total[0] > 1e100
    assert total[1] == 0.0


def _apart(slices: int) -> Family:
    """One parent, and slices that are parts of it."""
    return Family(np.zeros(slices, np.int64), np.array([0] + [1] * (slices - 1)))


def test_baseline__shrinks_towards_the_parent_and_finds_the_scatter() -> None:
    dice = np.random.default_rng(3)
    mean = np.exp(dice.normal(1.5, 1.2, 801))
    true = dice.gamma(1 / 0.04, 0.04, 801)
    mean[0], true[0] = 5_000.0, 1.0
    expected, _ = _windows(dice, 40, mean)
    observed = dice.poisson(expected * true * 0.9 * dice.gamma(1 / 0.02, 0.02, expected.shape)).astype(float)
    found = fit_baseline(expected, observed, _apart(801))
    assert found.overdispersion[1] == pytest.approx(0.02, abs=0.006)
    assert found.spread[1] == pytest.approx(0.04, abs=0.015)
    level, left = found.level()
    plain = observed.sum(axis=0) / expected.sum(axis=0)
    parts = slice(1, None)
    assert np.abs(level - 0.9 * true)[parts].mean() < 0.9 * np.abs(plain - 0.9 * true)[parts].mean()
    # without a past there is the posterior by the textbook, Gamma(1/v, 1/(v parent)) and a Poisson count, v the spread and what drifts
    k = 17
    v = found.spread[17] + 1 / 400
    assert level[k] == pytest.approx((1 / v + observed[:, k].sum()) / (1 / (v * level[0]) + expected[:, k].sum()))
    assert left[k] == pytest.approx(1 / (1 / v + observed[:, k].sum()))
    assert (found.sizes(left) <= 1 / found.overdispersion + 1e-9).all()
    nothing = fit_baseline(np.zeros((3, 2)), np.zeros((3, 2)), _apart(2))
    assert np.isfinite(nothing.level()[0]).all()
    with pytest.raises(ValueError, match="too few"):
        fit_baseline(np.ones((1, 2)), np.ones((1, 2)), _apart(2))


def test_baseline__follows_a_drift_but_not_what_is_frozen_or_too_fresh() -> None:
    ones = np.full(2, 100.0)
    baseline = fit_baseline(np.tile(ones, (20, 1)), np.tile(ones, (20, 1)), _apart(2), half_life=5, gap=3)
    free, frozen = np.zeros(2, np.bool_), np.array([False, True])
    for _ in range(3):
        baseline.learn(ones, 2 * ones, free.copy())
    np.testing.assert_allclose(baseline.level()[0], [1.0, 1.0], rtol=1e-3)
    for _ in range(60):
        baseline.learn(ones, 2 * ones, frozen.copy())
    level, _ = baseline.level()
    assert level[0] == pytest.approx(2.0, rel=0.01)
    assert baseline.recent.came[1] / baseline.recent.told[1] == pytest.approx(1.0)
    baseline.learn(ones, 2 * ones, free.copy())
    baseline.forget_waiting(np.array([0]))
    told = baseline.recent.told[0]
    for _ in range(3):
        baseline.learn(ones, 2 * ones, free.copy())
    assert baseline.recent.told[0] <= told


def test_baseline__remembers_how_a_slice_differs_while_all_drift() -> None:
    """Slices of 2 conversions a window that come to 0.8 or 1.2 of what is predicted, and a market that sinks by a third in 300 windows."""
    dice, slices = np.random.default_rng(5), 600
    differs = np.where(np.arange(slices) % 2, 0.8, 1.2)
    mean = np.full(slices, 2.0)
    mean[0], differs[0] = mean[1:].sum(), 1.0

    def windows(drift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        came = dice.poisson(drift[:, None] * differs * mean).astype(float)
        came[:, 0] = came[:, 1:].sum(axis=1)
        return np.tile(mean, (len(drift), 1)), came

    errors = {}
    for name, past in (("one memory", 10.0), ("two memories", baseline_module.PAST)):
        baseline = fit_baseline(*windows(np.ones(60)), _apart(slices), half_life=10.0, gap=6, past=past)
        drift = np.linspace(1.0, 2 / 3, 300)
        for expected, came in zip(*windows(drift), strict=True):
            baseline.learn(expected, came, np.zeros(slices, np.bool_))
        level, _ = baseline.level()
        assert level[0] == pytest.approx(2 / 3, rel=0.05)
        for sort in (1, 2):
            errors[name, sort] = level[sort::2].mean() / (level[0] * differs[sort]) - 1
    # levels are drawn to the parent's for good where what is known is forgotten as fast as the drift is followed
    assert min(abs(errors["one memory", sort]) for sort in (1, 2)) > 0.05
    assert max(abs(errors["two memories", sort]) for sort in (1, 2)) < 0.02


def test_scatter__is_learned_on_and_known_better() -> None:
    dice = np.random.default_rng(9)
    expected, alone = np.full((3_000, 5), 800.0), Family(np.arange(5), np.zeros(5, np.int64))
    observed = dice.poisson(expected * dice.gamma(1 / 0.01, 0.01, (3_000, 1))).astype(float)
    observed[:12] = dice.poisson(expected[:12])
    baseline = fit_baseline(expected[:12], observed[:12], alone, half_life=20, gap=2, independent=11, sure=0.8)
    begun = baseline.overdispersion[0]
    for e, o in zip(expected[12:], observed[12:], strict=True):
        baseline.learn(e, o, np.zeros(5, np.bool_))
    assert baseline.overdispersion[0] == pytest.approx(0.01, rel=0.25)
    assert begun < 0.002
    assert baseline.scatter.known_from == pytest.approx(11 / 12 / (1 - 0.5 ** (1 / 400)), rel=0.01)


def test_baseline__takes_the_upper_bound_of_a_scatter_known_from_few_days() -> None:
    dice = np.random.default_rng(8)
    expected = np.full((12, 40), 500.0)
    observed = dice.poisson(expected * dice.gamma(1 / 0.01, 0.01, expected.shape)).astype(float)
    alone = Family(np.arange(40), np.zeros(40, np.int64))
    plain, careful = (fit_baseline(expected, observed, alone, independent=n).overdispersion[0] for n in (None, 3))
    assert careful == pytest.approx(plain * 3 / stats.chi2.ppf(0.05, 3))


def test_overdispersion__of_poisson_counts_is_nothing() -> None:
    expected, observed = _windows(np.random.default_rng(4), 60, np.full(500, 20.0))
    assert window_overdispersion(expected, observed) < 0.002


def test_change_point__finds_where_a_rate_halved() -> None:
    mean = np.full(30, 50.0)
    came = np.concatenate([np.full(18, 51.0), np.full(12, 24.0)])
    assert change_point(mean, came) == (18, pytest.approx(0.48))


def test_detector__keeps_its_promise_and_finds_what_broke() -> None:
    dice, slices = np.random.default_rng(5), 300
    mean = np.exp(dice.normal(1.5, 1.2, slices))
    mean[7] = 30.0
    mean[0] = mean[1:].sum()
    alone = Family(np.arange(slices), np.zeros(slices, np.int64))
    weight = np.full(slices, 1 / slices)

    def learned() -> Baseline:
        return fit_baseline(*_windows(np.random.default_rng(6), 60, mean, 0.01), alone, half_life=60, gap=4)

    largest = replayed(learned(), weight, zip(*_windows(dice, 3_000, mean, 0.01), strict=True))
    threshold = calibrate_threshold(largest, 1 / 300)
    assert count_alarms(largest, threshold, np.ones(slices)) <= 10
    assert count_alarms(largest, 0.5 * threshold, np.ones(slices)) >= 10
    quiet = Detector(learned(), weight, threshold)
    false_alarms = sum(len(quiet.watch(e, o)) for e, o in zip(*_windows(dice, 1_500, mean, 0.01), strict=True))
    assert false_alarms <= 15, "5 are promised"
    watched, first = Detector(learned(), weight, threshold), None
    expected, observed = _windows(dice, 60, mean, 0.01)
    observed[20:40, 7] = dice.poisson(0.4 * expected[20:40, 7])
    for t, (e, o) in enumerate(zip(expected, observed, strict=True)):
        for alarm in watched.watch(e, o):
            if first is None and t >= 20:
                first = alarm
    assert first is not None
    assert first.slice == 7
    assert first.window - 20 <= 6
    assert abs(first.since - 20) <= 1
    assert 0.1 < first.multiplier < 0.65
    assert first.strength >= 0
    back = [window for alarm, window in watched.ended if alarm == first]
    assert len(back) == 1
    assert 39 <= back[0] <= 43
    assert not watched.open


def test_count_alarms__counts_once_until_it_fell() -> None:
    path = np.array([[0.0, 5.0, 9.0, 4.0, 6.0, 0.3, 7.0]]).T
    assert count_alarms(path, 5.0, np.ones(1)) == 2
    assert count_alarms(path, 8.0, np.ones(1)) == 1
    assert count_alarms(path, 20.0, np.ones(1)) == 0


def test_deviance__is_scipys_likelihood_ratio() -> None:
    mean, came = np.array([4.0, 10.0, 3.0]), np.array([9.0, 10.0, 0.0])
    told = [
        stats.poisson.logpmf(y, max(y, 1e-12)) - stats.poisson.logpmf(y, m) if y else m
        for m, y in zip(mean, came, strict=True)
    ]
    np.testing.assert_allclose(deviance(mean, came), told, atol=1e-9)


def test_calibration__counts_slices_that_stand_for_others() -> None:
    largest = np.random.default_rng(1).pareto(1.0, (4_000, 6))
    many = np.array([1.0, 1.0, 1.0, 3.0, 3.0, 3.0])
    whole = np.concatenate([largest, largest[:, 3:], largest[:, 3:]], axis=1)
    assert calibrate_threshold(largest, 0.02, many) == pytest.approx(calibrate_threshold(whole, 0.02), rel=1e-6)


def test_part__of_a_baseline_is_that_of_its_slices() -> None:
    dice = np.random.default_rng(2)
    expected = dice.gamma(5, 1, (30, 6))
    family = Family(np.array([0, 0, 0, 2, 2, 1]), np.array([0, 1, 1, 2, 2, 2]))
    whole = fit_baseline(expected, dice.poisson(expected).astype(float), family)
    part = whole.part(np.array([0, 2, 4]))
    np.testing.assert_allclose(part.level()[0], whole.level()[0][[0, 2, 4]])
