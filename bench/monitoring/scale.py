"""False alarms and delays at scale, where the truth is known."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from bench.figures import Figure, Report, measured
from bench.monitoring.worlds import (
    CONVERSIONS,
    IMPRESSIONS,
    LEARNED,
    World,
    delay_and_name,
    false_alarms,
    faults_of,
    learned,
    make_world,
)
from bidsim.monitoring.arrivals import expected_arrivals
from bidsim.monitoring.baseline import Family, fit_baseline
from bidsim.monitoring.detector import Detector

if TYPE_CHECKING:
    from argparse import Namespace

_LEVELS = [5, 36, 3, 3, 4, 20, 7, 6, 60]
_MANY_LEVELS = [6, 90, 4, 4, 8, 24, 8, 8, 92]
_WORLDS = 5


def worlds_like(common: float, own: float, dice: np.random.Generator, *, quick: bool) -> list[tuple[World, Detector]]:
    """Worlds of 2,000 slices and more with the scatter that was measured, and a detector that has learned each."""
    worlds = [make_world(13, _LEVELS, CONVERSIONS, common, own, dice) for _ in range(1 if quick else _WORLDS)]
    return [(world, learned(world, dice, k)) for k, world in enumerate(worlds)]


def at_scale(
    report: Report, options: Namespace, worlds: list[tuple[World, Detector]], dice: np.random.Generator
) -> None:
    """Quiet windows by the ten thousand, then faults, in several worlds."""
    windows = 2_000 if options.quick else 6_000
    first = worlds[0][0]
    report.add(Figure("slices", len(first.slicing.slices), "slices", goal=">= 2000", note="at once"))
    report.add(
        Figure("overdispersion", first.common, "relative variance of a window's mean", note="that all slices share")
    )
    report.add(
        Figure(
            "overdispersion_by_owner",
            (1 + first.common) * (1 + first.own) - 1,
            "relative variance of a window's mean",
            note="by advertiser",
        )
    )
    _quiet(report, "", worlds, windows, dice)
    goals = {
        "outage": "<= 2",
        "all_less_7": "<= 5",
        "30_half": "<= 4",
        "10_zero": "<= 3",
        "3_zero": "<= 10",
        "100_less_20": "<= 12",
    }
    right, total = 0, 0
    for name, goal in goals.items():
        found = []
        for world, detector in worlds:
            fault = next(f for f in faults_of(world) if f.name == name)
            found += [delay_and_name(world, detector, fault, dice) for _ in range(10 if options.quick else 30)]
        delays = [delay for delay, _, early in found if not early]
        report.add(measured(f"delay_{name}", delays, "windows", goal, note="median"))
        right, total = right + sum(named for _, named, early in found if not early), total + len(delays)
    report.add(
        Figure(
            "named_first",
            right / max(total, 1),
            "share",
            goal=">= 0.95",
            note="of these faults, the broken slice is named first",
        )
    )
    if not options.quick:
        many = [make_world(40, _MANY_LEVELS, CONVERSIONS, first.common, first.own, dice) for _ in range(_WORLDS)]
        report.add(Figure("many_slices", len(many[0].slicing.slices), "slices", goal=">= 10000", note="at once"))
        _quiet(report, "many_", [(world, learned(world, dice, k)) for k, world in enumerate(many)], 4_000, dice)


def _quiet(
    report: Report, name: str, worlds: list[tuple[World, Detector]], windows: int, dice: np.random.Generator
) -> None:
    """Count the false alarms in as many quiet windows of each world."""
    found = [false_alarms(world, detector, windows, dice) for world, detector in worlds]
    alarms, total = sum(found), windows * len(worlds)
    spread = (1000 * min(found) / windows, 1000 * max(found) / windows)
    report.add(Figure(f"{name}windows_in_control", total, "windows", goal=">= 20000", note=f"of {len(worlds)} worlds"))
    report.add(
        Figure(
            f"{name}false_alarms",
            1000 * alarms / total,
            "in 1,000 windows",
            spread,
            goal="<= 1.0",
            note="all slices together; range over worlds",
        )
    )
    report.add(
        Figure(
            f"{name}false_alarms_upper",
            1000 * float(gammaincinv(alarms + 1, 0.95)) / total,
            "in 1,000 windows",
            goal="<= 1.3",
            note="upper 95% bound",
        )
    )


def share_shift(
    report: Report, options: Namespace, world: World, detector: Detector, dice: np.random.Generator
) -> None:
    """A level whose share grows by a tenth.

    The population's alarm, and none of calibration, for conversions come along.
    """
    level_mean = world.mean.sum(axis=1)
    delays, calibration = [], 0
    repeats = 5 if options.quick else 60
    field = world.fields[-1]
    share = level_mean[field] / level_mean[field].sum()
    grown = int(np.argmin(np.abs(share - 0.05)))
    family = Family(np.arange(len(field)), np.zeros(len(field), np.int64))
    for _ in range(repeats):
        wobble = 1.0 + dice.normal(0.0, 0.003, (LEARNED + 40, len(field)))  # shares of the engine's levels vary by less
        shares = share * wobble
        shares[LEARNED + 10 :, grown] *= 1.1
        counts = np.array([dice.multinomial(int(IMPRESSIONS), row / row.sum()) for row in shares]).astype(np.float64)
        base = np.repeat(counts.sum(axis=1, keepdims=True), len(field), axis=1)
        baseline = fit_baseline(base[:LEARNED], counts[:LEARNED], family, half_life=8.0, gap=3, independent=14)
        watching = Detector(baseline, np.full(len(field), 1.0 / len(field)), 5000.0)
        first = None
        for t in range(LEARNED, len(counts)):
            if watching.watch(base[t], counts[t]) and t >= LEARNED + 10 and first is None:
                first = t - LEARNED - 10 + 1
        delays.append(first or 40)
        calibration += _calibration_alarms(world, detector, dice, field, grown)
    report.add(measured("delay_share_up_10", delays, "windows", "<= 2", note="of the population's alarm"))
    report.add(
        Figure(
            "share_up_10_calibration_alarms",
            calibration,
            "alarms",
            goal="<= 1",
            note=f"of calibration, in {repeats} such shifts of 10 windows",
        )
    )


def _calibration_alarms(
    world: World, detector: Detector, dice: np.random.Generator, field: NDArray[np.int64], grown: int
) -> int:
    """Alarms of conversions while a level grows: what is expected grows with it."""
    watching = deepcopy(detector)
    mean = world.mean.copy()
    mean[field[grown]] *= 1.1
    mean[field] *= world.mean[field].sum(axis=0) / mean[field].sum(axis=0)  # a share grows at the cost of the others
    shifted = World(mean, world.fields, world.slicing, world.common, world.own, world.factor)
    return sum(len(watching.watch(e, c)) for e, c in shifted.quiet(10, dice))


def late_labels(report: Report, options: Namespace, dice: np.random.Generator, common: float) -> None:
    """Reports that come later by a declared curve, traffic that rises and falls by the hour.

    Then a departure from the curve.
    """
    windows, slices = (1_500 if options.quick else 12_000), 300
    curve = np.array([0.45, 0.22, 0.13, 0.08, 0.05, 0.03, 0.02, 0.02])
    mean = dice.lognormal(2.0, 1.0, slices)
    family = Family(np.arange(slices), np.zeros(slices, np.int64))

    def drawn(count: int, lags: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        hours = 1.0 + 0.5 * np.sin(2 * np.pi * np.arange(count + len(curve)) / 4)
        predicted = hours[:, None] * mean * (1.0 + 0.3 * dice.standard_normal((count + len(curve), 1)).clip(-2, 2))
        expected = expected_arrivals(predicted[:, :, None], curve[None])[:, :, 0]
        wobble = dice.gamma(1 / common, common, (count + len(curve), 1)) if common > 0 else 1.0
        came = dice.poisson(expected_arrivals((predicted * wobble)[:, :, None], lags[None])[:, :, 0])
        return expected[len(curve) :], came[len(curve) :].astype(np.float64)

    def instant(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return drawn(count, curve)

    expected, came = instant(LEARNED)
    weight = np.full(slices, 1.0 / slices)
    detector = Detector(fit_baseline(expected, came, family, half_life=10.0, gap=4), weight, 2_000.0)
    watching = deepcopy(detector)
    alarms = sum(len(watching.watch(e, c)) for e, c in zip(*instant(windows), strict=True))
    report.add(
        Figure(
            "late_labels_false_alarms",
            1000 * alarms / windows,
            "in 1,000 windows",
            goal="<= 1.0",
            note="where delays follow the declared curve",
        )
    )
    later = np.concatenate([[0.0, 0.0], curve[:-2] / curve[:-2].sum()])
    delays = []
    for _ in range(5 if options.quick else 40):
        watching, first = deepcopy(detector), None
        for e, c in zip(*instant(8), strict=True):
            watching.watch(e, c)
        # the first windows after the curve changed lack what comes later
        e, c = instant(30)
        shifted = dice.binomial(
            c.astype(np.int64), np.minimum(np.cumsum(later)[np.minimum(np.arange(30), len(later) - 1)], 1.0)[:, None]
        )
        for t in range(30):
            if watching.watch(e[t], shifted[t].astype(np.float64)) and first is None:
                first = t + 1
        delays.append(first or 31)
    report.add(
        measured(
            "late_labels_departure_delay",
            delays,
            "windows",
            "<= 3",
            note="until reports that come two windows later are noticed",
        )
    )
