"""Quiet traffic, drawn again and again: how often the alarms would sound when nothing is wrong."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.monitoring.detector import MULTIPLIERS, advance, calibrate_threshold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bidsim.monitoring.baseline import Baseline
    from bidsim.monitoring.cells import Slicing

_PROBED = 0.015
"""False alarms a window at which a short replay is read; the threshold for fewer is inversely proportional to the rate
(Pollak 1987)."""
_WINDOWS, _SETTLED, _BLOCK = 5_000, 1_000, 500
"""Windows that are replayed, and those of them in which statistics settle first: small slices take long."""
_UNSURE = 24.0
"""Windows from which normal must be known that a replay, which takes it for true, is half believed."""
_BELIEVED, _FEW = 0.25, 2_000
"""Least part of the threshold that theory promises, with so many slices: those that are hardly ever in alarm are not
heard in a short replay."""
_MOST_SLICES = 1_500
"""Slices that are replayed; of more a part of the smallest is drawn, each standing for several."""


def quiet_windows(
    mean: NDArray[np.float64],
    fields: list[NDArray[np.int64]],
    slicing: Slicing,
    common: float,
    own: float,
    windows: int,
    dice: np.random.Generator,
) -> NDArray[np.float64]:
    """Counts of every slice in windows in which nothing is wrong, float64[windows, slices].

    The conversions of a group scatter from window to window, and each falls into one level of every field: so slices
    that overlap move together.

    Args:
        mean: float64[levels, groups], conversions that come in a window.
        fields: Levels of each field.
        slicing: The slices.
        common: Relative variance of a window's mean, the same for all groups.
        own: Relative variance of each group's own.
        windows: How many windows are drawn.
        dice: Where they are drawn from.

    """
    levels, groups = mean.shape
    wobble = np.ones((windows, groups))
    for variance, width in ((common, 1), (own, groups)):
        if variance > 0:
            wobble *= dice.gamma(1.0 / variance, variance, (windows, width))
    cells = np.zeros((windows, levels, groups))
    for g in range(groups):
        count = dice.poisson(mean[fields[0], g].sum() * wobble[:, g])
        for of_field in fields:
            share = mean[of_field, g]
            if share.sum() > 0:
                cells[:, of_field, g] = dice.multinomial(count, share / share.sum())
    return slicing.total(cells)


def replayed(
    baseline: Baseline,
    weight: NDArray[np.float64],
    windows: Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]],
    settled: int = 0,
) -> NDArray[np.float64]:
    """Weighted statistics of quiet windows that nothing sets back, float64[windows, slices].

    The first ``settled`` are left out, and the baseline stays as it is.
    """
    learning = deepcopy(baseline)
    statistics, found = np.zeros((len(weight), len(MULTIPLIERS))), []
    nothing = np.zeros(len(weight), np.bool_)
    for t, (expected, came) in enumerate(windows):
        level, left = learning.level()
        total = weight * advance(statistics, level * expected, came, learning.sizes(left), np.array(MULTIPLIERS))
        if t >= settled:
            found.append(total)
        learning.learn(expected, came, nothing.copy())
    return np.array(found)


def replay_threshold(
    baseline: Baseline,
    weight: NDArray[np.float64],
    mean: NDArray[np.float64],
    fields: list[NDArray[np.int64]],
    slicing: Slicing,
    rate: float,
    seed: int,
) -> float:
    """Threshold at which quiet traffic like this raises ``rate`` false alarms a window, all slices together.

    Args:
        baseline: What is normal.
        weight: float64[slices].
        mean: float64[levels, groups], conversions that are expected in a window.
        fields: Levels of each field.
        slicing: The slices.
        rate: False alarms a window.
        seed: Of the replay.

    """
    dice = np.random.default_rng(seed)
    chosen, stands_for = _drawn(slicing.kind, dice)
    expected = slicing.total(mean[None])[0][chosen]
    level, _ = baseline.level()
    scale = float(level[0])
    common = float(baseline.overdispersion[0])
    owners = np.flatnonzero(slicing.kind == 2)  # noqa: PLR2004
    own = max(float(baseline.overdispersion[owners[0]]) - common, 0.0) if len(owners) else 0.0

    def windows() -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        for _ in range(0, _WINDOWS, _BLOCK):
            for came in quiet_windows(scale * mean, fields, slicing, common, own, _BLOCK, dice)[:, chosen]:
                yield expected, came

    probe = max(_PROBED, rate)
    statistics = replayed(baseline.part(chosen), weight[chosen], windows(), _SETTLED)
    least = min(_BELIEVED * (1.0 + _UNSURE / baseline.scatter.known_from) * max(len(weight) / _FEW, 1.0) ** 0.5, 1.0)
    return max(calibrate_threshold(statistics, probe, stands_for) * probe, least) / rate


def _drawn(kind: NDArray[np.int64], dice: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Slices that are replayed, and how many each stands for.

    All but owners' parts of levels, and of these as many as there is room for.
    """
    parts = np.flatnonzero(kind == 3)  # noqa: PLR2004
    whole = np.flatnonzero(kind != 3)  # noqa: PLR2004
    room = max(_MOST_SLICES - len(whole), 200)
    if len(parts) <= room:
        return np.arange(len(kind)), np.ones(len(kind))
    some = np.sort(dice.choice(parts, room, replace=False))
    return np.concatenate([whole, some]), np.concatenate([np.ones(len(whole)), np.full(room, len(parts) / room)])
