"""What is believed of an estimated effect: shrunk towards nothing, and an advertiser's towards what all have in common.

The prior of effects over many worlds is a mixture of normals around zero (Stephens 2017, "False discovery rates: a new
deal"); the local false-sign rate of the posterior says whether an effect may be spoken of. Effects of single
advertisers lie around a common one with a spread that is not known either: posteriors are mixtures over a grid of
spreads (Gelman et al., Bayesian Data Analysis, section 5.4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from bidsim.core.datasets import load_dataset
from bidsim.metrics.intervals import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bidsim.explain.effects import Estimate

SPEAK = 0.025
"""Highest local false-sign rate at which an effect is spoken of."""
_SPREADS = (0.0, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.12, 0.24, 0.5)
_BETWEEN = (0.0, 0.003, 0.006, 0.012, 0.025, 0.05, 0.1)
"""Spreads of advertisers around the common effect that are thought possible, each as likely as the others."""


@dataclass(frozen=True)
class Prior:
    """A mixture of normals around zero: how effects are spread over worlds."""

    weights: tuple[float, ...]
    spreads: tuple[float, ...] = _SPREADS


@dataclass(frozen=True)
class Belief:
    """An effect after shrinkage.

    Attributes:
        mean: Posterior mean of the log-ratio.
        low: 2.5% quantile.
        high: 97.5% quantile.
        false_sign: Posterior probability that the sign is not the mean's (Stephens 2017, local false-sign rate).

    """

    mean: float
    low: float
    high: float
    false_sign: float

    @property
    def speaks(self) -> bool:
        """Whether the effect may be spoken of."""
        return self.false_sign < SPEAK

    @property
    def uplift(self) -> Interval:
        """Change of conversions as a part of them, with its 95% interval."""
        return Interval(*(math.expm1(x) for x in (self.mean, self.low, self.high)))


def known_prior() -> Prior:
    """Prior that the package ships, fitted to drawn worlds that are never graded."""
    data = load_dataset("effects_prior")
    return Prior(tuple(data["weights"]), tuple(data["spreads"]))


def fit_prior(
    estimates: NDArray[np.float64],
    errors: NDArray[np.float64],
    spreads: tuple[float, ...] = _SPREADS,
    steps: int = 2_000,
) -> Prior:
    """Weights of the mixture by EM over the estimates of many worlds.

    One pseudo-observation at zero keeps the null honest (Stephens 2017).
    """
    sd = np.sqrt(np.asarray(spreads)[None, :] ** 2 + errors[:, None] ** 2)
    likelihood = np.exp(-0.5 * (estimates[:, None] / sd) ** 2) / sd
    likelihood /= likelihood.max(axis=1, keepdims=True)
    weights = np.full(len(spreads), 1.0 / len(spreads))
    for _ in range(steps):
        parts = likelihood * weights
        parts /= parts.sum(axis=1, keepdims=True)
        counts = parts.sum(axis=0)
        counts[0] += 1.0
        weights = counts / counts.sum()
    return Prior(tuple(float(w) for w in weights), spreads)


def shrink(estimate: Estimate, prior: Prior) -> Belief:
    """Posterior of an effect under the prior."""
    spread, error = np.asarray(prior.spreads), max(estimate.error, 1e-9)
    sd = np.sqrt(spread**2 + error**2)
    weights = (
        np.asarray(prior.weights)
        * np.exp(-0.5 * (estimate.value / sd) ** 2 + 0.5 * (estimate.value / sd.max()) ** 2)
        / sd
    )
    return believe(weights, estimate.value * spread**2 / sd**2, spread * error / sd)


def shrink_together(estimates: Sequence[Estimate], prior: Prior) -> tuple[Belief, list[Belief]]:
    """Posteriors of the common effect, and of each advertiser's, from each one's own estimate.

    Infinite errors say nothing.
    """
    told = [e for e in estimates if math.isfinite(e.error)]
    value = np.array([e.value for e in told])
    variance = np.maximum([e.error for e in told], 1e-9) ** 2 if told else np.zeros(0)
    log_weight, mean, spread, between = [], [], [], []
    for tau in _BETWEEN:
        total = 1.0 / (variance + tau**2)
        precision = max(float(total.sum()), 1e-12)
        middle, left = float((total * value).sum()) / precision, 1.0 / precision
        fit = (
            0.5 * float(np.log(total).sum()) - 0.5 * float((total * (value - middle) ** 2).sum()) + 0.5 * math.log(left)
        )
        for weight, s in zip(prior.weights, prior.spreads, strict=True):
            if weight > 0:
                whole = s**2 + left
                log_weight.append(math.log(weight) + fit - 0.5 * math.log(whole) - 0.5 * middle**2 / whole)
                mean.append(middle * s**2 / whole)
                spread.append(s**2 * left / whole)
                between.append(tau**2)
    weights = np.exp(np.array(log_weight) - max(log_weight))
    common, variances, taus = np.array(mean), np.array(spread), np.array(between)
    found = []
    for e in estimates:
        trust = taus / (taus + e.error**2) if math.isfinite(e.error) else np.zeros_like(taus)
        own = e.value if math.isfinite(e.error) else 0.0
        found.append(
            believe(
                weights, trust * own + (1 - trust) * common, np.sqrt(taus * (1 - trust) + (1 - trust) ** 2 * variances)
            )
        )
    return believe(weights, common, np.sqrt(variances)), found


def believe(weights: NDArray[np.float64], means: NDArray[np.float64], sds: NDArray[np.float64]) -> Belief:
    """Sum up a mixture of normals, whose weights need not add up to 1; a part with ``sds`` 0 is a point."""
    weights = weights / weights.sum()
    mean = float(weights @ means)

    wide = np.where(sds > 0, sds, 1.0)

    def below(x: float) -> float:
        """Posterior probability of an effect of x at most."""
        return float(weights @ np.where(sds > 0, ndtr((x - means) / wide), means <= x))

    zero = float(weights[(sds == 0.0) & (means == 0.0)].sum())
    negative = below(0.0) - zero
    width = float(max(np.abs(means).max(), sds.max(), 1e-9))

    def quantile(q: float) -> float:
        low, high = mean - 10 * width, mean + 10 * width
        for _ in range(80):
            half = 0.5 * (low + high)
            if below(half) < q:
                low = half
            else:
                high = half
        return 0.5 * (low + high)

    return Belief(mean, quantile(0.025), quantile(0.975), float(min(1.0 - negative, negative + zero)))
