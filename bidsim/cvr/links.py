"""Large trees as linked nodes: many walks side by side, each tree's leaf leading on to the next tree's root.

A walk that waits for its next node would leave the processor idle, so several go on at once, each through its own share
of the trees; a leaf is a step like any other, whose child is the root of the walk's next tree, so no walk waits for the
longest path of a tree. The last leaf leads to a node that leads to itself. Tests compare bins (`bidsim.cvr.binning`),
not numbers.

``wide``: slots' values of one row, then nodes in the form of `bidsim.kernels.walks`. ``narrow``: sets of categories as
    bits. A *slot* is a
feature with one way of treating missing values; its value is the feature's bin, or below or above all ranks where
missing values, or zeros, go left or right. ``floats``: after the thresholds a leaf value by node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.errors import ModelError
from bidsim.core.kernel import kernel
from bidsim.core.scoring import ScorerTables, ScoreTask
from bidsim.cvr.binning import BINS, COLUMN, HEADER, KIND, OWN, RECORD, ROOM, SCORER, TREES, bin_of, linked
from bidsim.cvr.ensemble import MISSING_NAN, MISSING_ZERO
from bidsim.cvr.masks import LINKS
from bidsim.kernels.walks import CHILD, IS_LEAF, RANK, SLOT, SPLITS_CATEGORIES, WALKS, follow_mixed, follow_numbers

if TYPE_CHECKING:
    from bidsim.cvr.binning import Binning
    from bidsim.cvr.ensemble import Ensemble

_LEAVES, _SLOTS, _FIRST_SLOT, _ROOTS, _STRIDE, _MIXED = range(OWN, OWN + 6)
_SLOT = 4
"""A slot: its feature's record, then its values for missing values and for zeros (`KEEP`: the bin itself)."""
_ABOVE, KEEP = 2**20 - 2, -2
_MOST_CHILDREN, _MOST_RANKS, _MOST_SLOTS = 2**28, 2**20 - 4, 2**14
_RANK = np.uint64(RANK)


