"""What changes conversions: effects of levers from a randomised slice of traffic.

In the slice every lever is randomised at once around its natural value, which is logged: continuous levers to R below
it, to it or to R above it with probabilities 0.4, 0.2, 0.4, others uniformly. The outcome's log-odds are modelled as

    a logit p(A0, X) + g' B(A0) + advertiser + b' [B(A) - B(A0)] + d' [Q(A) - Q(A0)],

where p is the observational model at natural values, B the levers in units of their actions, and Q their products with
one another, with logit p, and with themselves; ridge regression holds d near zero. An effect is what the fitted model
says of the whole slice when one lever is moved and nothing else (g-computation, Robins 1986), as a difference of log
conversions, with a delta-method error from the sandwich covariance, in which a unit (a user with an advertiser) is one
observation however many impressions it has. What is believed of an estimate is the matter of
`bidsim.explain.shrinkage`.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

_RIDGE_MAIN = 1.0
_SD_PRODUCT = 0.04
_STEPS = 25
_TOLERANCE = 1e-8
_WIDER, _WIDER_OWN = 1.1, 1.3
_FORM = 0.05
"""What errors are multiplied by, and what part of an effect is added to them, since the truth has not quite the model's
form: on drawn worlds that are never graded z-scores of common effects had a standard deviation of 1.05 to 1.08, those
of single advertisers 1.09 to 1.24, growing with the size of the slice."""
FEWEST = 300
"""Fewest randomised conversions on which anything is said."""


@dataclass(frozen=True)
class Lever:
    """Something that an advertiser can pull.

    Attributes:
        name: Its name.
        kind: ``continuous`` (``action`` is what is added to the natural value), ``binary`` or ``choice`` (``action`` is
            the value it is set to).
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
class RandomisedRows:
    """The randomised impressions.

    Attributes:
        natural: float64[n, levers], what the levers would have been.
        assigned: float64[n, levers], what they were set to.
        score: float64[n], log-odds that the observational model gives at natural values.
        advertiser: int64[n], from 0.
        outcome: float64[n], 1 where the impression brought a conversion.
        keep: Share of impressions without conversion that are among the rows.
        unit: int64[n], for whom the levers were drawn; by default every row has its own draw.

    """

    natural: NDArray[np.float64]
    assigned: NDArray[np.float64]
    score: NDArray[np.float64]
    advertiser: NDArray[np.int64]
    outcome: NDArray[np.float64]
    keep: float = 1.0
    unit: NDArray[np.int64] | None = None

    @property
    def conversions(self) -> int:
        """Randomised conversions, which is what counts."""
        return int(self.outcome.sum())

    def only(self, rows: NDArray[np.bool_]) -> RandomisedRows:
        """Some of the rows."""
        unit = None if self.unit is None else self.unit[rows]
        return RandomisedRows(
            self.natural[rows],
            self.assigned[rows],
            self.score[rows],
            self.advertiser[rows],
            self.outcome[rows],
            self.keep,
            unit,
        )

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
class Fitted:
    """The model of a slice."""

    design: Design
    assigned: NDArray[np.float64]
    beta: NDArray[np.float64]
    covariance: NDArray[np.float64]


