from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from bidsim.cvr.delay import DelayModel, fit_delay


def _clicks(seed: int, n: int, rate: float, mean: float, window: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    dice = np.random.default_rng(seed)
    elapsed = window * dice.random(n)
    delay = dice.exponential(mean, n)
    arrived = (dice.random(n) < rate) & (delay <= elapsed)
    return delay[arrived], elapsed[~arrived], elapsed


def test_fit__is_the_maximum_of_the_likelihood() -> None:
    delay, waiting, _ = _clicks(1, 4000, 0.2, 3.0, 5.0)

    def loss(x: np.ndarray) -> float:  # type: ignore[type-arg]
        p, m = 1 / (1 + np.exp(-x[0])), np.exp(x[1])
        return float(-(np.log(p / m) - delay / m).sum() - np.log(1 - p + p * np.exp(-waiting / m)).sum())

    best = optimize.minimize(
        loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10, "maxiter": 5000}
    )
    found = fit_delay(delay, waiting)
    assert found.rate == pytest.approx(1 / (1 + np.exp(-best.x[0])), rel=1e-3)
    assert found.mean == pytest.approx(np.exp(best.x[1]), rel=1e-3)


def test_fit__is_unbiased_where_counting_is_not() -> None:
    fitted, naive = [], []
    for seed in range(30):
        delay, waiting, elapsed = _clicks(seed, 20_000, 0.1, 2.0, 6.0)
        fitted.append(fit_delay(delay, waiting).rate)
        naive.append(len(delay) / len(elapsed))
    assert np.mean(fitted) == pytest.approx(0.1, abs=0.002)
    assert np.mean(naive) < 0.075


def test_still_to_come__falls_with_time() -> None:
    left = DelayModel(0.2, 3.0).still_to_come(np.array([0.0, 3.0, 30.0]))
    assert left[0] == pytest.approx(0.2)
    assert left[0] > left[1] > left[2]


def test_fit__needs_a_conversion() -> None:
    with pytest.raises(ValueError, match="no conversion"):
        fit_delay(np.zeros(0), np.ones(3))
