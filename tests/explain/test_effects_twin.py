"""Effects against a twin: columns row by row, a general optimiser, gradients by small steps."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize

from bidsim.explain.effects import (
    FEWEST,
    Fitted,
    Lever,
    RandomisedRows,
    common_effects,
    estimate_effects,
    fit_rows,
    own_effects,
)

if TYPE_CHECKING:
    from collections.abc import Callable

LEVERS = (
    Lever("price", "continuous", -0.1),
    Lever("creative", "continuous", 0.5),
    Lever("shipping", "binary", 1.0),
    Lever("placement", "choice", 2.0, 3),
)
KEEP = 0.6


@cache
def explored(units: bool = True) -> RandomisedRows:
    """A small slice in which everything has an effect, also beside another; the third advertiser brought nothing."""
    dice, n = np.random.default_rng(8), 1_500
    natural = np.column_stack(
        [dice.normal(0.2, 0.1, n), dice.normal(0, 1, n), dice.integers(0, 2, n), dice.integers(0, 3, n)]
    ).astype(float)
    assigned = np.column_stack(
        [
            natural[:, 0] + dice.choice([-0.2, 0, 0.2], n),
            natural[:, 1] + dice.choice([-1, 0, 1], n),
            dice.integers(0, 2, n),
            dice.integers(0, 3, n),
        ]
    )
    advertiser = dice.integers(0, 3, n)
    eta = (
        -0.2
        + 0.4 * advertiser
        - 3 * assigned[:, 0]
        + 0.3 * assigned[:, 1]
        + 0.5 * assigned[:, 2]
        - 0.4 * (assigned[:, 3] == 1)
        + 0.8 * assigned[:, 0] * assigned[:, 2]
    )
    outcome = ((dice.random(n) < 1 / (1 + np.exp(-eta))) & (advertiser < 2)).astype(float)
    return RandomisedRows(
        natural,
        assigned,
        eta + dice.normal(0, 0.4, n),
        advertiser,
        outcome,
        KEEP,
        dice.integers(0, 700, n) if units else None,
    )


def weights(rows: RandomisedRows) -> list[float]:
    """Impressions that each row stands for."""
    return [1.0 if y else 1 / rows.keep for y in rows.outcome]


def mean(values: list[float], weight: list[float]) -> float:
    """Weighted mean."""
    return sum(v * w for v, w in zip(values, weight, strict=True)) / sum(weight)


def block(lever: Lever, value: float) -> list[float]:
    """Columns of one lever at one value."""
    return (
        [value / abs(lever.action)]
        if lever.kind == "continuous"
        else [float(value == level) for level in range(1, lever.levels)]
    )


class Twin:
    """The model of a slice, row by row."""

    def __init__(self, rows: RandomisedRows) -> None:
        self.rows, n = rows, len(rows.outcome)
        self.weight = weights(rows)
        typical = mean(list(rows.score), self.weight)
        self.score = [s - typical for s in rows.score]
        natural = [[block(lever, rows.natural[r, k]) for k, lever in enumerate(LEVERS)] for r in range(n)]
        self.middle = [
            [mean([row[k][j] for row in natural], self.weight) for j in range(len(natural[0][k]))]
            for k in range(len(LEVERS))
        ]
        self.precision = np.array([1e-4] * (3 + 1 + 5) + [1.0] * 5 + [1 / 0.04**2] * (5 + 2 + 9))
        self.x = self.columns(rows.assigned)
        self.beta = self.fitted(self.x, np.zeros(n), self.precision, rows.outcome)
        self.covariance = self.sandwich(self.x, self.x @ self.beta, self.precision, rows.outcome, rows.unit)

    def _centred(self, values: Any) -> list[list[float]]:
        return [
            [v - m for v, m in zip(block(lever, value), middle, strict=True)]
            for lever, value, middle in zip(LEVERS, values, self.middle, strict=True)
        ]

    def _products(self, blocks: list[list[float]], score: float) -> list[float]:
        found = [v * score for one in blocks for v in one]
        found += [one[0] ** 2 for one, lever in zip(blocks, LEVERS, strict=True) if lever.kind == "continuous"]
        return found + [
            a * b for i in range(len(blocks)) for j in range(i + 1, len(blocks)) for a in blocks[i] for b in blocks[j]
        ]

    def columns(self, values: Any) -> Any:
        """All columns: level of the advertiser, score, natural values, what was changed, and what changed of the products."""
        found = []
        for r in range(len(values)):
            before, after = self._centred(self.rows.natural[r]), self._centred(values[r])
            level = [float(self.rows.advertiser[r] == a) for a in range(3)]
            changed = [b - a for one, other in zip(before, after, strict=True) for a, b in zip(one, other, strict=True)]
            products = [
                b - a
                for a, b in zip(
                    self._products(before, self.score[r]), self._products(after, self.score[r]), strict=True
                )
            ]
            found.append([*level, self.score[r], *(v for one in before for v in one), *changed, *products])
        return np.array(found)

    @staticmethod
    def fitted(x: Any, offset: Any, precision: Any, outcome: Any) -> Any:
        """Coefficients of largest penalised likelihood."""

        def loss(beta: Any) -> tuple[float, Any]:
            eta = x @ beta + offset
            p = 1 / (1 + np.exp(-eta))
            return float(np.logaddexp(0, eta).sum() - outcome @ eta + 0.5 * precision @ beta**2), x.T @ (
                p - outcome
            ) + precision * beta

        return minimize(loss, np.zeros(x.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 5_000}).x

    @staticmethod
    def sandwich(x: Any, eta: Any, precision: Any, outcome: Any, unit: Any) -> Any:
        """Covariance, a unit being one observation."""
        p = 1 / (1 + np.exp(-eta))
        hessian, meat = np.diag(precision), np.diag(precision)
        for r in range(len(x)):
            hessian = hessian + p[r] * (1 - p[r]) * np.outer(x[r], x[r])
        for one in set(unit.tolist()) if unit is not None else range(len(x)):
            mine = np.flatnonzero(unit == one) if unit is not None else [one]
            total = sum((outcome[r] - p[r]) * x[r] for r in mine)
            meat = meat + np.outer(total, total)
        return np.linalg.inv(hessian) @ meat @ np.linalg.inv(hessian)

    def conversions(self, x: Any, eta: Any) -> Callable[[Any], float]:
        """Expected conversions over the impressions, of a change in the coefficients."""
        return lambda change: sum(
            w / (1 + math.exp(-e))
            for w, e in zip(self.weight, eta + x @ change + math.log(self.rows.keep), strict=True)
        )

    def moved(self, k: int) -> Any:
        """Natural values with one lever pulled."""
        values = self.rows.natural.copy()
        values[:, k] = values[:, k] + LEVERS[k].action if LEVERS[k].kind == "continuous" else LEVERS[k].action
        return values


def _error(ratio: Callable[[Any], float], covariance: Any, wider: float) -> tuple[float, float]:
    nothing = np.zeros(len(covariance))
    slope = approx_fprime(nothing, ratio, 1e-6)
    value = ratio(nothing)
    return value, math.sqrt(wider**2 * slope @ covariance @ slope + (0.05 * value) ** 2)


@cache
def fitted() -> tuple[Twin, Fitted]:
    """Both fits."""
    return Twin(explored()), fit_rows(explored(), LEVERS)


def test_fit__agrees_with_its_twin() -> None:
    twin, found = fitted()
    np.testing.assert_allclose(found.assigned, twin.x, atol=1e-12)
    np.testing.assert_allclose(found.beta, twin.beta, atol=1e-6)
    np.testing.assert_allclose(found.covariance, twin.covariance, rtol=1e-4, atol=1e-8)


def test_covariance__without_units_has_every_row_for_itself() -> None:
    rows = explored(units=False)
    found, twin = fit_rows(rows, LEVERS), fitted()[0]
    np.testing.assert_allclose(
        found.covariance,
        twin.sandwich(twin.x, twin.x @ twin.beta, twin.precision, rows.outcome, None),
        rtol=1e-4,
        atol=1e-8,
    )


def test_common_effects__agree_with_their_twin() -> None:
    twin, found = fitted()
    before = twin.columns(twin.rows.natural)
    base = twin.conversions(before, before @ twin.beta)
    for k, (lever, effect) in enumerate(zip(LEVERS, common_effects(found), strict=True)):
        after = twin.columns(twin.moved(k))
        rate = twin.conversions(after, after @ twin.beta)
        value, error = _error(lambda change, rate=rate: math.log(rate(change) / base(change)), twin.covariance, 1.1)
        assert (effect.lever, effect.value, effect.error) == (
            lever.name,
            pytest.approx(value, abs=1e-6),
            pytest.approx(error, rel=1e-4),
        )
        assert abs(value) > 0.01
    assert [e.value for e in estimate_effects(explored(), LEVERS)] == [e.value for e in common_effects(found)]


@pytest.mark.parametrize("advertiser", [0, 1])
def test_own_effects__agree_with_their_twin(advertiser: int) -> None:
    """An advertiser's own departure: a level, and a slope for each column of the levers, beside what all have."""
    whole, found = fitted()
    rows = whole.rows
    mine = rows.advertiser == advertiser
    change = np.array([[1.0, *(b - a for k, lever in enumerate(LEVERS) for a, b in zip(block(lever, before[k]), block(lever, after[k]), strict=True))] for before, after in zip(rows.natural, rows.assigned, strict=True)])[mine]  # fmt: skip
    offset, precision = (whole.x @ whole.beta)[mine], np.array([1e-4] + [1.0] * 5)
    delta = whole.fitted(change, offset, precision, rows.outcome[mine])
    covariance = whole.sandwich(
        change,
        change @ delta + offset,
        precision,
        rows.outcome[mine],
        rows.unit[mine] if rows.unit is not None else None,
    )
    weight = np.array(whole.weight)[mine]

    def conversions(x: Any, eta: Any) -> Callable[[Any], float]:
        return lambda move: float(
            sum(w / (1 + math.exp(-e)) for w, e in zip(weight, eta + x @ (delta + move) + math.log(KEEP), strict=True))
        )

    still = np.zeros_like(change)
    still[:, 0] = 1.0
    base = conversions(still, (whole.columns(rows.natural) @ whole.beta)[mine])
    for k, (lever, effect) in enumerate(zip(LEVERS, own_effects(found, advertiser), strict=True)):
        values, pulled, at = whole.moved(k), still.copy(), 1
        for j, other in enumerate(LEVERS):
            columns = len(block(other, 0.0))
            if j == k:
                for r, (before, after) in enumerate(zip(rows.natural[mine, k], values[mine, k], strict=True)):
                    pulled[r, at : at + columns] = [
                        b - a for a, b in zip(block(lever, before), block(lever, after), strict=True)
                    ]
            at += columns
        rate = conversions(pulled, (whole.columns(values) @ whole.beta)[mine])
        value, error = _error(lambda move, rate=rate: math.log(rate(move) / base(move)), covariance, 1.3)
        assert (effect.lever, effect.value, effect.error) == (
            lever.name,
            pytest.approx(value, abs=1e-6),
            pytest.approx(error, rel=1e-4),
        )


