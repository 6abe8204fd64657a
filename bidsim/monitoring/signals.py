"""What is watched: for every kind of count what should come, what came, and how slices hang together."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.units import DAY
from bidsim.monitoring.arrivals import development, expected_arrivals
from bidsim.monitoring.baseline import Family
from bidsim.monitoring.cells import Cells, Slicing, TrafficSlice

if TYPE_CHECKING:
    from bidsim.core.result import Result

CONVERSIONS, TRAFFIC, DELAY, PRICE, WINS, CLICKS = "conversions", "traffic", "delay", "price", "wins", "clicks"
SHARES = {CONVERSIONS: 0.8, TRAFFIC: 0.08, DELAY: 0.02, PRICE: 0.04, WINS: 0.04, CLICKS: 0.02}
"""How the false alarms that are allowed are shared out."""
MISSING, FULLEST = "missing", "its fullest range"
_NEARLY_ALL, _SURE = 0.9, 3.0
_CALM = 100.0
"""Conversions that speak for a day without a rhythm."""
_SLOW, _FAST = (10.0, 6), (8.0, 3)
"""Half-life and gap of levels that should stay, and of those that drift with the market."""
AT_ONCE = "in the same window"
_LAG_CLASSES = (AT_ONCE, "one or two windows later", "later still")


@dataclass(frozen=True)
class Signal:
    """One kind of count.

    Attributes:
        kind: Its name.
        slices: What is watched.
        base: float64[windows, slices]: counts expected, or the whole of which a part is counted.
        came: float64[windows, slices]: what was counted.
        family: How the slices hang together.
        half_life: Windows after which a window counts half in what is normal.
        gap: Latest windows that are not learned from.
        seen: float64[windows, slices]: what was counted, where ``came`` is what of it is judged; None where both are
            the same.
        whole: float64[windows, slices]: what shares are told of, where it is not ``base``.

    """

    kind: str
    slices: list[TrafficSlice]
    base: NDArray[np.float64]
    came: NDArray[np.float64]
    family: Family
    half_life: float
    gap: int
    seen: NDArray[np.float64] | None = None
    whole: NDArray[np.float64] | None = None

    def share(self, s: int, first: int, last: int) -> float:
        """Part of the whole that a slice had from window ``first`` to before ``last``."""
        counted = self.came if self.seen is None else self.seen
        whole = self.base if self.whole is None else self.whole
        return float(counted[first:last, s].sum() / max(whole[first:last, s].sum(), 1e-12))

    @property
    def weight(self) -> NDArray[np.float64]:
        """How much of the false alarms each slice may have, float64[slices].

        More where more is counted, for there a change shows.
        """
        root = np.sqrt(self.came.mean(axis=0) + 0.01)
        counts = np.bincount(self.family.kind, minlength=int(self.family.kind.max()) + 1)
        # each kind has an equal part, so that a thousand small slices do not deafen the few large ones
        by_kind = np.bincount(self.family.kind, root, len(counts))
        found = root / by_kind[self.family.kind] / (counts > 0).sum()
        return np.asarray(found / found.sum())


def signals_of(result: Result, cells: Cells, slicing: Slicing, quiet: int) -> list[Signal]:
    """All that is watched of a run; ``quiet`` windows at its start are known to be normal."""
    curve, reported = development(result, cells, quiet)
    return [
        conversions_signal(cells, slicing, curve, quiet),
        *_traffic(result, cells),
        *_delays(cells, curve, reported),
        *_market(result, cells, slicing),
    ]


def family_of(slicing: Slicing) -> Family:
    """Levels and owners are parts of all traffic, owners' parts of levels are parts of owners."""
    place = {one: k for k, one in enumerate(slicing.slices)}
    parent = [place[TrafficSlice(advertiser=s.advertiser, product=s.product)] if s.field else 0 for s in slicing.slices]
    return Family(np.array(parent), slicing.kind)


def conversions_signal(cells: Cells, slicing: Slicing, curve: NDArray[np.float64], quiet: int) -> Signal:
    """Conversions reported, against those that the model expects to be reported by then."""
    expected = slicing.total(expected_arrivals(cells.columns["pcvr_sum"], curve))
    came = slicing.total(cells.columns["arrived"])
    rhythm = daily_rhythm(expected[:quiet, 0], came[:quiet, 0], max(round(DAY / cells.window), 1))
    return Signal(
        CONVERSIONS,
        slicing.slices,
        expected * rhythm[np.arange(len(expected)) % len(rhythm)][:, None],
        came,
        family_of(slicing),
        *_SLOW,
    )


def daily_rhythm(expected: NDArray[np.float64], came: NDArray[np.float64], phases: int) -> NDArray[np.float64]:
    """How counts of each window of the day differ from what is expected then, float64[phases], drawn to 1.

    Delays are known by the window and traffic rises and falls within it, so in the morning reports are still to come
    and at night they are in.
    """
    phase = np.arange(len(expected)) % phases
    level = came.sum() / max(float(expected.sum()), 1e-12)
    told, seen = (np.bincount(phase, x, phases) for x in (level * expected, came))
    return (
        np.asarray((_CALM + seen) / (_CALM + told)) if level > 0.0 and len(expected) >= 2 * phases else np.ones(phases)
    )


def _alone(kind: list[int]) -> Family:
    return Family(np.arange(len(kind)), np.array(kind))


