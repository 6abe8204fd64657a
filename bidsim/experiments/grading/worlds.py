"""Random worlds of levers: a hidden intent that confounds everything, proxies without effect, levers that do nothing.

A world is a recipe for rows (clicks, say) of several advertisers. Natural values of levers follow the hidden intent,
which itself converts, so the log misleads; in the slice they are set by dice. All effects are known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bidsim.explain.effects import Lever

REACH = 2.4
"""How far the slice moves a continuous lever, in units of its action."""
_ADVERTISERS = 8
_PROXIES, _COVARIATES = 4, 4
_MEDIAN_EFFECT, _SPREAD = 0.031, 1.41
"""Effects' quartiles are 1.2, 3.1 and 8 per cent."""


@dataclass(frozen=True)
class World:
    """The truth of one world; arrays by lever where not said otherwise."""

    levers: tuple[Lever, ...]
    null: NDArray[np.bool_]
    rate: float
    intent: float
    covariates: NDArray[np.float64]
    slopes: NDArray[np.float64]
    curves: NDArray[np.float64]
    choices: tuple[NDArray[np.float64], ...]
    with_intent: NDArray[np.float64]
    pairs: NDArray[np.float64]
    by_advertiser: NDArray[np.float64]
    pull: NDArray[np.float64]
    pull_covariates: NDArray[np.float64]
    advertisers: NDArray[np.float64]
    natural: NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Drawn rows: what is seen, and the true log-odds' parts that are not."""

    intent: NDArray[np.float64]
    seen: NDArray[np.float64]
    advertiser: NDArray[np.int64]
    natural: NDArray[np.float64]

    def of(self, advertiser: int) -> Rows:
        """One advertiser's rows."""
        mine = self.advertiser == advertiser
        return Rows(self.intent[mine], self.seen[mine], self.advertiser[mine], self.natural[mine])


def draw_world(seed: int) -> World:
    """Draw a world: 8 to 11 levers, 2 to 4 of which do nothing."""
    dice = np.random.default_rng([seed, 77])
    continuous, binary = int(dice.integers(5, 8)), int(dice.integers(2, 4))
    levers = [Lever(f"lever-{k}", "continuous", float(dice.choice([-1.0, 1.0]))) for k in range(continuous)]
    levers += [Lever(f"switch-{k}", "binary", 1.0) for k in range(binary)]
    levers += [Lever("placement", "choice", float(dice.integers(0, 3)), 3)]
    count = len(levers)
    null = np.zeros(count, np.bool_)
    null[dice.choice(count, int(dice.integers(2, 5)), replace=False)] = True
    size = (
        np.exp(math.log(_MEDIAN_EFFECT) + _SPREAD * dice.normal(size=count)).clip(0.001, 0.4)
        * dice.choice([-1.0, 1.0], count)
        * ~null
    )
    curves = np.where([lever.kind == "continuous" for lever in levers], size * dice.normal(0.0, 0.05, count), 0.0)
    pairs = np.zeros((count, count))
    for _ in range(3):
        i, j = dice.choice(count, 2, replace=False)
        if not null[i] and not null[j]:
            pairs[i, j] = dice.normal(0.0, 0.02)
    return World(
        levers=tuple(levers),
        null=null,
        rate=float(np.exp(dice.uniform(math.log(0.005), math.log(0.05)))),
        intent=float(dice.uniform(0.5, 1.0)),
        covariates=dice.normal(0.0, 0.3, _COVARIATES),
        slopes=size,
        curves=curves,
        choices=tuple(
            size[k] * dice.normal(0.0, 1.0, lever.levels) if lever.kind == "choice" else np.zeros(1)
            for k, lever in enumerate(levers)
        ),
        with_intent=size * dice.normal(0.0, 0.2, count),
        pairs=pairs,
        by_advertiser=np.abs(size)[None, :] * dice.normal(0.0, 0.25, (_ADVERTISERS, count)),
        pull=dice.normal(0.0, 0.8, count),
        pull_covariates=dice.normal(0.0, 0.4, (count, _COVARIATES)),
        advertisers=dice.normal(0.0, 0.4, _ADVERTISERS),
        natural=dice.normal(0.0, 1.0, (_ADVERTISERS, count)),
    )


def draw_rows(world: World, count: int, dice: np.random.Generator) -> Rows:
    """Draw rows with natural values of the levers; the last columns seen are proxies of intent that do nothing."""
    intent = dice.normal(size=count)
    covariates = 0.3 * intent[:, None] + dice.normal(size=(count, _COVARIATES))
    proxies = intent[:, None] + dice.normal(0.0, [0.5, 0.8, 1.2, 2.0], (count, _PROXIES))
    advertiser = dice.integers(0, _ADVERTISERS, count)
    drive = (
        world.natural[advertiser]
        + intent[:, None] * world.pull
        + covariates @ world.pull_covariates.T
        + dice.normal(0.0, 1.0, (count, len(world.levers)))
    )
    natural = drive.copy()
    for k, lever in enumerate(world.levers):
        if lever.kind == "binary":
            natural[:, k] = drive[:, k] > 0
        elif lever.kind == "choice":
            natural[:, k] = np.digitize(drive[:, k], [-0.8, 0.8])
    return Rows(intent, np.concatenate([covariates, proxies], axis=1), advertiser, natural)


def log_odds(world: World, rows: Rows, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """True log-odds with the levers at ``values``."""
    covariates = rows.seen[:, :_COVARIATES]
    odds = (
        math.log(world.rate / (1 - world.rate))
        - 0.5 * world.intent**2
        + world.intent * rows.intent
        + covariates @ world.covariates
        + world.advertisers[rows.advertiser]
    )
    slopes = (
        world.slopes[None, :] + world.by_advertiser[rows.advertiser] + rows.intent[:, None] * world.with_intent[None, :]
    )
    for k, lever in enumerate(world.levers):
        if lever.kind == "choice":
            odds = odds + world.choices[k][values[:, k].astype(np.int64)]
        else:
            own = values[:, k] * (np.sign(lever.action) if lever.kind == "continuous" else 1.0)
            odds = odds + slopes[:, k] * own + world.curves[k] * own**2
    for i, j in zip(*np.nonzero(world.pairs), strict=True):
        odds = odds + world.pairs[i, j] * values[:, i] * values[:, j]
    return odds


def rates(world: World, rows: Rows, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """True conversion rates."""
    return np.asarray(1.0 / (1.0 + np.exp(-log_odds(world, rows, values))))


def true_effects(world: World, rows: Rows) -> NDArray[np.float64]:
    """Log-ratio of expected conversions when each lever's action is applied to every row and nothing else changes."""
    base = rates(world, rows, rows.natural).sum()
    found = []
    for k, lever in enumerate(world.levers):
        values = rows.natural.copy()
        values[:, k] = lever.moved(rows.natural[:, k])
        found.append(math.log(rates(world, rows, values).sum() / base))
    return np.array(found)


def randomise(world: World, rows: Rows, dice: np.random.Generator) -> NDArray[np.float64]:
    """Values of the levers in the slice: all at once, around what is natural."""
    assigned = rows.natural.copy()
    for k, lever in enumerate(world.levers):
        if lever.kind == "continuous":
            assigned[:, k] += dice.choice([-REACH, 0.0, REACH], len(assigned), p=[0.4, 0.2, 0.4]) * abs(lever.action)
        else:
            assigned[:, k] = dice.integers(0, lever.levels, len(assigned))
    return assigned
