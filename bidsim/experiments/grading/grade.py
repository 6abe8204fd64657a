"""One world's grade: what each way of explaining says of every lever, beside the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bidsim.cvr.ensemble import parse_ensemble
from bidsim.experiments.grading.worlds import Rows, World, draw_rows, draw_world, randomise, rates, true_effects
from bidsim.explain.attribution import make_attributor
from bidsim.explain.effects import Estimate, Lever, RandomisedRows, common_effects, fit_rows, own_effects
from bidsim.explain.shrinkage import Belief, Prior, shrink, shrink_together

if TYPE_CHECKING:
    from collections.abc import Sequence

NAIVE = ("gain", "mean_shap", "permutation", "what_if", "difference_in_means")
_LOGGED, _TRUTH, _PIECE, _NEGATIVES, _SAMPLE = 200_000, 400_000, 500_000, 8.0, 4_000
_FEWEST_OF_ARM = 5


@dataclass(frozen=True)
class Graded:
    """One world: levers with the truth, estimates by method, and how much was explored.

    Attributes:
        levers: The levers.
        null: Which of them do nothing.
        truth: Log-ratios of expected conversions.
        naive: Method -> what it says; signed where the method has signs, else importance.
        estimates: Ours before shrinkage.
        conversions: Randomised conversions.
        change: Conversions of the slice over those that natural values would have brought, less 1: what exploring cost,
            or gained.
        own: By advertiser, ours from its own evidence.
        own_truth: float64[advertisers, levers].

    """

    levers: tuple[Lever, ...]
    null: NDArray[np.bool_]
    truth: NDArray[np.float64]
    naive: dict[str, NDArray[np.float64]]
    estimates: list[Estimate]
    conversions: int
    change: float
    own: list[list[Estimate]]
    own_truth: NDArray[np.float64]

    def beliefs(self, prior: Prior) -> list[Belief]:
        """Ours after shrinkage."""
        return [shrink(e, prior) for e in self.estimates]

    def own_beliefs(self, prior: Prior) -> list[list[Belief]]:
        """Ours by advertiser, [advertisers][levers], drawn towards what all have in common."""
        by_lever = [shrink_together([one[k] for one in self.own], prior)[1] for k in range(len(self.levers))]
        return [[beliefs[a] for beliefs in by_lever] for a in range(len(self.own))]


def grade_world(seed: int, conversions: Sequence[float]) -> list[Graded]:
    """Draw a world, train a model on its log, explore a slice, and ask every method.

    Smaller slices are parts of the largest.

    Args:
        seed: Of the world and all that happens in it.
        conversions: Randomised conversions to explore, about; one grade for each.

    """
    world, dice = draw_world(seed), np.random.default_rng([seed, 5])
    logged = draw_rows(world, _LOGGED, dice)
    outcome = (dice.random(_LOGGED) < rates(world, logged, logged.natural)).astype(np.float64)
    booster = _train(_columns(logged), outcome)
    most = max(conversions)
    rows, change = _explore(world, booster, most, float(outcome.mean()), dice)
    naive = {
        "gain": booster.feature_importance("gain")[: len(world.levers)].astype(np.float64),
        "mean_shap": _mean_shap(booster, _columns(logged)[:_SAMPLE], len(world.levers)),
        "permutation": _permutation(
            booster, _columns(logged)[-20 * _SAMPLE :], outcome[-20 * _SAMPLE :], len(world.levers), dice
        ),
        "what_if": _what_if(booster, world, logged),
    }
    whole = draw_rows(world, _TRUTH, dice)
    truth = true_effects(world, whole)
    advertisers = range(int(whole.advertiser.max()) + 1)
    own_truth = np.array([true_effects(world, whole.of(a)) for a in advertisers])
    found = []
    for wanted in conversions:
        part = rows.only(dice.random(len(rows.outcome)) < wanted / most)
        fitted = fit_rows(part, world.levers)
        means = {"difference_in_means": np.array([_difference(part, k, lever) for k, lever in enumerate(world.levers)])}
        own = [own_effects(fitted, a) for a in advertisers]
        found.append(
            Graded(
                world.levers,
                world.null,
                truth,
                naive | means,
                common_effects(fitted),
                part.conversions,
                change,
                own,
                own_truth,
            )
        )
    return found


def _columns(rows: Rows) -> NDArray[np.float64]:
    return np.concatenate([rows.natural, rows.seen, rows.advertiser[:, None]], axis=1)


def _train(x: NDArray[np.float64], y: NDArray[np.float64]) -> Any:
    import lightgbm  # noqa: PLC0415  (slow to import)

    settings = {
        "objective": "binary",
        "verbosity": -1,
        "num_leaves": 15,
        "learning_rate": 0.05,
        "min_data_in_leaf": 100,
        "deterministic": True,
        "seed": 1,
    }
    return lightgbm.train(settings, lightgbm.Dataset(x, y, categorical_feature=[x.shape[1] - 1]), 100)


def _explore(
    world: World, booster: Any, conversions: float, rate: float, dice: np.random.Generator
) -> tuple[RandomisedRows, float]:
    """Randomise until about so many conversions came; all of them are kept, and some of the rest."""
    count, keep = int(conversions / rate), min(1.0, _NEGATIVES * rate / (1 - rate))
    parts: list[tuple[NDArray[Any], ...]] = []
    came = natural = 0.0
    for lo in range(0, count, _PIECE):
        rows = draw_rows(world, min(_PIECE, count - lo), dice)
        assigned = randomise(world, rows, dice)
        chances = rates(world, rows, assigned)
        outcome = (dice.random(len(chances)) < chances).astype(np.float64)
        came, natural = came + float(chances.sum()), natural + float(rates(world, rows, rows.natural).sum())
        kept = (outcome > 0) | (dice.random(len(outcome)) < keep)
        score = np.asarray(booster.predict(_columns(rows)[kept], raw_score=True))
        parts.append((rows.natural[kept], assigned[kept], score, rows.advertiser[kept], outcome[kept]))
    columns = [np.concatenate(part) for part in zip(*parts, strict=True)]
    return RandomisedRows(columns[0], columns[1], columns[2], columns[3], columns[4], keep), came / natural - 1


def _mean_shap(booster: Any, x: NDArray[np.float64], levers: int) -> NDArray[np.float64]:
    attributor = make_attributor(parse_ensemble(booster.model_to_string(), x.shape[1]))
    return np.asarray(np.abs(attributor(x)).mean(axis=0)[:levers])


def _permutation(
    booster: Any, x: NDArray[np.float64], y: NDArray[np.float64], levers: int, dice: np.random.Generator
) -> NDArray[np.float64]:
    """Loss of log-likelihood when a lever's column is shuffled."""

    def loss(rows: NDArray[np.float64]) -> float:
        p = np.clip(booster.predict(rows), 1e-9, 1 - 1e-9)
        return float(-(y * np.log(p) + (1 - y) * np.log1p(-p)).mean())

    base, found = loss(x), []
    for k in range(levers):
        shuffled = x.copy()
        shuffled[:, k] = dice.permutation(shuffled[:, k])
        found.append(loss(shuffled) - base)
    return np.array(found)


