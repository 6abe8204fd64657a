"""Effects of an advertiser's levers, out of a run's exploration slice.

Effects are *direct*: conversions credited to the same impressions, had only the lever been different. What follows when
the model learns of it and bids change (the *total* effect) cannot be told from a slice that is hidden from both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bidsim.explain.effects import (
    FEWEST,
    Estimate,
    Fitted,
    Lever,
    RandomisedRows,
    common_effects,
    fit_rows,
    own_effects,
)
from bidsim.explain.shrinkage import Belief, Prior, known_prior, shrink, shrink_together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bidsim.core.facts import ExplorationFacts
    from bidsim.core.result import Result

OF_THE_AD = ("price", "creative", "landing", "shipping_days")
"""Levers whose arms are drawn for a user and an advertiser; the bid's are drawn for each request."""
KAPPA = {"price": 0.6, "creative": 0.6, "landing": 0.6, "shipping_days": 1.1}
"""Standard error of a log-effect times the root of randomised conversions, where no fit tells it."""
_WORTH = 0.05
"""Size of an effect that an experiment should find."""
_NEGATIVES = 20.0
_POWER = 2.8


@dataclass(frozen=True)
class LeverEffect:
    """What is known of one action.

    Attributes:
        lever: Name of the lever.
        change: What the action does: a part of the price, or units of the lever.
        belief: Posterior of the log-ratio of conversions; None where nothing can be said.
        own: The advertiser's own estimate before it is drawn to the others; None for all advertisers together.
        impressions: Randomised impressions of the advertiser.
        conversions: Randomised conversions of the advertiser.
        everyone: Randomised conversions of all advertisers.
        silence: Why nothing is advised, None where something is.
        needed: Randomised conversions, of all advertisers, that find an effect of 5% four times in five.
        opposite: The same lever moved the other way; None where that is what this one is, or nothing can be said.

    """

    lever: str
    change: float
    belief: Belief | None
    own: Estimate | None
    impressions: int
    conversions: int
    everyone: int
    silence: str | None
    needed: int
    opposite: LeverEffect | None = None


@dataclass(frozen=True)
class Explored:
    """A run's exploration slice, fitted.

    Attributes:
        advertisers: Names, in the order of the slice's codes.
        levers: The levers varied, each with the action that usually helps.
        rows: The slice.
        fitted: Its model; None where there are too few conversions.
        together: What each lever does to the conversions of all advertisers together; empty where nothing can be said.
        own: By advertiser, what each lever does to its own.

    """

    advertisers: tuple[str, ...]
    levers: tuple[Lever, ...]
    rows: RandomisedRows
    fitted: Fitted | None
    together: tuple[LeverEffect, ...]
    own: dict[str, tuple[LeverEffect, ...]]


def explore(result: Result, prior: Prior | None = None) -> Explored | None:
    """Fit the exploration slice of a run; None where it has none."""
    exploration = result.facts.exploration
    if not exploration.share:
        return None
    levers, names = _levers(exploration), tuple(sorted(set(result.tables["campaigns"]["advertiser"])))
    rows, shown = randomised_rows_of(result, levers, names), np.bincount(_owners(result, names), minlength=len(names))
    prior = prior or known_prior()
    if rows.conversions < FEWEST or not levers:
        few = (
            f"there were {rows.conversions:,} randomised conversions, and {FEWEST} are needed before anything can "
            "be said"
        )
        blank = {
            name: tuple(_silent(rows, a, int(shown[a]), lever.name, few) for lever in levers)
            for a, name in enumerate(names)
        }
        return Explored(names, levers, rows, None, (), blank)
    fitted = fit_rows(rows, levers)
    found = _by_advertiser(fitted, names, shown, levers, prior)
    return Explored(names, levers, rows, fitted, found[0], found[1])


def _levers(exploration: ExplorationFacts) -> tuple[Lever, ...]:
    """The levers of the ad that were varied, with the action that usually brings more."""
    steps = exploration.steps
    actions = {
        "price": math.log1p(-steps["price"]),
        "creative": steps["creative"],
        "landing": steps["landing"],
        "shipping_days": -steps["shipping_days"],
    }
    return tuple(Lever(name, "continuous", actions[name]) for name in OF_THE_AD if name in exploration.levers)


def _owners(result: Result, advertisers: Sequence[str]) -> NDArray[np.int64]:
    """The place among ``advertisers`` of whose ad each explored impression showed."""
    owner = dict(zip(result.tables["campaigns"]["campaign"], result.tables["campaigns"]["advertiser"], strict=True))
    names, campaign = result.coded("explorations", "campaign")
    return np.array([advertisers.index(owner[name]) for name in names], np.int64)[campaign] if names else campaign


