"""Trees as tables of masks: a row is scored by looking features up and AND-ing, without walking any tree.

Leaves are numbered from left to right. Where a node's test sends a row to the right, the leaves on its left cannot be
reached; of the leaves that no node rules out, the first one is reached (QuickScorer, Lucchese et al., SIGIR 2015).
For every feature the masks of all its nodes are AND-ed beforehand for each bin (`bidsim.cvr.binning`), so a row costs
one look-up and one AND per feature and tree. Masks have 32 or 64 bits; larger trees go to `bidsim.cvr.links`.

``narrow`` or ``wide``: masks ``[feature][bin][tree]``, then masks of campaigns ``[campaign][tree]``, then room for one
request, for leaves, and for what most candidates have in common. ``floats``: after the thresholds leaf values
``[tree][leaf]``. Trees are padded to whole vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel
from bidsim.core.scoring import ScorerTables
from bidsim.cvr.binning import (
    BASE,
    COLUMN,
    COUNT,
    HEADER,
    LINK,
    NEEDED,
    OFFSET,
    OWN,
    RECORD,
    ROOM,
    SCORER,
    SHARPNESS,
    TREES,
    USED,
    bin_of,
    linked,
    places_of_column,
)
from bidsim.cvr.ensemble import MISSING_NAN, MISSING_ZERO, SIGMOID
from bidsim.cvr.features import FIRST_CAMPAIGN, FIRST_PAIR, WIDTH
from bidsim.kernels.lanes import and_rows, lanes, leaf_sum, leaf_sum_of_six, leaf_sum_of_three
from bidsim.kernels.vector import vector_sigmoid

if TYPE_CHECKING:
    from bidsim.cvr.binning import Binning
    from bidsim.cvr.ensemble import Ensemble

LINKS, NARROW, WIDE = range(3)
"""Kinds of scorer: `ScorerTables.ints[SCORER]`."""
_LEAVES, _CAMPAIGNS, _STATIC, _REQUEST, _VECTORS = range(OWN, OWN + 5)
_PAIR = OWN + 5
_PLACES = 2 + WIDTH - FIRST_PAIR
"""Masks of a request, of a campaign, and of each feature of the pair."""
_SIGMOID = SIGMOID
_MOST_LEAVES = 64
_MOST_BYTES = 12_000_000


def mask_bits(ensemble: Ensemble) -> int:
    """Bits of a mask, 0 where trees have too many leaves."""
    return 0 if ensemble.leaves > _MOST_LEAVES else 32 if ensemble.leaves <= 32 else 64  # noqa: PLR2004


def fits(ensemble: Ensemble, binning: Binning) -> bool:
    """Whether an ensemble is better looked up than followed from link to link."""
    bits = mask_bits(ensemble)
    return bits > 0 and sum(binning.bins) * ensemble.trees * bits // 8 <= _MOST_BYTES


def compile_masks(ensemble: Ensemble, binning: Binning) -> ScorerTables:
    """Tables of an ensemble that `fits`."""
    width = mask_bits(ensemble)
    dtype: Any = np.uint32 if width == 32 else np.uint64  # noqa: PLR2004
    trees = -(-ensemble.trees // lanes(width)) * lanes(width)
    place, first, middle = ensemble.order
    # leaves below a node's left child are ruled out where its test fails
    ones = np.uint64(2**64 - 1)
    lost = (ones >> (np.uint64(64) - (middle - first).astype(np.uint64))) << first.astype(np.uint64)
    masks = (~lost).astype(dtype)
    blocks, base = [], 0
    ints, needed = binning.ints.copy(), []
    free = len(ints)
    for f, column in enumerate(binning.columns):
        mine = np.flatnonzero(ensemble.feature == column)
        make = _numeric if binning.numeric[f] else _categorical
        block = make(ensemble, binning, f, mine, masks, np.full((binning.bins[f], trees), ~dtype(0), dtype))
        ints[HEADER + RECORD * f + BASE] = base
        if FIRST_PAIR <= column < WIDTH:
            ints[_PAIR + column - FIRST_PAIR] = HEADER + RECORD * f
        rules_out = np.zeros(-(-len(block) // 64) * 64, np.uint8)
        rules_out[: len(block)] = (block != ~dtype(0)).any(axis=1)
        needed.append(np.packbits(rules_out, bitorder="little").view(np.int64))
        ints[HEADER + RECORD * f + NEEDED] = free
        free += len(needed[-1])
        blocks.append(block.ravel())
        base += block.size
    ints = np.concatenate([ints, *needed, np.zeros(len(binning.columns) + 1, np.int64)])
    ints[[SCORER, TREES, ROOM, _LEAVES]] = NARROW if width == 32 else WIDE, trees, free, len(binning.floats)  # noqa: PLR2004
    ints[[_CAMPAIGNS, _STATIC, _REQUEST, _VECTORS]] = 0, base, base, trees // lanes(width)
    values = np.zeros((trees, width))
    values[ensemble.leaf_tree, place] = ensemble.leaf_value
    found = np.concatenate([*blocks, np.zeros(3 * trees, dtype)]).astype(dtype)
    empty32, empty64 = np.zeros(1, np.uint32), np.zeros(1, np.uint64)
    return ScorerTables(
        ints,
        np.concatenate([binning.floats, values.ravel()]),
        found if width == 32 else empty32,  # noqa: PLR2004
        found if width == 64 else empty64,  # noqa: PLR2004
    )


def _numeric(
    ensemble: Ensemble, binning: Binning, f: int, nodes: NDArray[np.int64], masks: NDArray[Any], block: NDArray[Any]
) -> NDArray[Any]:
    """Fill the masks of a number's bins: a node's test fails in every bin above its threshold."""
    thresholds, tree = binning.thresholds[f], ensemble.tree[nodes]
    numbers = len(thresholds) + 1
    np.bitwise_and.at(block, (binning.rank[nodes] + 1, tree), masks[nodes])
    block[:numbers] = np.bitwise_and.accumulate(block[:numbers], axis=0)
    block[numbers:] = ~block.dtype.type(0)
    nan_left, zero_left = _special(ensemble, nodes)
    for bin_, left in ((binning.nan(f), nan_left), (binning.zero(f), zero_left)):
        np.bitwise_and.at(block[bin_], tree[~left], masks[nodes[~left]])
    return block


def _special(ensemble: Ensemble, nodes: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether missing values, and zeros, go left at each node (LightGBM's ``NumericalDecision``)."""
    missing, default = ensemble.missing[nodes], ensemble.default_left[nodes]
    zero = np.where(missing == MISSING_ZERO, default, ensemble.threshold[nodes] >= 0.0)
    return np.where(missing == MISSING_NAN, default, zero), zero