def _what_if(booster: Any, world: World, rows: Rows) -> NDArray[np.float64]:
    """What the model predicts when a lever is moved, as if it knew causes."""
    x = _columns(rows)[:50_000]
    base, found = booster.predict(x).sum(), []
    for k, lever in enumerate(world.levers):
        moved = x.copy()
        moved[:, k] = lever.moved(x[:, k])
        found.append(math.log(booster.predict(moved).sum() / base))
    return np.array(found)


def _difference(rows: RandomisedRows, k: int, lever: Lever) -> float:
    """Log-ratio of the conversion rates of two arms, brought to the size of the action.

    From the natural mixture for the rest.
    """
    weight, outcome = rows.weight, rows.outcome
    shift = rows.assigned[:, k] - rows.natural[:, k]

    def rate(arm: NDArray[np.bool_]) -> float:
        return max(float((weight * outcome)[arm].sum()), _FEWEST_OF_ARM / 10) / max(float(weight[arm].sum()), 1.0)

    if lever.kind == "continuous":
        up, down = rate(shift * lever.action > 0), rate(shift * lever.action < 0)
        reach = float(np.abs(shift).max()) / abs(lever.action)
        return math.log(up / down) / (2 * reach)
    shares = [np.average(rows.natural[:, k] == level, weights=weight) for level in range(lever.levels)]
    before = sum(share * rate(rows.assigned[:, k] == level) for level, share in enumerate(shares))
    return math.log(rate(rows.assigned[:, k] == lever.action) / before)


@dataclass(frozen=True)
class Score:
    """How well a method does over worlds; None where it has no such answer."""

    rank_correlation: float
    signs_right: float | None = None
    ordered_right: float | None = None
    error_points: float | None = None
    regret_points: float | None = None
    coverage: float | None = None
    half_width: float | None = None
    spoken_share: float | None = None
    spoken_signs_right: float | None = None
    worlds_with_null_spoken: float | None = None
    own_error_points: float | None = None
    own_alone_error_points: float | None = None
    own_coverage: float | None = None
    own_half_width: float | None = None
    own_spoken_signs_right: float | None = None


def score_method(worlds: Sequence[Graded], name: str) -> Score:
    """Score a naive method."""
    said = [g.naive[name] for g in worlds]
    rank = float(np.mean([_spearman(np.abs(s), np.abs(g.truth)) for s, g in zip(said, worlds, strict=True)]))
    if name in ("gain", "mean_shap", "permutation"):
        return Score(rank)
    return Score(rank, _signs(said, worlds), _ordered(said, worlds), _error(said, worlds), _regret(said, worlds))