def test_own_effects__of_who_brought_nothing_are_unknown() -> None:
    assert [(e.lever, e.value, e.error) for e in own_effects(fitted()[1], 2)] == [
        (lever.name, 0.0, math.inf) for lever in LEVERS
    ]


def test_asking__for_the_other_direction_changes_the_effect_and_not_the_fit() -> None:
    found = fitted()[1]
    dearer = tuple(replace(lever, action=-lever.action) if lever.kind == "continuous" else lever for lever in LEVERS)
    asked = common_effects(replace(found, design=found.design.asking(dearer)))
    again = common_effects(fit_rows(explored(), dearer))
    assert [e.value for e in asked] == pytest.approx([e.value for e in again], abs=1e-9)
    assert asked[0].value * common_effects(found)[0].value < 0
    assert found.design.levers == LEVERS


def test_few_conversions__are_refused_to_the_last() -> None:
    rows = explored()
    ones = np.flatnonzero(rows.outcome)
    for count in (FEWEST - 1, FEWEST):
        outcome = rows.outcome.copy()
        outcome[ones[count:]] = 0.0
        few = replace(rows, outcome=outcome)
        assert few.conversions == count
        if count < FEWEST:
            with pytest.raises(ValueError, match="299 randomised conversions are too few; 300 are needed"):
                fit_rows(few, LEVERS)
        else:
            fit_rows(few, LEVERS)
