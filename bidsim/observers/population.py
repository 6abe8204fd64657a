"""What the model saw: by window of time, how often each feature took a level, fell into a range, or was missing.

Levels of fields are counted for every request, ranges of numbers for every fourth; features of user and campaign for
the won impressions of every fourth request.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel
from bidsim.core.requests import CATEGORIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COUNTS = ("requests", "wins")
REQUESTS, WINS = range(len(COUNTS))
MISSING = 0
"""Bin of missing values; levels and ranges follow."""
EDGES: dict[str, tuple[float, ...]] = {
    "floor_cpm": (0.01, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0),
    "visits": (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0),
    "engagement": (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0),
    "price": (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0),
    "frequency": (0.01, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0),
    "hours_since_seen": (1.0, 3.0, 6.0, 12.0, 24.0, 48.0, 96.0, 192.0),
    "days_since_purchase": (1.0, 3.0, 7.0, 14.0, 30.0, 60.0, 120.0, 365.0),
}
"""Bounds of the ranges of numbers: a range takes its lower bound in."""
WATCHED = (*CATEGORIES, *EDGES)
"""Features that are counted; hour and weekday are the clock's."""
_N_WATCHED, _N_LEVELS, _N_EDGES = len(WATCHED), len(CATEGORIES), 8
_FIRST_LEVEL = 2
"""Column of the first field in a feature row, behind hour and weekday."""
_FOURTH = 3


class Seen(NamedTuple):
    """What is counted.

    Fields: ``counts`` int64[windows, bins, counts]; ``first`` [features], bin of missing values; ``column`` [features]
    of a feature row; ``own`` [features], 1 where it belongs to user and campaign; ``edges`` float32[features, bounds];
    ``now`` int64[2], the window that requests come in and when it ends.
    """

    first: NDArray[np.int64]
    column: NDArray[np.int64]
    own: NDArray[np.int64]
    edges: NDArray[np.float32]
    now: NDArray[np.int64]
    counts: NDArray[np.int64]


def bin_names(vocabulary: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Feature and name of every bin, in order."""
    named: list[tuple[str, str]] = []
    for name in WATCHED:
        if name in EDGES:
            bounds = EDGES[name]
            ranges = [
                f"< {bounds[0]:g}",
                *(f"{a:g} to {b:g}" for a, b in itertools.pairwise(bounds)),
                f">= {bounds[-1]:g}",
            ]
            named += [(name, level) for level in ("missing", *ranges)]
        else:
            named += [(name, level) for level in ("missing", *vocabulary[name])]
    return named


def empty_seen(levels: list[int], windows: int, features: Sequence[str], first_own: int) -> Seen:
    """Allocate counters.

    Args:
        levels: Number of levels of each categorical feature.
        windows: Windows of the run.
        features: Names of the columns of a feature row.
        first_own: Column from which on features belong to user and campaign.

    """
    sizes = [1 + n for n in levels] + [2 + _N_EDGES] * len(EDGES)
    first = np.cumsum([0, *sizes])
    edges = np.array([EDGES.get(name, (math.inf,) * _N_EDGES) for name in WATCHED], np.float32)
    column = np.array([features.index(name) for name in WATCHED], np.int64)
    if list(column[:_N_LEVELS]) != list(range(_FIRST_LEVEL, _FIRST_LEVEL + _N_LEVELS)):
        raise ValueError(
            f"fields stand in columns {column[:_N_LEVELS]} of a feature row, and not behind hour and weekday"
        )
    return Seen(
        first[:-1].astype(np.int64),
        column,
        (column >= first_own).astype(np.int64),
        edges,
        np.zeros(2, np.int64),
        np.zeros((windows, int(first[-1]), len(COUNTS)), np.int64),
    )


@kernel(inner=True)
def _range_of(seen: Seen, feature: int, value: float) -> int:
    """Bin of a number."""
    place = MISSING if math.isnan(value) else 1
    for e in range(_N_EDGES):
        place += 1 if value >= seen.edges[feature, e] else 0
    return seen.first[feature] + place


@kernel(inner=True)
def window_at(seen: Seen, time: int, length: int) -> int:
    """Window of a request; they come in order of time, so a division is rarely needed."""
    if time >= seen.now[1]:
        seen.now[0] = time // length
        seen.now[1] = (seen.now[0] + 1) * length
    return seen.now[0]


@kernel(inner=True)
def count_request(seen: Seen, head: NDArray[np.float32], window: int, request: int) -> None:
    """Count the levels of a request and, of every fourth one, the ranges of its numbers."""
    counts = seen.counts[window]
    for feature in range(_N_LEVELS):
        counts[seen.first[feature] + 1 + max(int(head[_FIRST_LEVEL + feature]), -1), REQUESTS] += 1
    if request & _FOURTH == 0:
        for feature in range(_N_LEVELS, _N_WATCHED):
            if not seen.own[feature]:
                counts[_range_of(seen, feature, head[seen.column[feature]]), REQUESTS] += 1


@kernel(inner=True)
def count_impression(seen: Seen, own: NDArray[np.float32], window: int, request: int) -> None:
    """Count the features of user and campaign of a won impression, of every fourth request."""
    if request & _FOURTH == 0:
        for feature in range(_N_LEVELS, _N_WATCHED):
            if seen.own[feature]:
                seen.counts[window, _range_of(seen, feature, own[seen.column[feature]]), WINS] += 1
