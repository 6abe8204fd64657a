"""What changes conversions: effects of levers from a randomised slice of traffic.

In the slice every lever is randomised at once around its natural value, which is logged: continuous levers to R below it, to it or to
R above it with probabilities 0.4, 0.2, 0.4, others uniformly. The outcome's log-odds are modelled as

    a logit p(A0, X) + g' B(A0) + advertiser + b' [B(A) - B(A0)] + d' [Q(A) - Q(A0)],

where p is the observational model at natural values, B the levers in units of their actions, and Q their products with one another, with
logit p, and with themselves; ridge regression holds d near zero. An effect is what the fitted model says of the whole slice when one
lever is moved and nothing else (g-computation, Robins 1986), as a difference of log conversions, with a delta-method error from the
sandwich covariance. The prior of effects over many worlds, a mixture of normals (Stephens 2017, "ash"), then shrinks it, and its
local false-sign rate says whether it may be spoken of.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_RIDGE_MAIN = 1.0
_SD_PRODUCT = 0.04
_STEPS = 25
_TOLERANCE = 1e-8
SPEAK = 0.025
"""Highest local false-sign rate at which an effect is spoken of."""
FEWEST = 300
"""Fewest randomised conversions on which anything is said."""
_SPREADS = (0.0, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.12, 0.24, 0.5)


@dataclass(frozen=True)
class Lever:
    """Something that an advertiser can pull.

    Attributes:
        name: Its name.
        kind: ``continuous`` (``action`` is what is added to the natural value), ``binary`` or ``choice`` (``action`` is the value it is set to).
        action: The change that an effect is asked for.
        levels: Number of values of a choice.

    """

    name: str
    kind: Literal["continuous", "binary", "choice"]
    action: float
    levels: int = 2

    def moved(self, natural: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values after the action."""
        return natural + self.action if self.kind == "continuous" else np.full_like(natural, self.action)

    def basis(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Columns of the model, [n, columns]: in units of the action, or one for each level but the first."""
        if self.kind == "continuous":
            return (values / abs(self.action))[:, None]
        return (values[:, None] == np.arange(1, self.levels)[None, :]).astype(np.float64)


@dataclass(frozen=True)
class Slice:
    """The randomised impressions.

    Attributes:
        natural: float64[n, levers], what the levers would have been.
        assigned: float64[n, levers], what they were set to.
        score: float64[n], log-odds that the observational model gives at natural values.
        advertiser: int64[n], from 0.
        outcome: float64[n], 1 where the impression brought a conversion.
        keep: Share of impressions without conversion that are among the rows.

    """

    natural: NDArray[np.float64]
    assigned: NDArray[np.float64]
    score: NDArray[np.float64]
    advertiser: NDArray[np.int64]
    outcome: NDArray[np.float64]
    keep: float = 1.0

    @property
    def conversions(self) -> int:
        """Randomised conversions, which is what counts."""
        return int(self.outcome.sum())

    @property
    def weight(self) -> NDArray[np.float64]:
        """Impressions that each row stands for."""
        return np.where(self.outcome > 0, 1.0, 1.0 / self.keep)


@dataclass(frozen=True)
class Estimate:
    """A log-ratio of conversions: after the action over before.

    Attributes:
        lever: Name of the lever.
        value: Estimate, log-ratio.
        error: Its standard error.

    """

    lever: str
    value: float
    error: float


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


@dataclass(frozen=True)
class Prior:
    """A mixture of normals around zero: how effects are spread over worlds."""

    weights: tuple[float, ...]
    spreads: tuple[float, ...] = _SPREADS


def _centred(score: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    return score - np.average(score, weights=weight)


def _products(blocks: Sequence[NDArray[np.float64]], levers: Sequence[Lever], score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Q: products of levers, with the score, and squares of continuous ones."""
    columns = [block * score[:, None] for block in blocks]
    columns += [block**2 for block, lever in zip(blocks, levers, strict=True) if lever.kind == "continuous"]
    for i in range(len(blocks)):
        for j in range(i + 1, len(blocks)):
            columns.append((blocks[i][:, :, None] * blocks[j][:, None, :]).reshape(len(score), -1))
    return np.concatenate(columns, axis=1)


class Design:
    """Columns of the model for given values of the levers; what does not change with them is made once."""

    def __init__(self, rows: Slice, levers: Sequence[Lever]) -> None:
        self.levers, self.rows = levers, rows
        self.score = _centred(rows.score, rows.weight)
        # natural values around their mean: products then say what happens at typical values
        self.natural = [lever.basis(rows.natural[:, k]) for k, lever in enumerate(levers)]
        self.middle = [np.average(b, axis=0, weights=rows.weight) for b in self.natural]
        self.natural = [b - m for b, m in zip(self.natural, self.middle, strict=True)]
        self.products = _products(self.natural, levers, self.score)
        dummies = np.eye(int(rows.advertiser.max()) + 1)[rows.advertiser]
        self.fixed = np.concatenate([dummies, self.score[:, None], *self.natural], axis=1)
        mains = sum(b.shape[1] for b in self.natural)
        free = np.full(self.fixed.shape[1], 1e-4)
        self.precision = np.concatenate([free, np.full(mains, 1.0 / _RIDGE_MAIN**2), np.full(self.products.shape[1], 1.0 / _SD_PRODUCT**2)])

    def at(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """All columns with the levers at ``values``, float64[n, levers]."""
        blocks = [lever.basis(values[:, k]) - self.middle[k] for k, lever in enumerate(self.levers)]
        return np.concatenate([self.fixed, *(b - n for b, n in zip(blocks, self.natural, strict=True)), _products(blocks, self.levers, self.score) - self.products], axis=1)


def estimate_effects(rows: Slice, levers: Sequence[Lever]) -> list[Estimate]:
    """Effect of each lever's action over the impressions of the slice, all else left as it naturally is.

    Raises:
        ValueError: Fewer than `FEWEST` conversions were randomised.

    """
    if rows.conversions < FEWEST:
        raise ValueError(f"{rows.conversions} randomised conversions are too few; {FEWEST} are needed before anything can be said")
    design = Design(rows, levers)
    beta, covariance = _fit(design.at(rows.assigned), rows.outcome, design.precision)
    shift = math.log(rows.keep)
    base, base_slope = _mean_rate(design.at(rows.natural), beta, shift, rows.weight)
    found = []
    for k, lever in enumerate(levers):
        values = rows.natural.copy()
        values[:, k] = lever.moved(rows.natural[:, k])
        rate, slope = _mean_rate(design.at(values), beta, shift, rows.weight)
        gradient = slope / rate - base_slope / base
        found.append(Estimate(lever.name, math.log(rate / base), math.sqrt(max(float(gradient @ covariance @ gradient), 0.0))))
    return found


def _mean_rate(x: NDArray[np.float64], beta: NDArray[np.float64], shift: float, weight: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Sum of rates over the impressions, and its gradient."""
    p = 1.0 / (1.0 + np.exp(-(x @ beta + shift)))
    return float(weight @ p), np.asarray((weight * p * (1 - p)) @ x)


def _fit(x: NDArray[np.float64], y: NDArray[np.float64], precision: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ridge logistic regression by Newton's method: coefficients, and H^-1 (G'G + L) H^-1."""
    beta = np.zeros(x.shape[1])
    previous = -math.inf
    for _ in range(_STEPS):
        value = _objective(x, y, beta, precision)
        p = 1.0 / (1.0 + np.exp(-(x @ beta)))
        gradient = x.T @ (y - p) - precision * beta
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(precision)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-4 and _objective(x, y, beta + size * step, precision) < value:  # noqa: PLR2004
            size /= 2
        beta = beta + size * step
        if abs(value - previous) < _TOLERANCE * (1 + abs(value)):
            break
        previous = value
    p = 1.0 / (1.0 + np.exp(-(x @ beta)))
    hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(precision)
    scores = (x * ((y - p) ** 2)[:, None]).T @ x
    inverse = np.linalg.inv(hessian)
    return beta, inverse @ (scores + np.diag(precision)) @ inverse


def _objective(x: NDArray[np.float64], y: NDArray[np.float64], beta: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """Log-likelihood less the penalty."""
    eta = x @ beta
    return float(y @ eta - np.logaddexp(0.0, eta).sum() - 0.5 * (precision * beta**2).sum())


def fit_prior(estimates: NDArray[np.float64], errors: NDArray[np.float64], spreads: tuple[float, ...] = _SPREADS, steps: int = 2_000) -> Prior:
    """Weights of the mixture by EM over the estimates of many worlds; one pseudo-observation at zero keeps the null honest (Stephens 2017)."""
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
    weights = np.asarray(prior.weights) * np.exp(-0.5 * (estimate.value / sd) ** 2 + 0.5 * (estimate.value / sd.max()) ** 2) / sd
    weights /= weights.sum()
    means = estimate.value * spread**2 / sd**2
    sds = spread * error / sd
    mean = float(weights @ means)

    def below(x: float) -> float:
        """Posterior probability of an effect of x at most."""
        total = 0.0
        for w, m, s in zip(weights, means, sds, strict=True):
            total += w * (float(m <= x) if s == 0.0 else 0.5 * math.erfc((m - x) / (s * math.sqrt(2.0))))
        return total

    zero = float(weights[sds == 0.0].sum())
    negative = below(0.0) - zero
    false_sign = min(1.0 - negative, negative + zero)
    return Belief(mean, _quantile(below, 0.025, mean, sd.max()), _quantile(below, 0.975, mean, sd.max()), false_sign)


def _quantile(below: Callable[[float], float], q: float, middle: float, width: float) -> float:
    low, high = middle - 10 * width, middle + 10 * width
    for _ in range(80):
        half = 0.5 * (low + high)
        if below(half) < q:
            low = half
        else:
            high = half
    return 0.5 * (low + high)
