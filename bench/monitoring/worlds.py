"""Windows in which the truth is known: quiet ones by the thousand, and faults of known size."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.monitoring import signals
from bidsim.monitoring.baseline import SURE, fit_baseline
from bidsim.monitoring.cells import Cells, Slicing, slicing_of
from bidsim.monitoring.detector import Alarm, Detector, deviance
from bidsim.monitoring.replay import quiet_windows, replay_threshold

if TYPE_CHECKING:
    from collections.abc import Iterator

CONVERSIONS, IMPRESSIONS = 4_000.0, 200_000.0
"""Of all traffic in a window."""
LEARNED = 200
"""Quiet windows from which the baseline is learned."""
_BLOCK = 500
_HALF_LIFE, _GAP = 10.0, 6


@dataclass(frozen=True)
class World:
    """Traffic of which every slice's expected conversions are known.

    Attributes:
        mean: float64[levels, groups], conversions expected in a window.
        fields: Levels of each field.
        slicing: Its slices.
        common: Relative variance of windows' means that all groups share.
        own: That of each group's own.
        factor: float64[groups], conversions that come over those predicted, when nothing is wrong.

    """

    mean: NDArray[np.float64]
    fields: list[NDArray[np.int64]]
    slicing: Slicing
    common: float
    own: float
    factor: NDArray[np.float64]

    @property
    def expected(self) -> NDArray[np.float64]:
        """What the model predicts for each slice in a window."""
        return self.slicing.total((self.mean / self.factor)[None])[0]

    def quiet(
        self, windows: int, dice: np.random.Generator
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Expected and counted conversions of windows in which nothing is wrong, float64[slices] each."""
        expected = self.expected
        for first in range(0, windows, _BLOCK):
            for came in quiet_windows(
                self.mean, self.fields, self.slicing, self.common, self.own, min(_BLOCK, windows - first), dice
            ):
                yield expected, came


def make_world(
    groups: int, levels: list[int], conversions: float, common: float, own: float, dice: np.random.Generator
) -> World:
    """Levels of falling popularity and groups of uneven size, ``conversions`` a window in all."""
    share = dice.lognormal(0.0, 0.8, groups)
    share *= conversions / share.sum()
    rows, fields, first = [], [], 0
    for size in levels:
        popularity = (1.0 + np.arange(size)) ** -1.1 * dice.lognormal(0.0, 0.3, size)
        rows.append(popularity / popularity.sum())
        fields.append(np.arange(first, first + size))
        first += size
    mean = np.concatenate(rows)[:, None] * share[None, :]
    named = [(f"field-{f}", f"level-{k}") for f, size in enumerate(levels) for k in range(size)]
    cells = Cells(
        1, named, [(f"advertiser-{g:03}", "one") for g in range(groups)], {"wins": np.zeros((1, first, groups))}
    )
    return World(mean, fields, slicing_of(cells), common, own, dice.lognormal(0.0, 0.1, groups))


def learned(world: World, dice: np.random.Generator, seed: int) -> Detector:
    """Return a detector as `bidsim monitor` makes it: learned from quiet windows, its threshold found by replay."""
    rows = list(world.quiet(LEARNED, dice))
    expected, came = (np.array(x) for x in zip(*rows, strict=True))
    family = signals.family_of(world.slicing)
    signal = signals.Signal(signals.CONVERSIONS, world.slicing.slices, expected, came, family, _HALF_LIFE, _GAP)
    baseline = fit_baseline(expected, came, family, half_life=_HALF_LIFE, gap=_GAP, independent=LEARNED - 1, sure=SURE)
    threshold = replay_threshold(
        baseline,
        signal.weight,
        world.mean / world.factor,
        world.fields,
        world.slicing,
        signals.SHARES[signals.CONVERSIONS] / 1000.0,
        seed,
    )
    return Detector(baseline, signal.weight, threshold)


def false_alarms(world: World, detector: Detector, windows: int, dice: np.random.Generator) -> int:
    """Alarms in quiet windows."""
    watching = deepcopy(detector)
    found = 0
    for expected, came in world.quiet(windows, dice):
        found += len(watching.watch(expected, came))
        if len(watching.means) > _BLOCK:
            watching.forget(100)
    return found


@dataclass(frozen=True)
class Fault:
    """A slice of which a part of the conversions is left."""

    name: str
    slice: int
    left: float


def struck(world: World, came: NDArray[np.float64], fault: Fault, dice: np.random.Generator) -> NDArray[np.float64]:
    """Counts with the fault: conversions of the slice are thinned, and with them those of all slices that share them.

    Slices of other fields lose as many as fall into both, by their share of the group or of all traffic.
    """
    slicing, one = world.slicing, world.slicing.slices[fault.slice]
    owners = [s.advertiser for s in slicing.slices if s.advertiser and not s.field]
    groups = [owners.index(one.advertiser)] if one.advertiser else list(range(len(owners)))
    named = [(s.field, s.level) for s in slicing.slices[1 : 1 + len(world.mean)]]
    inside = named.index((one.field, one.level)) if one.field else None
    weight = world.mean[inside, groups] if inside is not None else world.mean[world.fields[0]][:, groups].sum(axis=0)
    lost = dice.multinomial(dice.binomial(int(came[fault.slice]), 1.0 - fault.left), weight / weight.sum())
    cells = np.zeros_like(world.mean)
    for g, count in zip(groups, lost, strict=True):
        for field in world.fields:
            if inside is not None and inside in field:
                cells[inside, g] += count
            elif count:
                cells[field, g] += dice.multinomial(count, world.mean[field, g] / world.mean[field, g].sum())
    return np.maximum(came - slicing.total(cells[None])[0], 0.0)


def delay_and_name(
    world: World, detector: Detector, fault: Fault, dice: np.random.Generator, warm: int = 8, longest: int = 60
) -> tuple[int, bool, bool]:
    """Windows until the first alarm, and whether it named the broken slice.

    The third value says whether there was a false alarm before.
    """
    watching = deepcopy(detector)
    early = False
    for expected, came in world.quiet(warm, dice):
        early |= bool(watching.watch(expected, came))
    for k, (expected, came) in enumerate(world.quiet(longest, dice)):
        alarms = watching.watch(expected, struck(world, came, fault, dice))
        if alarms:
            return k + 1, named(watching, alarms) == fault.slice, early
    return longest + 1, False, early


def named(detector: Detector, alarms: list[Alarm]) -> int:
    """Slice that a page would name: the one whose counts since the change are the least likely without one."""
    since = alarms[0].since
    mean, came = (np.array(rows[since:]).sum(axis=0) for rows in (detector.means, detector.came))
    return int(np.argmax(deviance(mean, came)))


def faults_of(world: World) -> list[Fault]:
    """Faults, each of the slice whose expected conversions are nearest to the size that its name says."""
    mean, kind = world.slicing.total(world.mean[None])[0], world.slicing.kind

    def nearest(size: float, kinds: tuple[int, ...]) -> int:
        possible = np.flatnonzero(np.isin(kind, kinds))
        return int(possible[np.argmin(np.abs(mean[possible] - size))])

    biggest = int(np.flatnonzero(kind == 2)[np.argmax(mean[kind == 2])])
    return [
        Fault("outage", biggest, 0.0),
        Fault("all_less_7", 0, 0.93),
        Fault("30_half", nearest(30.0, (1, 3)), 0.5),
        Fault("10_zero", nearest(10.0, (1, 3)), 0.0),
        Fault("3_zero", nearest(3.0, (1, 3)), 0.0),
        Fault("100_less_20", nearest(100.0, (1, 2, 3)), 0.8),
    ]