def compile_links(ensemble: Ensemble, binning: Binning) -> ScorerTables:
    """Tables of an ensemble of any size.

    Raises:
        ModelError: It has more nodes, or more thresholds of a feature, than a node's word can name.

    """
    slots, slot_of = slots_of(ensemble, binning)
    count = 2 * len(ensemble.tree) + ensemble.trees + 1
    if count >= _MOST_CHILDREN or len(slots) >= _MOST_SLOTS or max(*binning.bins, len(ensemble.bounds)) >= _MOST_RANKS:
        raise ModelError(
            f"the model is too large to compile: {len(ensemble.tree):,} nodes, {len(slots):,} kinds of tests, "
            f"{max(binning.bins):,} bins of a feature"
        )
    words, values, roots = _nodes(ensemble, binning, slot_of)
    stride = max(
        ((b + 31) // 32 for b, numeric in zip(binning.bins, binning.numeric, strict=True) if not numeric), default=1
    )
    sets = np.zeros((len(ensemble.bounds), stride), np.uint32)
    for s in range(len(ensemble.bounds) - 1):
        found = ensemble.words[ensemble.bounds[s] : ensemble.bounds[s + 1]][:stride]
        sets[s + 1, : len(found)] = found
    first = len(binning.ints)
    room = first + slots.size + WALKS
    ints = np.concatenate([binning.ints, slots.ravel(), roots, np.zeros(ensemble.trees + WALKS, np.int64)])
    ints[[SCORER, TREES, ROOM, _LEAVES, _SLOTS, _FIRST_SLOT, _ROOTS]] = (
        LINKS,
        ensemble.trees,
        room,
        len(binning.floats),
        len(slots),
        first,
        first + slots.size,
    )
    ints[[_STRIDE, _MIXED]] = stride, int(ensemble.categorical.any())
    return ScorerTables(
        ints,
        np.concatenate([binning.floats, values]),
        sets.ravel(),
        np.concatenate([np.zeros(len(slots), np.uint64), words]),
    )


def slots_of(ensemble: Ensemble, binning: Binning) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All slots, int64[slots, 4], and the slot of each node."""
    slots: dict[tuple[int, int, int], int] = {}
    slot_of = np.zeros(len(ensemble.tree), np.int64)
    position = {column: f for f, column in enumerate(binning.columns)}
    rows: list[list[int]] = []
    missing, default = ensemble.missing.tolist(), ensemble.default_left.tolist()
    for node, (feature, categorical) in enumerate(
        zip(ensemble.feature.tolist(), ensemble.categorical.tolist(), strict=True)
    ):
        f = position[feature]
        nan = zero = KEEP
        if not categorical:
            aside = -1 if default[node] else _ABOVE
            rank = (
                int(np.searchsorted(binning.thresholds[f], 0.0)) if (feature, missing[node], aside) not in slots else 0
            )
            zero = aside if missing[node] == MISSING_ZERO else rank
            nan = aside if missing[node] == MISSING_NAN else zero
            key = (feature, missing[node], aside)
        else:
            key = (feature, -1, 0)
        if key not in slots:
            slots[key] = len(rows)
            rows.append([HEADER + RECORD * f, nan, zero, 0])
        slot_of[node] = slots[key]
    return np.array(rows, np.int64).reshape(-1, _SLOT), slot_of


def _nodes(
    ensemble: Ensemble, binning: Binning, slot_of: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.float64], NDArray[np.int64]]:
    """Nodes in breadth-first order within each tree, siblings side by side; leaf values by node.

    The first root of each walk.
    """
    left, right = ensemble.left.tolist(), ensemble.right.tolist()
    place: list[int] = []  # what stands at each place: a node, or ~leaf
    child: list[int] = []
    first: list[int] = []
    last_of: list[list[int]] = []
    for root in ensemble.root.tolist():
        first.append(len(place))
        place.append(root)
        leaves, at = [], first[-1]
        while at < len(place):
            node = place[at]
            if node < 0:
                leaves.append(at)
                child.append(0)
            else:
                child.append(len(place))
                place += [left[node], right[node]]
            at += 1
        last_of.append(leaves)
    sink = len(place)
    links = np.array([*child, sink], np.int64)
    for tree, leaves in enumerate(last_of):
        links[leaves] = first[tree + WALKS] if tree + WALKS < len(first) else sink
    what = np.array(place, np.int64)
    inner = np.append(what >= 0, np.False_)
    of = what[what >= 0]
    words = links.astype(np.uint64) << np.uint64(CHILD)
    # values and ranks are one higher in words, so that something can be below rank 0, and categories below every word
    ranks = (binning.rank[of] + 1).astype(np.uint64)
    words[inner] |= (
        (ranks << _RANK)
        | (slot_of[of].astype(np.uint64) << np.uint64(SLOT))
        | (ensemble.categorical[of].astype(np.uint64) * np.uint64(SPLITS_CATEGORIES))
    )
    leaf = np.append(what < 0, np.False_)
    # a leaf and the last node must not step aside: no value is above their rank
    words[~inner] |= np.uint64(2**20 - 1) << _RANK
    words[leaf] |= np.uint64(IS_LEAF)
    values = np.zeros(len(words))
    values[leaf] = ensemble.leaf_value[~what[what < 0]]
    roots = np.array([first[w] if w < len(first) else sink for w in range(WALKS)], np.int64)
    return words, values, roots


@kernel()
def _fill_slot(tables: ScorerTables | ScoreTask, slot: int, found: int) -> None:
    """Write the value of a slot whose feature fell into bin ``found``."""
    ints = tables.ints
    at = np.uint64(ints[_FIRST_SLOT] + _SLOT * slot)
    record = ints[at]
    if ints[np.uint64(record + KIND)]:
        tables.wide[np.uint64(slot)] = np.uint64(found)
        return
    nan = ints[np.uint64(record + BINS)] - 2
    value = found
    if found >= nan:
        value = ints[at + np.uint64(1)] if found == nan else ints[at + np.uint64(2)]
    tables.wide[np.uint64(slot)] = np.uint64(value + 1) << _RANK


@kernel()
def _finish(tables: ScorerTables | ScoreTask) -> float:
    """Follow all walks of the row whose slots are filled, and sum the leaves."""
    ints, slots = tables.ints, tables.wide
    nodes, roots, out = tables.wide[ints[_SLOTS] :], ints[ints[_ROOTS] :], ints[ints[ROOM] :]
    if ints[_MIXED]:
        follow_mixed(nodes, slots, tables.narrow, ints[_STRIDE], roots, out, ints[TREES])
    else:
        follow_numbers(nodes, slots, tables.narrow, ints[_STRIDE], roots, out, ints[TREES])
    return linked(ints, tables.floats, _leaf_values(tables.floats[ints[_LEAVES] :], out, ints[TREES]))


@kernel(fastmath={"reassoc", "nsz"})
def _leaf_values(values: NDArray[np.float64], out: NDArray[np.int64], trees: int) -> float:
    total = 0.0
    for t in range(trees):
        total += values[np.uint64(out[t])]
    return total


@kernel()
def link_row(tables: ScorerTables | ScoreTask, features: NDArray[np.float32]) -> float:
    """Score one row."""
    ints = tables.ints
    previous, found = -1, 0
    for slot in range(ints[_SLOTS]):
        record = ints[np.uint64(ints[_FIRST_SLOT] + _SLOT * slot)]
        if record != previous:
            found = bin_of(ints, record, features[np.uint64(ints[np.uint64(record + COLUMN)])])
            previous = record
        _fill_slot(tables, slot, found)
    return _finish(tables)


@kernel()
def link_binned(tables: ScorerTables, bins: NDArray[np.int64]) -> float:
    """Score one row whose bins were found already."""
    for slot in range(tables.ints[_SLOTS]):
        f = (tables.ints[tables.ints[_FIRST_SLOT] + _SLOT * slot] - HEADER) // RECORD
        _fill_slot(tables, slot, bins[f])
    return _finish(tables)