def _categorical(
    ensemble: Ensemble, binning: Binning, f: int, nodes: NDArray[np.int64], masks: NDArray[Any], block: NDArray[Any]
) -> NDArray[Any]:
    """Fill the masks of a category's bins: a node's test fails for every category outside its set."""
    for node in nodes:
        inside = np.zeros(binning.bins[f], np.bool_)
        inside[ensemble.categories(int(node))] = True
        block[~inside, ensemble.tree[node]] &= masks[node]
    return block


@kernel()
def find_places(ints: NDArray[np.int64], row: NDArray[np.float32], first: int, end: int) -> int:
    """Write to the room for places where the masks of the features in columns ``first`` to ``end`` lie.

    Return how many there are.
    """
    at, trees = ints[ROOM], ints[TREES]
    n = 0
    for f in range(ints[USED]):
        record = HEADER + RECORD * f
        column = ints[np.uint64(record + COLUMN)]
        if first <= column < end:
            found = bin_of(ints, record, row[np.uint64(column - first)])
            ints[np.uint64(at + n)] = ints[np.uint64(record + BASE)] + found * trees
            # where a bin rules nothing out the next feature takes its place
            n += (ints[np.uint64(ints[np.uint64(record + NEEDED)] + (found >> 6))] >> (found & 63)) & 1
    return n


