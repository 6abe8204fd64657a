"""Large trees as linked nodes: many walks side by side, each tree's leaf leading on to the next tree's root.

A walk that waits for its next node would leave the processor idle, so `WALKS` of them go on at once, each through its own share
of the trees; a leaf is a step like any other, whose link is the root of the walk's next tree, so no walk waits for the
longest path of a tree (the last one leads to a node that links to itself). Tests compare bins (`bidsim.cvr.binning`), not numbers.

``wide``: one node a word: whether it is a leaf (1 bit), whether it splits categories (1), its slot (14), its rank or set (20), and its
left child (28), whose right sibling follows it; a leaf holds its link there. ``narrow``: sets of categories as bits, each of
``_STRIDE`` words. A *slot* is a feature with one way of treating missing values; its value is the feature's bin, or below or above
all ranks where missing values, or zeros, go left or right. ``floats``: after the thresholds a leaf value by node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import ScorerTables
from bidsim.core.errors import ModelError
from bidsim.core.kernel import kernel
from bidsim.cvr.binning import BINS, COLUMN, HEADER, OWN, RECORD, ROOM, SCORER, TREES, bin_of, linked
from bidsim.cvr.ensemble import MISSING_NAN, MISSING_ZERO
from bidsim.cvr.masks import LINKS

if TYPE_CHECKING:
    from bidsim.cvr.binning import Binning
    from bidsim.cvr.ensemble import Ensemble

WALKS = 16
_LEAVES, _SLOTS, _FIRST_SLOT, _ROOTS, _STRIDE, _MIXED = range(OWN, OWN + 6)
_SLOT = 4
"""A slot: its feature's record, then its values for missing values and for zeros (`_KEEP`: the bin itself)."""
_ABOVE, _KEEP = 2**20 - 1, -2
_CHILD_BITS, _RANK_BITS, _SLOT_BITS = 28, 20, 14
_RANK, _SLOT_AT, _CATEGORY, _LEAF = np.uint64(_CHILD_BITS), np.uint64(_CHILD_BITS + _RANK_BITS), np.uint64(62), np.uint64(63)
_CHILD_MASK, _RANK_MASK, _SLOT_MASK = (np.uint64(2**b - 1) for b in (_CHILD_BITS, _RANK_BITS, _SLOT_BITS))
_ONE = np.uint64(1)
_FIVE, _LOW_FIVE = np.uint64(5), np.uint64(31)


