"""Impressions by window of time, level of a field (or pair of fields), and product line.

What was paid, predicted and came of it.

Every slice that is looked at later is a sum of these cells: a field over all lines, an advertiser, an advertiser's part
of a level. A conversion is counted twice: in the window in which its report arrived, and in the window of the
impression that it is credited to.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.core.aligned import aligned
from bidsim.core.kernel import kernel

COUNTS = ("wins", "views", "clicks", "payment_nanos", "converted")
WINS, VIEWS, CLICKS, PAYMENT, CONVERTED = range(len(COUNTS))
SUMS = ("pcvr", "true_rate", "log_likelihood")
PCVR, TRUE_RATE, LOG_LIKELIHOOD = range(len(COUNTS), len(COUNTS) + len(SUMS))
"""Columns of `Slices.cells`, counts first; a cell is one line of the cache."""
FIRST, FIELD, OTHER, WIDTH = range(4)
"""Columns of `Slices.keys`: its first level, its field, the second field of a pair or -1, and how many levels that
has."""
BINS = 32
"""Bins of predicted rates by their odds, 2.25 an octave; the last is from one in two upwards, the first below one in
14,000."""
_PER_OCTAVE = 2.25
_LEAST = 1e-12
_SCALE = 2.0**60
UNIT = 2.0**-40
"""Sums are kept as whole multiples of this, so that they do not depend on their order."""


class Slices(NamedTuple):
    """Counters.

    Fields: ``keys`` int64[keys, 4]; ``radix`` int64[fields], levels of each; ``group`` int64[campaigns], product line,
    or product, or 0; ``cells`` int64[windows, levels, groups, 8], counts, then sums in `UNIT`; ``arrived``
    int64[windows, levels, groups], conversions reported; ``offers`` int64[windows, levels, groups, 2], eligible
    campaigns and their predicted rates in `UNIT`, empty where only won rows are counted; ``asked`` int64[campaigns, 2],
    group and rate of the campaigns of the request that is counted; ``scores`` int32[windows, levels of single fields,
    bins, 2], impressions by predicted rate, and those that were credited; ``edges`` float64[bins - 1], predicted rates
    at which bins begin.
    """

    keys: NDArray[np.int64]
    radix: NDArray[np.int64]
    group: NDArray[np.int64]
    cells: NDArray[np.int64]
    arrived: NDArray[np.int64]
    offers: NDArray[np.int64]
    asked: NDArray[np.int64]
    scores: NDArray[np.int32]
    edges: NDArray[np.float64]


def empty_slices(
    levels: list[int], pairs: list[tuple[int, int]], group: NDArray[np.int64], windows: int, *, offers: bool
) -> Slices:
    """Allocate counters.

    Args:
        levels: Number of levels of each field.
        pairs: Pairs of fields that are keys of their own.
        group: Group of each campaign.
        windows: Windows of the run.
        offers: Whether eligible campaigns are counted, too.

    """
    fields = [(f, -1, 1) for f in range(len(levels))] + [(a, b, levels[b]) for a, b in pairs]
    sizes = [levels[a] * width for a, _, width in fields]
    first = np.cumsum([0, *sizes])
    groups = int(group.max()) + 1
    shape = (windows, int(first[-1]), groups)
    kept = (*shape, 2) if offers else (0, 1, 1, 2)
    return Slices(
        keys=np.array([(first[k], *fields[k]) for k in range(len(fields))], np.int64),
        radix=np.array(levels, np.int64),
        group=np.ascontiguousarray(group, np.int64),
        cells=aligned(np.zeros((*shape, len(COUNTS) + len(SUMS)), np.int64)),
        arrived=np.zeros(shape, np.int64),
        offers=aligned(np.zeros(kept, np.int64)),
        asked=np.zeros((len(group), 2), np.int64),
        scores=np.zeros((windows, sum(levels), BINS, 2), np.int32),
        edges=bin_edges(),
    )


@kernel(inner=True)
def level_of(slices: Slices, key: int, categories: NDArray[np.int32]) -> int:
    """Level of a key that a request has."""
    row = slices.keys[key]
    if row[OTHER] < 0:
        return row[FIRST] + categories[row[FIELD]]
    return row[FIRST] + categories[row[FIELD]] * row[WIDTH] + categories[row[OTHER]]


def bin_edges() -> NDArray[np.float64]:
    """Predicted rates at which bins begin, the first bin left out, float64[bins - 1]."""
    odds = 2.0 ** (np.arange(2 - BINS, 1) / _PER_OCTAVE)
    return np.asarray(odds / (1.0 + odds))


@kernel()
def score_bin(edges: NDArray[np.float64], pcvr: float) -> int:
    """Bin of a predicted rate, among the ``edges`` of `bin_edges`."""
    # steps of a fixed number without branches: where a rate falls cannot be foretold
    at, step = 0, BINS >> 1
    while step > 0:
        at += step if pcvr >= edges[at + step - 1] else 0
        step >>= 1
    return at


@kernel(inner=True)
def count_win(
    slices: Slices,
    categories: NDArray[np.int32],
    campaign: int,
    window: int,
    viewed: int,
    clicked: int,
    payment: int,
    pcvr: float,
    true_rate: float,
) -> None:
    """Count one won impression in every key."""
    group, chance = slices.group[campaign], min(max(pcvr, _LEAST), 1.0 - _LEAST)
    predicted, true, likelihood = int(pcvr / UNIT), int(true_rate / UNIT), int(math.log1p(-chance) / UNIT)
    box = score_bin(slices.edges, pcvr)
    cells, scores = slices.cells[window], slices.scores[window]
    for key in range(slices.keys.shape[0]):
        level = level_of(slices, key, categories)
        cell = cells[level, group]
        cell[WINS] += 1
        cell[VIEWS] += viewed
        cell[CLICKS] += clicked
        cell[PAYMENT] += payment
        cell[PCVR] += predicted
        cell[TRUE_RATE] += true
        cell[LOG_LIKELIHOOD] += likelihood
        if slices.keys[key, OTHER] < 0:
            scores[level, box, 0] += 1


@kernel(inner=True)
def count_offer(
    slices: Slices,
    categories: NDArray[np.int32],
    campaigns: NDArray[np.int64],
    pcvr: NDArray[np.float64],
    count: int,
    window: int,
) -> None:
    """Count the first ``count`` eligible campaigns of a request, won or not."""
    asked = slices.asked
    for k in range(count):
        asked[k, 0] = slices.group[campaigns[k]]
        asked[k, 1] = int(pcvr[k] / UNIT)
    for key in range(slices.keys.shape[0]):
        offers = slices.offers[window, level_of(slices, key, categories)]
        for k in range(count):
            cell = offers[asked[k, 0]]
            cell[0] += 1
            cell[1] += asked[k, 1]


@kernel(inner=True)
def packed(slices: Slices, categories: NDArray[np.int32]) -> int:
    """Levels of all fields as one number, to be kept until a conversion comes."""
    code = 0
    for field in range(slices.radix.shape[0]):
        code = code * slices.radix[field] + categories[field]
    return code


@kernel()
def kept_rate(pcvr: float) -> int:
    """Keep a predicted rate as a whole number, to 60 bits."""
    return int(pcvr * _SCALE)


@kernel(inner=True)
def _unpacked(slices: Slices, code: int, field: int) -> int:
    for after in range(slices.radix.shape[0] - 1, field, -1):
        code //= slices.radix[after]
    return code % slices.radix[field]


@kernel(inner=True)
def count_conversion(slices: Slices, code: int, rate: int, campaign: int, credited: int, arrived: int) -> None:
    """Count a conversion by the window of its impression, and by the window of its report.

    A report that comes after the run is not counted.

    Args:
        slices: Counters.
        code: What `packed` made of the impression's levels.
        rate: What `kept_rate` made of its predicted rate.
        campaign: Who is credited.
        credited: Window of the impression.
        arrived: Window of the report; past the last one where the run does not see it.

    """
    windows = slices.cells.shape[0]
    if arrived >= windows or credited < 0:
        return
    group, pcvr = slices.group[campaign], rate / _SCALE
    chance = min(max(pcvr, _LEAST), 1.0 - _LEAST)
    odds = int(math.log(chance / (1.0 - chance)) / UNIT)
    for key in range(slices.keys.shape[0]):
        row = slices.keys[key]
        level = row[FIRST] + _unpacked(slices, code, row[FIELD])
        if row[OTHER] >= 0:
            level = row[FIRST] + _unpacked(slices, code, row[FIELD]) * row[WIDTH] + _unpacked(slices, code, row[OTHER])
        slices.arrived[arrived, level, group] += 1
        slices.cells[credited, level, group, CONVERTED] += 1
        slices.cells[credited, level, group, LOG_LIKELIHOOD] += odds
        if row[OTHER] < 0:
            slices.scores[credited, level, score_bin(slices.edges, pcvr), 1] += 1