def _traffic(result: Result, cells: Cells) -> list[Signal]:
    """Shares of levels and ranges of every feature.

    Of requests, or of impressions where a feature belongs to user and campaign.
    """
    table = result.tables["population"]
    if not len(table["start_us"]):
        return []
    bins = len(table["start_us"]) // len(np.unique(table["start_us"]))
    features, levels = table["feature"][:bins], table["level"][:bins]
    asked, won = (
        np.asarray(table[name], np.float64).reshape(-1, bins)[: cells.windows] for name in ("requests", "wins")
    )
    kinds = {name: k for k, name in enumerate(dict.fromkeys(features))}
    kind = np.array([kinds[name] for name in features])
    came = np.empty_like(asked)
    base = np.empty_like(asked)
    watched = np.ones(bins, np.bool_)
    names = list(levels)
    for k in range(len(kinds)):
        mine = np.flatnonzero(kind == k)
        own = not asked[:, mine].any()
        counts = won[:, mine] if own else asked[:, mine]
        came[:, mine], base[:, mine] = counts, counts.sum(axis=1, keepdims=True)
        if own:
            watched[mine[2:]] = False
            came[:, mine[1]], names[mine[1]] = counts[:, 1:].max(axis=1), FULLEST
    slices = [TrafficSlice(feature, level) for feature, level in zip(features, names, strict=True)]
    chosen = np.flatnonzero(watched)
    base, seen = base[:, chosen], came[:, chosen]
    # which impressions are won sways the features of user and campaign; that nearly all are missing, or the same, is a
    # fault all the same
    swayed = np.isin(kind[chosen], kind[[k for k in range(bins) if names[k] == FULLEST]])
    nearly_all = _NEARLY_ALL * base + _SURE * np.sqrt(_NEARLY_ALL * (1.0 - _NEARLY_ALL) * base)
    judged = np.where(swayed, np.maximum(seen - nearly_all, 0.0) / (1.0 - _NEARLY_ALL), seen)
    return [
        Signal(TRAFFIC, [slices[s] for s in chosen], base, judged, _alone(kind[chosen].tolist()), *_FAST, seen=seen)
    ]


def _delays(cells: Cells, curve: NDArray[np.float64], reported: NDArray[np.float64]) -> list[Signal]:
    """Of the reports of a window, how many come how late; float64[groups, windows, lags] by window of the impression.

    What is expected knows when impressions were: of those who have just begun no late report can be there yet, and of
    those who ended only late ones come.
    """
    groups, windows, lags = reported.shape
    predicted = cells.columns["pcvr_sum"][:, cells.first_field()].sum(axis=1)
    arrived, due = np.zeros((windows, groups, lags)), np.zeros((windows, groups, lags))
    for lag in range(lags):
        arrived[lag:, :, lag] = reported[:, : windows - lag, lag].T
        due[lag:, :, lag] = predicted[: windows - lag] * curve[:, lag]
    came, expected = (_by_class(counts) for counts in (arrived, due))
    whole = np.broadcast_to(came.sum(axis=2, keepdims=True), came.shape)
    base = whole * expected / np.maximum(expected.sum(axis=2, keepdims=True), 1e-12)
    owners = [TrafficSlice(), *(TrafficSlice(advertiser=a, product=p) for a, p in cells.groups)]
    slices = [TrafficSlice("reported", name, o.advertiser, o.product) for o in owners for name in _LAG_CLASSES]
    kind = [0] * len(_LAG_CLASSES) + [1] * (len(cells.groups) * len(_LAG_CLASSES))
    return [
        Signal(
            DELAY,
            slices,
            base.reshape(windows, -1),
            came.reshape(windows, -1),
            _alone(kind),
            *_SLOW,
            whole=whole.reshape(windows, -1),
        )
    ]


def _by_class(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Counts [windows, groups, lags] of everyone and each group by class of lag.

    The result is float64[windows, 1 + groups, classes].
    """
    lags = counts.shape[2]
    parts = np.stack([counts[:, :, a:b].sum(axis=2) for a, b in itertools.pairwise((0, 1, min(3, lags), lags))], axis=2)
    return np.concatenate([parts.sum(axis=1, keepdims=True), parts], axis=1)


def _market(result: Result, cells: Cells, slicing: Slicing) -> list[Signal]:
    """Prices, wins and clicks of all traffic, levels and owners."""
    shown = np.flatnonzero(slicing.kind < 3)  # noqa: PLR2004
    slices, kind = [slicing.slices[s] for s in shown], slicing.kind[shown].tolist()
    wins, clicks, paid = (slicing.total(cells.columns[name])[:, shown] for name in ("wins", "clicks", "payment_nanos"))
    unit = paid.sum(axis=0) / np.maximum(wins.sum(axis=0), 1.0)
    found = [
        Signal(PRICE, slices, wins, paid / np.maximum(unit, 1.0), _alone(kind), *_FAST),
        Signal(CLICKS, slices, wins, clicks, _alone(kind), *_FAST),
    ]
    asked = _requests(result, cells, slices)
    return [*found, Signal(WINS, slices, asked, wins, _alone(kind), *_FAST)] if asked is not None else found


def _requests(result: Result, cells: Cells, slices: list[TrafficSlice]) -> NDArray[np.float64] | None:
    """Requests of the levels of single fields, of pairs and owners those of all traffic."""
    table = result.tables["population"]
    if not len(table["start_us"]):
        return None
    bins = len(table["start_us"]) // len(np.unique(table["start_us"]))
    place = {pair: k for k, pair in enumerate(zip(table["feature"][:bins], table["level"][:bins], strict=True))}
    asked = np.asarray(table["requests"], np.float64).reshape(-1, bins)[: cells.windows]
    first = [k for (feature, _), k in place.items() if feature == cells.levels[0][0]]
    everything = asked[:, first].sum(axis=1)
    return np.column_stack(
        [asked[:, place[s.field, s.level]] if (s.field, s.level) in place else everything for s in slices]
    )