def compile_links(ensemble: Ensemble, binning: Binning) -> ScorerTables:
    """Tables of an ensemble of any size.

    Raises:
        ModelError: It has more nodes, or more thresholds of a feature, than a node's word can name.

    """
    slots, slot_of = _slots(ensemble, binning)
    count = 2 * len(ensemble.tree) + ensemble.trees + 1
    if count >= 2**_CHILD_BITS or len(slots) >= 2**_SLOT_BITS or max(binning.bins, default=0) >= 2**_RANK_BITS or len(ensemble.bounds) >= 2**_RANK_BITS:
        raise ModelError(f"the model is too large to compile: {len(ensemble.tree):,} nodes, {len(slots):,} kinds of tests, {max(binning.bins):,} bins of a feature")
    words, values, roots = _nodes(ensemble, binning, slot_of)
    stride = max(((b + 31) // 32 for b, numeric in zip(binning.bins, binning.numeric, strict=True) if not numeric), default=1)
    sets = np.zeros((max(len(ensemble.bounds) - 1, 1), stride), np.uint32)
    for s in range(len(ensemble.bounds) - 1):
        found = ensemble.words[ensemble.bounds[s] : ensemble.bounds[s + 1]][:stride]
        sets[s, : len(found)] = found
    first = len(binning.ints)
    room = first + slots.size + WALKS
    # room: slot values, the walks' nodes, the leaves that they came to
    ints = np.concatenate([binning.ints, slots.ravel(), roots, np.zeros(len(slots) + WALKS + ensemble.trees + WALKS, np.int64)])
    ints[[SCORER, TREES, ROOM, _LEAVES, _SLOTS, _FIRST_SLOT, _ROOTS]] = LINKS, ensemble.trees, room, len(binning.floats), len(slots), first, first + slots.size
    ints[[_STRIDE, _MIXED]] = stride, int(ensemble.categorical.any())
    return ScorerTables(ints, np.concatenate([binning.floats, values]), sets.ravel(), words)


def _slots(ensemble: Ensemble, binning: Binning) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All slots, int64[slots, 4], and the slot of each node."""
    slots: dict[tuple[int, int, int], int] = {}
    slot_of = np.zeros(len(ensemble.tree), np.int64)
    position = {column: f for f, column in enumerate(binning.columns)}
    rows: list[list[int]] = []
    missing, default = ensemble.missing.tolist(), ensemble.default_left.tolist()
    for node, (feature, categorical) in enumerate(zip(ensemble.feature.tolist(), ensemble.categorical.tolist(), strict=True)):
        f = position[feature]
        nan = zero = _KEEP
        if not categorical:
            aside = -1 if default[node] else _ABOVE
            rank = int(np.searchsorted(binning.thresholds[f], 0.0)) if (feature, missing[node], aside) not in slots else 0
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


def _nodes(ensemble: Ensemble, binning: Binning, slot_of: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.float64], NDArray[np.int64]]:
    """Nodes in breadth-first order within each tree, siblings side by side; leaf values by node; the first root of each walk."""
    rank = np.where(ensemble.categorical, ensemble.category_set, 0)
    for f, column in enumerate(binning.columns):
        if binning.numeric[f]:
            mine = np.flatnonzero(ensemble.feature == column)
            rank[mine] = np.searchsorted(binning.thresholds[f], ensemble.threshold[mine])
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
    words = links.astype(np.uint64)
    words[inner] |= (rank[of].astype(np.uint64) << _RANK) | (slot_of[of].astype(np.uint64) << _SLOT_AT) | (ensemble.categorical[of].astype(np.uint64) << _CATEGORY)
    leaf = np.append(what < 0, np.False_)
    # a leaf and the sink must not step aside: their rank is above every slot's value
    words[~inner] |= _RANK_MASK << _RANK
    words[leaf] |= _ONE << _LEAF
    values = np.zeros(len(words))
    values[leaf] = ensemble.leaf_value[~what[what < 0]]
    roots = np.array([first[w] if w < len(first) else sink for w in range(WALKS)], np.int64)
    return words, values, roots


@kernel()
def _fill_slot(ints: NDArray[np.int64], room: int, slot: int, found: int) -> None:
    """Write the value of a slot whose feature fell into bin ``found``."""
    at = ints[_FIRST_SLOT] + _SLOT * slot
    nan = ints[ints[at] + BINS] - 2
    value = found
    if found >= nan and ints[at + 1] != _KEEP:
        value = ints[at + 1] if found == nan else ints[at + 2]
    ints[room + slot] = value


@kernel()
def _walk(ints: NDArray[np.int64], nodes: NDArray[np.uint64], floats: NDArray[np.float64], room: int) -> float:
    """Follow all walks of one row of numbers, whose slots are filled, and sum the leaves."""
    slots, at = np.uint64(room), np.uint64(room + ints[_SLOTS])
    out = at + np.uint64(WALKS)
    trees = np.uint64(ints[TREES])
    for w in range(WALKS):
        ints[at + np.uint64(w)] = ints[np.uint64(ints[_ROOTS] + w)]
    done = np.uint64(0)
    while done < trees:
        for w in range(WALKS):
            place = np.uint64(ints[at + np.uint64(w)])
            node = nodes[place]
            ints[out + done] = np.int64(place)
            done += node >> _LEAF
            value = ints[slots + ((node >> _SLOT_AT) & _SLOT_MASK)]
            rank = np.int64((node >> _RANK) & _RANK_MASK)
            ints[at + np.uint64(w)] = np.int64((node & _CHILD_MASK) + np.uint64(value > rank))
    return _leaf_values(ints, floats, int(out))


@kernel()
def _walk_mixed(ints: NDArray[np.int64], nodes: NDArray[np.uint64], sets: NDArray[np.uint32], floats: NDArray[np.float64], room: int) -> float:
    """Follow all walks of one row where some nodes split categories."""
    slots, at = np.uint64(room), np.uint64(room + ints[_SLOTS])
    out = at + np.uint64(WALKS)
    trees, stride = np.uint64(ints[TREES]), np.uint64(ints[_STRIDE])
    for w in range(WALKS):
        ints[at + np.uint64(w)] = ints[np.uint64(ints[_ROOTS] + w)]
    done = np.uint64(0)
    while done < trees:
        for w in range(WALKS):
            place = np.uint64(ints[at + np.uint64(w)])
            node = nodes[place]
            ints[out + done] = np.int64(place)
            done += node >> _LEAF
            value = ints[slots + ((node >> _SLOT_AT) & _SLOT_MASK)]
            rank = (node >> _RANK) & _RANK_MASK
            splits = (node >> _CATEGORY) & _ONE
            # numbers read the first word of the sets, and make nothing of it
            category = np.uint64(value) * splits
            inside = np.uint64(sets[rank * splits * stride + (category >> _FIVE)] >> (category & _LOW_FIVE)) & _ONE
            aside = (np.uint64(value > np.int64(rank)) & (splits ^ _ONE)) | ((inside ^ _ONE) & splits)
            ints[at + np.uint64(w)] = np.int64((node & _CHILD_MASK) + aside)
    return _leaf_values(ints, floats, int(out))


@kernel(fastmath={"reassoc", "nsz"})
def _leaf_values(ints: NDArray[np.int64], floats: NDArray[np.float64], out: int) -> float:
    first = ints[_LEAVES]
    total = 0.0
    for t in range(ints[TREES]):
        total += floats[np.uint64(first + ints[np.uint64(out + t)])]
    return total


@kernel()
def link_row(tables: ScorerTables, features: NDArray[np.float32]) -> float:
    """Score one row."""
    ints, room = tables.ints, tables.ints[ROOM]
    previous, found = -1, 0
    for slot in range(ints[_SLOTS]):
        record = ints[ints[_FIRST_SLOT] + _SLOT * slot]
        if record != previous:
            found = bin_of(ints, record, features[ints[record + COLUMN]])
            previous = record
        _fill_slot(ints, room, slot, found)
    return _finish(tables)


@kernel()
def link_binned(tables: ScorerTables, bins: NDArray[np.int64]) -> float:
    """Score one row whose bins were found already."""
    ints, room = tables.ints, tables.ints[ROOM]
    for slot in range(ints[_SLOTS]):
        f = (ints[ints[_FIRST_SLOT] + _SLOT * slot] - HEADER) // RECORD
        _fill_slot(ints, room, slot, bins[f])
    return _finish(tables)


@kernel()
def _finish(tables: ScorerTables) -> float:
    ints, room = tables.ints, tables.ints[ROOM]
    if ints[_MIXED]:
        return linked(ints, tables.floats, _walk_mixed(ints, tables.wide, tables.narrow, tables.floats, room))
    return linked(ints, tables.floats, _walk(ints, tables.wide, tables.floats, room))
