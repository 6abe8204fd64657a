"""Features as bins between an ensemble's own thresholds; what masks and lanes have in common.

A number's bin is how many thresholds lie below it; missing values and zeros have bins of their own, since LightGBM may
treat either apart. A category is its own bin, and one bin stands for all that are in no node's set. float32 numbers are
searched for sixteen thresholds at a time, which are rounded down to float32: that changes no comparison. float64
numbers are searched for plainly.

``ints`` of the tables: a header, then for each feature that the model uses a record, then the look-ups, then what the
scorer adds. ``floats``: offset, sharpness, thresholds by feature, then what the scorer adds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel
from bidsim.cvr.ensemble import EXP, IDENTITY, SIGMOID, SOFTPLUS, ZERO
from bidsim.kernels.lanes import count_below
from bidsim.kernels.normal import sigmoid

if TYPE_CHECKING:
    from bidsim.cvr.ensemble import Ensemble

SCORER, TREES, USED, LINK, ROOM, COUNT, OWN = range(7)
"""Header of ``ints``: kind of scorer, masks in a row, features used, link, where places are put, number of trees, and
where the scorer's own numbers begin."""
HEADER = 32
RECORD = 8
COLUMN, KIND, BINS, BASE, THRESHOLDS, LEVELS, LOOKUP, NEEDED = range(RECORD)
"""A feature's record, a line of the cache; ``BASE`` and ``NEEDED`` are the scorer's own. At ``LOOKUP`` stands the first
level of the search, the second behind it; `_PREFACE` words before it stand the places of all levels, and of the
thresholds among ``floats``."""
_PREFACE = 8
_MOST_LEVELS = _PREFACE - 1
_DOUBLES = -1
_NUMBER, _CATEGORY = range(2)
_TOGETHER = 16
_ZERO = ZERO
_INT_LIMIT = 2147483648.0
OFFSET, SHARPNESS, FIRST_FLOAT = range(3)
_IDENTITY, _SIGMOID, _EXP, _SOFTPLUS = IDENTITY, SIGMOID, EXP, SOFTPLUS


@dataclass(frozen=True)
class Binning:
    """Bins of every feature that an ensemble uses.

    Attributes:
        columns: Features used, rising.
        numeric: Whether each is a number.
        thresholds: Of each feature used, rising float64; empty for categories.
        bins: Number of bins of each.
        rank: int64[nodes], place of a node's threshold among its feature's, or its set of categories.
        ints: Header, records and look-ups; the scorer fills in its own part.
        floats: Offset, sharpness and thresholds.

    """

    columns: list[int]
    numeric: list[bool]
    thresholds: list[NDArray[np.float64]]
    bins: list[int]
    rank: NDArray[np.int64]
    ints: NDArray[np.int64]
    floats: NDArray[np.float64]

    def nan(self, f: int) -> int:
        """Bin of missing values of the f-th feature, a number."""
        return len(self.thresholds[f]) + 1

    def zero(self, f: int) -> int:
        """Bin of zeros."""
        return len(self.thresholds[f]) + 2


def split_as_both(ensemble: Ensemble) -> bool:
    """Whether a feature is split as a number here and as a category there, which LightGBM itself never does."""
    kinds = ensemble.categorical
    return bool(set(ensemble.feature[kinds]) & set(ensemble.feature[~kinds]))


def make_bins(ensemble: Ensemble, offset: float) -> Binning:
    """Find the bins of every feature used."""
    categorical = ensemble.categorical
    splits = set(ensemble.feature[categorical].tolist())
    # numbers first: the kernels' branches are then easy to foresee
    columns = sorted({int(f) for f in ensemble.feature}, key=lambda f: (f in splits, f))
    numeric, thresholds, bins, records, lookups = [], [], [], [], []
    at, doubles = HEADER + RECORD * len(columns), FIRST_FLOAT
    rank = np.where(categorical, ensemble.category_set, 0)
    for column in columns:
        mine = np.flatnonzero(ensemble.feature == column)
        numeric.append(not categorical[mine[0]])
        if numeric[-1]:
            found, rank[mine] = np.unique(ensemble.threshold[mine], return_inverse=True)
            levels = _levels(rounded_down(found))
            count = len(found) + 3
        else:
            found, levels = np.zeros(0), []
            count = _highest_category(ensemble, mine) + 2
        first = at + _PREFACE
        places = [first + sum(len(one) for one in levels[:k]) for k in range(_MOST_LEVELS)]
        records.append([column, _NUMBER if numeric[-1] else _CATEGORY, count, 0, len(found), len(levels), first, 0])
        lookup = np.concatenate([np.array([*places, doubles], np.int64), *levels])
        thresholds.append(found)
        lookups.append(lookup)
        bins.append(count)
        at += len(lookup)
        doubles += len(found)
    header = np.zeros(HEADER, np.int64)
    header[TREES], header[COUNT], header[USED], header[LINK] = (
        ensemble.trees,
        ensemble.trees,
        len(columns),
        ensemble.link,
    )
    ints = np.concatenate([header, np.array(records, np.int64).ravel(), *lookups]).astype(np.int64)
    return Binning(
        columns, numeric, thresholds, bins, rank, ints, np.concatenate([[offset, ensemble.sharpness], *thresholds])
    )