def score_ours(worlds: Sequence[Graded], prior: Prior) -> Score:
    """Score the slice's estimates after shrinkage."""
    beliefs = [g.beliefs(prior) for g in worlds]
    means = [np.array([b.mean for b in one]) for one in beliefs]
    flat = [
        (b, t, n) for one, g in zip(beliefs, worlds, strict=True) for b, t, n in zip(one, g.truth, g.null, strict=True)
    ]
    matters = [(b, t) for b, t, _ in flat if abs(t) > 0.005]  # noqa: PLR2004
    spoken = [(b, t, n) for b, t, n in flat if b.speaks]
    signed = [b.mean * t > 0 for b, t, n in spoken if not n]
    nulls = [
        any(b.speaks and n for b, n in zip(one, g.null, strict=True)) for one, g in zip(beliefs, worlds, strict=True)
    ]
    return Score(
        rank_correlation=float(
            np.mean([_spearman(np.abs(m), np.abs(g.truth)) for m, g in zip(means, worlds, strict=True)])
        ),
        signs_right=_signs(means, worlds),
        ordered_right=_ordered(means, worlds),
        error_points=_error(means, worlds),
        regret_points=_regret(means, worlds),
        coverage=float(np.mean([b.low <= t <= b.high for b, t, _ in flat])),
        half_width=float(np.median([100 * (b.high - b.low) / 2 for b, _, _ in flat])),
        spoken_share=float(np.mean([b.speaks for b, _ in matters])),
        spoken_signs_right=float(np.mean(signed)) if signed else None,
        worlds_with_null_spoken=float(np.mean(nulls)),
        **_score_own(worlds, prior),
    )


def _score_own(worlds: Sequence[Graded], prior: Prior) -> dict[str, float | None]:
    """Effects of single advertisers: alone, and drawn to the others'."""
    pairs = [
        (belief, estimate, truth)
        for g in worlds
        for beliefs, estimates, truths in zip(g.own_beliefs(prior), g.own, g.own_truth, strict=True)
        for belief, estimate, truth in zip(beliefs, estimates, truths, strict=True)
    ]
    spoken = [b.mean * t > 0 for b, _, t in pairs if b.speaks and abs(t) > 1e-4]  # noqa: PLR2004
    return {
        "own_error_points": float(np.mean([abs(100 * np.expm1(b.mean) - 100 * np.expm1(t)) for b, _, t in pairs])),
        "own_alone_error_points": float(
            np.mean([abs(100 * np.expm1(e.value) - 100 * np.expm1(t)) for _, e, t in pairs])
        ),
        "own_coverage": float(np.mean([b.low <= t <= b.high for b, _, t in pairs])),
        "own_half_width": float(np.median([100 * (b.high - b.low) / 2 for b, _, _ in pairs])),
        "own_spoken_signs_right": float(np.mean(spoken)) if spoken else None,
    }


def _spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Rank correlation, ties at their mean rank."""
    ranks = [np.array([(np.sum(v < x) + (np.sum(v == x) - 1) / 2) for x in v]) for v in (a, b)]
    if ranks[0].std() == 0 or ranks[1].std() == 0:
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _signs(said: Sequence[NDArray[np.float64]], worlds: Sequence[Graded]) -> float:
    return float(
        np.mean(
            [
                s * t > 0
                for one, g in zip(said, worlds, strict=True)
                for s, t, n in zip(one, g.truth, g.null, strict=True)
                if not n
            ]
        )
    )


def _ordered(said: Sequence[NDArray[np.float64]], worlds: Sequence[Graded]) -> float:
    """Share of pairs of levers more than two points apart that are in the right order."""
    right = []
    for one, g in zip(said, worlds, strict=True):
        uplift = 100 * np.expm1(g.truth)
        for i in range(len(one)):
            right += [one[i] > one[j] for j in range(len(one)) if uplift[i] - uplift[j] > 2]  # noqa: PLR2004
    return float(np.mean(right))


def _error(said: Sequence[NDArray[np.float64]], worlds: Sequence[Graded]) -> float:
    """Mean absolute error of uplift, in points."""
    return float(
        np.mean(
            [
                abs(100 * np.expm1(s) - 100 * np.expm1(t))
                for one, g in zip(said, worlds, strict=True)
                for s, t in zip(one, g.truth, strict=True)
            ]
        )
    )


def _regret(said: Sequence[NDArray[np.float64]], worlds: Sequence[Graded]) -> float:
    """Points of uplift lost by following the first recommendation instead of the best one.

    Doing nothing is always possible.
    """
    lost = []
    for one, g in zip(said, worlds, strict=True):
        uplift = 100 * np.expm1(g.truth)
        chosen = uplift[int(np.argmax(one))] if one.max() > 0 else 0.0
        lost.append(max(float(uplift.max()), 0.0) - chosen)
    return float(np.mean(lost))