def _centred(score: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    return score - np.average(score, weights=weight)


def _products(
    blocks: Sequence[NDArray[np.float64]], levers: Sequence[Lever], score: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Q: products of levers, with the score, and squares of continuous ones."""
    columns = [block * score[:, None] for block in blocks]
    columns += [block**2 for block, lever in zip(blocks, levers, strict=True) if lever.kind == "continuous"]
    for i in range(len(blocks)):
        for j in range(i + 1, len(blocks)):
            columns.append((blocks[i][:, :, None] * blocks[j][:, None, :]).reshape(len(score), -1))
    return np.concatenate(columns, axis=1)


class Design:
    """Columns of the model for given values of the levers; what does not change with them is made once."""

    def __init__(self, rows: RandomisedRows, levers: Sequence[Lever]) -> None:
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
        self.precision = np.concatenate(
            [free, np.full(mains, 1.0 / _RIDGE_MAIN**2), np.full(self.products.shape[1], 1.0 / _SD_PRODUCT**2)]
        )

    def asking(self, levers: Sequence[Lever]) -> Design:
        """The same design, asked for actions of the same size in other directions."""
        found = copy(self)
        found.levers = levers
        return found

    def only(self, rows: NDArray[np.bool_]) -> Design:
        """The same design over some of the rows."""
        found = copy(self)
        found.rows, found.score, found.products, found.fixed = (
            self.rows.only(rows),
            self.score[rows],
            self.products[rows],
            self.fixed[rows],
        )
        found.natural = [block[rows] for block in self.natural]
        return found

    def at(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """All columns with the levers at ``values``, float64[n, levers]."""
        blocks = [lever.basis(values[:, k]) - self.middle[k] for k, lever in enumerate(self.levers)]
        return np.concatenate(
            [
                self.fixed,
                *(b - n for b, n in zip(blocks, self.natural, strict=True)),
                _products(blocks, self.levers, self.score) - self.products,
            ],
            axis=1,
        )


def fit_rows(rows: RandomisedRows, levers: Sequence[Lever]) -> Fitted:
    """Fit the model to the slice.

    Raises:
        ValueError: Fewer than `FEWEST` conversions were randomised.

    """
    if rows.conversions < FEWEST:
        raise ValueError(
            f"{rows.conversions} randomised conversions are too few; {FEWEST} are needed before anything can be said"
        )
    design = Design(rows, levers)
    assigned = design.at(rows.assigned)
    beta, covariance = _fit(assigned, rows.outcome, design.precision, np.zeros(len(rows.outcome)), rows.unit)
    return Fitted(design, assigned, beta, covariance)


def estimate_effects(rows: RandomisedRows, levers: Sequence[Lever]) -> list[Estimate]:
    """Effect of each lever's action over the impressions of the slice, all else left as it naturally is.

    Raises:
        ValueError: Fewer than `FEWEST` conversions were randomised.

    """
    return common_effects(fit_rows(rows, levers))


def common_effects(fitted: Fitted) -> list[Estimate]:
    """Effects over all impressions of the slice."""
    design, rows = fitted.design, fitted.design.rows
    eta = math.log(rows.keep) + design.at(rows.natural) @ fitted.beta
    found = []
    for k, lever in enumerate(design.levers):
        before, moved = design.at(rows.natural), design.at(_with_lever(rows.natural, k, lever))
        base, base_slope = _mean_rate(before, eta, rows.weight)
        rate, slope = _mean_rate(moved, eta + (moved - before) @ fitted.beta, rows.weight)
        gradient = slope / rate - base_slope / base
        found.append(_estimate(lever, math.log(rate / base), _WIDER, gradient, fitted.covariance))
    return found


def own_effects(fitted: Fitted, advertiser: int) -> list[Estimate]:
    """Effects over one advertiser's impressions, from its own evidence alone.

    What levers do there is a departure from the model of all, fitted to the advertiser's rows with a level of its own;
    everything else (natural values, products) is taken from the model of all. Where there are no rows the errors are
    infinite.
    """
    mine = fitted.design.rows.advertiser == advertiser
    design = fitted.design.only(mine)
    rows = design.rows
    if not rows.outcome.any():
        return [Estimate(lever.name, 0.0, math.inf) for lever in design.levers]
    blocks = [
        lever.basis(rows.assigned[:, k]) - lever.basis(rows.natural[:, k]) for k, lever in enumerate(design.levers)
    ]
    own = np.concatenate([np.ones((len(rows.outcome), 1)), *blocks], axis=1)
    precision = np.concatenate([[1e-4], np.full(own.shape[1] - 1, 1.0 / _RIDGE_MAIN**2)])
    delta, covariance = _fit(own, rows.outcome, precision, fitted.assigned[mine] @ fitted.beta, rows.unit)
    natural = design.at(rows.natural)
    eta = math.log(rows.keep) + natural @ fitted.beta + delta[0]
    still = np.zeros_like(own)
    still[:, 0] = 1.0
    base, base_slope = _mean_rate(still, eta, rows.weight)
    found = []
    for k, lever in enumerate(design.levers):
        values = _with_lever(rows.natural, k, lever)
        moved = still.copy()
        first = 1 + sum(block.shape[1] for block in blocks[:k])
        moved[:, first : first + blocks[k].shape[1]] = lever.basis(values[:, k]) - lever.basis(rows.natural[:, k])
        shifted = eta + (design.at(values) - natural) @ fitted.beta + (moved - still) @ delta
        rate, slope = _mean_rate(moved, shifted, rows.weight)
        gradient = slope / rate - base_slope / base
        found.append(_estimate(lever, math.log(rate / base), _WIDER_OWN, gradient, covariance))
    return found


def _estimate(
    lever: Lever, value: float, wider: float, gradient: NDArray[np.float64], covariance: NDArray[np.float64]
) -> Estimate:
    """An effect with its delta-method error, widened for what the model's form misses."""
    variance = max(float(gradient @ covariance @ gradient), 0.0)
    return Estimate(lever.name, value, math.sqrt(wider**2 * variance + (_FORM * value) ** 2))


def _with_lever(natural: NDArray[np.float64], k: int, lever: Lever) -> NDArray[np.float64]:
    values = natural.copy()
    values[:, k] = lever.moved(natural[:, k])
    return values


def _mean_rate(
    x: NDArray[np.float64], eta: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Sum of the rates of log-odds ``eta`` over the impressions, and its gradient in the coefficients of ``x``."""
    p = 1.0 / (1.0 + np.exp(-eta))
    return float(weight @ p), np.asarray((weight * p * (1 - p)) @ x)


def _fit(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    precision: NDArray[np.float64],
    offset: NDArray[np.float64],
    unit: NDArray[np.int64] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ridge logistic regression by Newton's method: coefficients, and H^-1 (G'G + L) H^-1 with G summed by unit."""
    beta = np.zeros(x.shape[1])
    previous = -math.inf
    for _ in range(_STEPS):
        value = _objective(x, y, beta, precision, offset)
        p = 1.0 / (1.0 + np.exp(-(x @ beta + offset)))
        gradient = x.T @ (y - p) - precision * beta
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(precision)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-4 and _objective(x, y, beta + size * step, precision, offset) < value:  # noqa: PLR2004
            size /= 2
        beta = beta + size * step
        if abs(value - previous) < _TOLERANCE * (1 + abs(value)):
            break
        previous = value
    p = 1.0 / (1.0 + np.exp(-(x @ beta + offset)))
    hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(precision)
    scores = _by_unit(x * (y - p)[:, None], unit)
    inverse = np.linalg.inv(hessian)
    return beta, inverse @ (scores.T @ scores + np.diag(precision)) @ inverse


def _by_unit(scores: NDArray[np.float64], unit: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """Sums of rows of the same unit."""
    if unit is None:
        return scores
    order = np.argsort(unit, kind="stable")
    first = np.flatnonzero(np.diff(unit[order], prepend=unit[order[0]] - 1))
    return np.asarray(np.add.reduceat(scores[order], first, axis=0))


def _objective(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    beta: NDArray[np.float64],
    precision: NDArray[np.float64],
    offset: NDArray[np.float64],
) -> float:
    """Log-likelihood less the penalty."""
    eta = x @ beta + offset
    return float(y @ eta - np.logaddexp(0.0, eta).sum() - 0.5 * (precision * beta**2).sum())