@kernel()
def score_rows(
    ints: NDArray[np.int64],
    masks: NDArray[Any],
    floats: NDArray[np.float64],
    features: NDArray[np.float32],
    lo: int,
    hi: int,
    pcvr: NDArray[np.float64],
) -> None:
    """Score rows that have nothing in common."""
    places, leaves = ints[ints[ROOM] :], floats[ints[_LEAVES] :]
    for k in range(lo, hi):
        n = find_places(ints, features[k], 0, features.shape[1])
        pcvr[k] = linked(
            ints, floats, leaf_sum(masks, places, n, leaves, ints[_REQUEST], ints[_VECTORS], (ints[COUNT] + 7) // 8)
        )


@kernel()
def score_binned(
    ints: NDArray[np.int64],
    masks: NDArray[Any],
    floats: NDArray[np.float64],
    bins: NDArray[np.int64],
    pcvr: NDArray[np.float64],
) -> None:
    """Score rows whose bins were found already."""
    places, leaves = ints[ints[ROOM] :], floats[ints[_LEAVES] :]
    for k in range(bins.shape[0]):
        for f in range(bins.shape[1]):
            places[f] = ints[HEADER + RECORD * f + BASE] + bins[k, f] * ints[TREES]
        pcvr[k] = linked(
            ints,
            floats,
            leaf_sum(masks, places, bins.shape[1], leaves, ints[_REQUEST], ints[_VECTORS], (ints[COUNT] + 7) // 8),
        )


@kernel()
def _place_pairs(
    ints: NDArray[np.int64], features: NDArray[np.float32], lo: int, hi: int, pairs: NDArray[np.int64]
) -> int:
    """Find the masks of the pair features of all candidates, feature by feature; return how many features there are."""
    used, many = 0, hi - lo
    for column in range(FIRST_PAIR, WIDTH):
        record = ints[_PAIR + column - FIRST_PAIR]
        if record > 0:
            places_of_column(ints, record, features, column, lo, hi, ints[TREES], pairs[used * many :])
            used += 1
    return used


@kernel()
def _is_like_first(pairs: NDArray[np.int64], used: int, many: int, k: int) -> bool:
    """Whether a candidate has all pair features but the price in common with the first one."""
    same = True
    for f in range(1, used):
        same = same and pairs[np.uint64(f * many + k)] == pairs[np.uint64(f * many)]
    return same


@kernel()
def _link_all(
    ints: NDArray[np.int64], floats: NDArray[np.float64], lo: int, hi: int, pcvr: NDArray[np.float64]
) -> None:
    if ints[LINK] == _SIGMOID:
        for k in range(lo, hi):
            pcvr[k] = vector_sigmoid(floats[SHARPNESS] * pcvr[k] + floats[OFFSET])
    else:
        for k in range(lo, hi):
            pcvr[k] = linked(ints, floats, pcvr[k])


@kernel()
def score_candidates(
    ints: NDArray[np.int64],
    masks: NDArray[Any],
    floats: NDArray[np.float64],
    who: NDArray[np.int64],
    features: NDArray[np.float32],
    lo: int,
    hi: int,
    pcvr: NDArray[np.float64],
) -> None:
    """Score campaigns on one request: its own features are looked up once, those of campaigns were beforehand.

    Most campaigns were never seen by the user; what such candidates have in common is AND-ed once, too.
    """
    trees, request, vectors, eights, many = ints[TREES], ints[_REQUEST], ints[_VECTORS], (ints[COUNT] + 7) // 8, hi - lo
    room, alike = request + trees, request + 2 * trees
    places, leaves, pairs = ints[ints[ROOM] :], floats[ints[_LEAVES] :], ints[ints[ROOM] + ints[USED] + _PLACES :]
    and_rows(masks, places, find_places(ints, features[lo], 0, FIRST_CAMPAIGN), request, vectors)
    used = _place_pairs(ints, features, lo, hi, pairs)
    places[0] = request
    for f in range(1, used):
        places[f] = pairs[np.uint64(f * many)]
    and_rows(masks, places, max(used, 1), alike, vectors)
    for k in range(many):
        places[1] = ints[_STATIC] + who[lo + k] * trees
        if _is_like_first(pairs, used, many, k):
            places[0] = alike
            places[2] = pairs[np.uint64(k)] if used > 0 else alike
            pcvr[lo + k] = leaf_sum_of_three(masks, places, 3, leaves, room, vectors, eights)
        else:
            places[0] = request
            for f in range(_PLACES - 2):
                places[2 + f] = pairs[np.uint64(f * many + k)] if f < used else request
            pcvr[lo + k] = leaf_sum_of_six(masks, places, _PLACES, leaves, room, vectors, eights)
    _link_all(ints, floats, lo, hi, pcvr)


def with_campaigns(tables: ScorerTables, static: NDArray[np.float32]) -> ScorerTables:
    """Tables that know the masks of campaigns, float32[campaigns, campaign features]; links have no use for them."""
    if tables.ints[SCORER] == LINKS:
        return tables
    narrow = tables.ints[SCORER] == NARROW
    masks = tables.narrow if narrow else tables.wide
    trees, place = int(tables.ints[TREES]), int(tables.ints[_STATIC])
    # room for the places of a request, of one candidate, and of the pair features of all
    ints = np.concatenate(
        [
            tables.ints[: tables.ints[ROOM]],
            np.zeros(tables.ints[USED] + _PLACES + (WIDTH - FIRST_PAIR) * len(static), np.int64),
        ]
    )
    ints[_CAMPAIGNS], ints[_REQUEST] = len(static), place + len(static) * trees
    grown = np.concatenate([masks[:place], np.zeros(len(static) * trees + 3 * trees, masks.dtype)])
    for k, row in enumerate(static):
        _add_campaign(ints, grown, row, place + k * trees)
    return ScorerTables(ints, tables.floats, grown if narrow else tables.narrow, tables.wide if narrow else grown)


@kernel()
def _add_campaign(ints: NDArray[np.int64], masks: NDArray[Any], row: NDArray[np.float32], room: int) -> None:
    count = find_places(ints, row, FIRST_CAMPAIGN, FIRST_PAIR)
    and_rows(masks, ints[ints[ROOM] :], count, room, ints[_VECTORS])