def randomised_rows_of(
    result: Result, levers: Sequence[Lever], advertisers: Sequence[str], outcome: str = "converted"
) -> RandomisedRows:
    """The exploration slice as the estimator reads it.

    Of impressions without outcome as many as tell something are kept.
    """
    table = result.tables["explorations"]
    if not levers:
        empty = np.zeros((0, 0))
        return RandomisedRows(empty, empty, np.zeros(0), np.zeros(0, np.int64), np.zeros(0))
    advertiser = _owners(result, advertisers)
    happened = np.asarray(table[outcome], np.float64)
    barren = max(float((happened == 0).sum()), 1.0)
    keep = min(1.0, _NEGATIVES * float(happened.sum()) / barren)
    rows = (happened > 0) | (np.random.default_rng(0).random(len(happened)) < keep)
    seen = {lever.name: (np.log if lever.name == "price" else np.asarray) for lever in levers}
    natural, assigned = (
        np.column_stack([seen[v.name](table[f"{which}_{v.name}"]) for v in levers]) for which in ("natural", "assigned")
    )
    rate = np.clip(np.asarray(table["pcvr"]), 1e-9, 1 - 1e-9)
    unit = np.unique(np.column_stack([table["user"], advertiser]), axis=0, return_inverse=True)[1].reshape(-1)
    return RandomisedRows(natural, assigned, np.log(rate / (1 - rate)), advertiser, happened, keep, unit).only(rows)


def _silent(rows: RandomisedRows, advertiser: int, shown: int, lever: str, why: str) -> LeverEffect:
    converted = int(rows.outcome[rows.advertiser == advertiser].sum())
    return LeverEffect(lever, 0.0, None, None, shown, converted, rows.conversions, why, needed(KAPPA[lever]))


def needed(kappa: float, effect: float = _WORTH) -> int:
    """Randomised conversions that find an effect with 80% power at 5%: (2.8 kappa / effect) squared."""
    return math.ceil((_POWER * kappa / math.log1p(effect)) ** 2)


def _by_advertiser(
    fitted: Fitted, names: Sequence[str], shown: NDArray[np.int64], levers: Sequence[Lever], prior: Prior
) -> tuple[tuple[LeverEffect, ...], dict[str, tuple[LeverEffect, ...]]]:
    """Both directions of each lever; the one that brings more is told."""
    rows = fitted.design.rows
    common: list[list[Estimate]] = []
    single: list[list[list[Estimate]]] = []
    for sign in (1.0, -1.0):
        turned = tuple(replace(lever, action=sign * lever.action) for lever in levers)
        model = replace(fitted, design=fitted.design.asking(turned))
        common.append(common_effects(model))
        single.append([own_effects(model, a) for a in range(len(names))])
    total = rows.conversions
    together: list[LeverEffect] = []
    own: dict[str, list[LeverEffect]] = {name: [] for name in names}
    for k, lever in enumerate(levers):
        kappa = common[0][k].error * math.sqrt(total)
        together.append(
            _better(lever, [shrink(c[k], prior) for c in common], [None, None], int(shown.sum()), total, total, kappa)
        )
        beliefs = [shrink_together([one[k] for one in single[d]], prior)[1] for d in (0, 1)]
        for a, name in enumerate(names):
            counts = int(shown[a]), int(rows.outcome[rows.advertiser == a].sum()), total
            own[name].append(
                _better(lever, [beliefs[0][a], beliefs[1][a]], [single[0][a][k], single[1][a][k]], *counts, kappa)
            )
    return tuple(together), {name: tuple(found) for name, found in own.items()}


def _better(
    lever: Lever,
    beliefs: Sequence[Belief],
    own: Sequence[Estimate | None],
    impressions: int,
    conversions: int,
    everyone: int,
    kappa: float,
) -> LeverEffect:
    """The direction that brings more conversions, with the other one behind it."""
    found = []
    for belief, estimate, action in zip(beliefs, own, (lever.action, -lever.action), strict=True):
        believed = "more" if belief.mean >= 0 else "fewer"
        silence = (
            None
            if belief.speaks
            else f"not known well enough; with {100 * belief.false_sign:.0f}% probability it does not bring "
            f"{believed} conversions"
        )
        if silence is None and belief.mean <= 0:
            silence = "it brings fewer conversions"
        change = math.expm1(action) if lever.name == "price" else action
        found.append(
            LeverEffect(
                lever.name, change, belief, estimate, impressions, conversions, everyone, silence, needed(kappa)
            )
        )
    more, less = found if beliefs[0].mean >= beliefs[1].mean else found[::-1]
    return replace(more, opposite=less)