def _highest_category(ensemble: Ensemble, nodes: NDArray[np.int64]) -> int:
    highest = -1
    for s in ensemble.category_set[nodes]:
        words = ensemble.words[ensemble.bounds[s] : ensemble.bounds[s + 1]]
        used = np.flatnonzero(words)
        if len(used):
            highest = max(highest, 32 * int(used[-1]) + int(words[used[-1]]).bit_length() - 1)
    return highest


def _levels(thresholds: NDArray[np.float32]) -> list[NDArray[np.int64]]:
    """A search tree of sixteen numbers a node, top first, each level as int64.

    Every level above holds the last number of each node.
    """
    levels: list[NDArray[np.int64]] = []
    numbers = thresholds
    while True:
        padded = np.full(-(-len(numbers) // _TOGETHER) * _TOGETHER, np.inf, np.float32)
        padded[: len(numbers)] = numbers
        levels.insert(0, padded.view(np.int64))
        if len(padded) == _TOGETHER:
            return levels
        numbers = numbers[_TOGETHER - 1 : len(padded) - 1 : _TOGETHER]


def rounded_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Largest float32 at or below each threshold: x <= t and x <= rounded(t) agree for every float32 x."""
    with np.errstate(over="ignore"):
        near = thresholds.astype(np.float32)
    return np.where(near.astype(np.float64) > thresholds, np.nextafter(near, np.float32(-np.inf)), near)


def bins_of(ints: NDArray[np.int64], floats: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bins of float64 rows by search, int64[n, features used]; see `bin_of` for float32."""
    found = np.zeros((len(rows), int(ints[USED])), np.int64)
    for f in range(int(ints[USED])):
        record = ints[HEADER + RECORD * f : HEADER + RECORD * (f + 1)]
        x = rows[:, record[COLUMN]]
        if record[KIND] == _CATEGORY:
            with np.errstate(invalid="ignore"):
                known = (x > -1.0) & (x < record[BINS] - 1)
                found[:, f] = np.where(known, np.where(known, x, 0.0).astype(np.int64), record[BINS] - 1)
        else:
            count = int(record[THRESHOLDS])
            doubles = int(ints[record[LOOKUP] + _DOUBLES])
            thresholds = floats[doubles : doubles + count]
            found[:, f] = np.searchsorted(thresholds, x, side="left")
            found[np.abs(x) <= ZERO, f] = count + 2
            found[np.isnan(x), f] = count + 1
    return found


@kernel()
def bin_of(ints: NDArray[np.int64], record: int, value: np.float32) -> int:
    """Bin of a value of the feature whose record lies at ``record``."""
    if ints[np.uint64(record + KIND)] == _CATEGORY:
        last = ints[np.uint64(record + BINS)] - 1
        return min(np.int64(value), last) if np.float32(-1.0) < value < np.float32(_INT_LIMIT) else last
    count, levels, lookup = (
        ints[np.uint64(record + THRESHOLDS)],
        ints[np.uint64(record + LEVELS)],
        ints[np.uint64(record + LOOKUP)],
    )
    found = count_below(ints, lookup, value)
    if levels > 1:
        found = 16 * found + count_below(ints, lookup + 8 + 8 * found, value)
    for level in range(2, levels):
        found = 16 * found + count_below(ints, ints[np.uint64(lookup - _PREFACE + level)] + 8 * found, value)
    size = np.abs(value)
    found = count + 2 if np.float64(size) <= _ZERO else found
    return found if size == size else count + 1  # noqa: PLR0124


@kernel()
def places_of_column(
    ints: NDArray[np.int64],
    record: int,
    features: NDArray[np.float32],
    column: int,
    lo: int,
    hi: int,
    stride: int,
    out: NDArray[np.int64],
) -> None:
    """Write ``base + bin * stride`` of one feature of many rows; the feature's record is read once for all."""
    base, levels = ints[np.uint64(record + BASE)], ints[np.uint64(record + LEVELS)]
    if ints[np.uint64(record + KIND)] == _CATEGORY or levels > 2:  # noqa: PLR2004
        for k in range(lo, hi):
            out[np.uint64(k - lo)] = base + stride * bin_of(ints, record, features[k, column])
        return
    count = ints[np.uint64(record + THRESHOLDS)]
    top = ints[np.uint64(record + LOOKUP)]
    for k in range(lo, hi):
        value = features[k, column]
        found = count_below(ints, top, value)
        if levels > 1:
            found = 16 * found + count_below(ints, top + 8 + 8 * found, value)
        size = np.abs(value)
        found = count + 2 if np.float64(size) <= _ZERO else found
        found = found if size == size else count + 1  # noqa: PLR0124
        out[np.uint64(k - lo)] = base + stride * found


@kernel()
def linked(ints: NDArray[np.int64], floats: NDArray[np.float64], total: float) -> float:
    """Prediction of a sum of leaf values."""
    z = floats[SHARPNESS] * total + floats[OFFSET]
    link = ints[LINK]
    if link == _SIGMOID:
        return sigmoid(z)
    if link == _IDENTITY:
        return z
    if link == _EXP:
        return np.exp(z)
    if link == _SOFTPLUS:
        return np.log1p(np.exp(z))
    return np.copysign(z * z, z)
