"""Trees as tables of masks: a row is scored by looking features up and AND-ing, without walking any tree.

Leaves are numbered from left to right. Where a node's test sends a row to the right, the leaves on its left cannot be
reached; of the leaves that no node rules out, the first one is reached (QuickScorer, Lucchese et al., SIGIR 2015).
For every feature the masks of all its nodes are AND-ed beforehand for each *bin* between the ensemble's own
thresholds, so a row costs one look-up and one AND per feature and tree. Missing values, zeros and categories are bins
like any other. Masks have 32 or 64 bits; trees with more leaves are walked (`bidsim.cvr.trees`).

Layout. ``ints``: header, then for each feature of the model ``(column, kind, bins, place of its masks, place of its
look-up, thresholds)``, then look-ups. ``narrow`` or ``wide``: masks ``[feature][bin][tree]``, then masks of campaigns,
then room for one request. ``floats``: offset, sharpness, then leaf values ``[tree][leaf]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba.core import types as numba_types
from numba.extending import intrinsic
from numpy.typing import NDArray

from bidsim.core.contracts import ScorerTables
from bidsim.core.kernel import kernel
from bidsim.cvr.features import FIRST_CAMPAIGN, FIRST_PAIR, WIDTH
from bidsim.kernels.normal import sigmoid

if TYPE_CHECKING:
    from collections.abc import Sequence

types: Any = numba_types
WALK, NARROW, WIDE = range(3)
"""What a model is compiled to: `ScorerTables.ints[0]`."""
_TREES, _FEATURES, _CAMPAIGNS, _STATIC, _ROOM, _PAIR = range(1, 7)
_FIRST = _PAIR + WIDTH - FIRST_PAIR
_RECORD = 8
_COLUMN, _KIND, _BINS, _MASKS, _LOOKUP, _THRESHOLDS, _LOW, _SCALE = range(8)
_NUMBER, _CATEGORY = range(2)
_BUCKETS = 512
_MOST_BYTES = 24_000_000
_ZERO = float(np.float32(1e-35))
_INT_LIMIT = 2147483648.0
_CATEGORICAL = 1


@dataclass(frozen=True)
class Node:
    """A node as `bidsim.cvr.trees` reads it, with the leaves below its left child."""

    feature: int
    kind: int
    threshold: float
    categories: frozenset[int]
    tree: int
    left_leaves: tuple[int, int]


@intrinsic  # type: ignore[untyped-decorator]
def trailing_zeros(context: Any, value: Any) -> Any:
    """Position of the lowest set bit of an unsigned number that is not zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return value(value), generate


def float_key(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Whole numbers in the order of float32 numbers."""
    bits = np.ascontiguousarray(values, np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -2147483648 - bits, bits)


def _rounded_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Largest float32 at or below each threshold: x <= t and x <= rounded(t) agree for every float32 x."""
    with np.errstate(over="ignore"):
        near = thresholds.astype(np.float32)
    return np.where(near.astype(np.float64) > thresholds, np.nextafter(near, np.float32(-np.inf)), near)


def fits(leaves: int, masks: int) -> bool:
    """Whether trees of so many leaves, with so many masks in all, are better looked up than walked."""
    return leaves <= 64 and masks * (4 if leaves <= 32 else 8) <= _MOST_BYTES  # noqa: PLR2004


def count_masks(nodes: Sequence[Node], trees: int) -> int:
    """Masks that `compile_masks` would make."""
    bins = 0
    for feature in {n.feature for n in nodes}:
        mine = [n for n in nodes if n.feature == feature]
        bins += (max((max(n.categories, default=0) for n in mine), default=0) + 2) if mine[0].kind & _CATEGORICAL else len({n.threshold for n in mine}) + 3
    return bins * trees


def compile_masks(nodes: Sequence[Node], leaf_values: Sequence[Sequence[float]], offset: float, sharpness: float) -> ScorerTables:
    """Tables of an ensemble whose trees have 64 leaves at most.

    Args:
        nodes: All nodes.
        leaf_values: Values of each tree's leaves, from left to right.
        offset: Added to the log-odds.
        sharpness: Multiplies the sum of leaf values.

    """
    trees, width = len(leaf_values), 32 if max(len(v) for v in leaf_values) <= 32 else 64  # noqa: PLR2004
    dtype: Any = np.uint32 if width == 32 else np.uint64  # noqa: PLR2004
    used = sorted({n.feature for n in nodes})
    records, lookups, blocks = [], [], []
    place_of_masks, place_of_lookup = 0, _FIRST + _RECORD * len(used)
    for feature in used:
        mine = [n for n in nodes if n.feature == feature]
        if any((n.kind & _CATEGORICAL) != (mine[0].kind & _CATEGORICAL) for n in mine):
            raise ValueError(f"feature {feature} is split both as a number and as a category")
        record, lookup, block = (_categorical if mine[0].kind & _CATEGORICAL else _numeric)(mine, trees, dtype)
        records.append([feature, record[0], len(block), place_of_masks, place_of_lookup, *record[1:]])
        lookups.append(lookup)
        blocks.append(block)
        place_of_masks += block.size
        place_of_lookup += len(lookup)
    header = np.zeros(_FIRST, np.int64)
    header[0], header[_TREES], header[_FEATURES], header[_STATIC], header[_ROOM] = NARROW if width == 32 else WIDE, trees, len(used), place_of_masks, place_of_masks  # noqa: PLR2004
    for f, feature in enumerate(used):
        if FIRST_PAIR <= feature < WIDTH:
            header[_PAIR + feature - FIRST_PAIR] = _FIRST + _RECORD * f
    ints = np.concatenate([header, np.array(records, np.int64).ravel(), *lookups]).astype(np.int64)
    masks = np.concatenate([*(b.ravel() for b in blocks), np.zeros(trees, dtype), np.full(trees, ~dtype(0), dtype)]).astype(dtype)
    floats = np.zeros(2 + trees * width)
    floats[0], floats[1] = offset, sharpness
    for t, values in enumerate(leaf_values):
        floats[2 + t * width : 2 + t * width + len(values)] = values
    empty32, empty64 = np.zeros(1, np.uint32), np.zeros(1, np.uint64)
    return ScorerTables(ints, floats, masks if width == 32 else empty32, masks if width == 64 else empty64)  # noqa: PLR2004


def _ruled_out(node: Node, dtype: Any) -> Any:
    """Mask without the leaves below the node's left child."""
    first, end = node.left_leaves
    return dtype(~(((1 << end) - 1) ^ ((1 << first) - 1)) & (2 ** (8 * np.dtype(dtype).itemsize) - 1))


def _block(nodes: Sequence[Node], trees: int, bins: Sequence[Any], dtype: Any, goes_left: Any) -> NDArray[Any]:
    block = np.full((len(bins), trees), ~dtype(0), dtype)
    for node in nodes:
        mask = _ruled_out(node, dtype)
        for b, value in enumerate(bins):
            if not goes_left(node, value):
                block[b, node.tree] &= mask
    return block


def _number_goes_left(node: Node, value: float) -> bool:
    """LightGBM's test of a number; see `bidsim.cvr.trees`."""
    missing = (node.kind >> 2) & 3
    default = bool(node.kind & 2)
    if np.isnan(value):
        if missing == 2:  # noqa: PLR2004
            return default
        value = 0.0
    if -_ZERO <= value <= _ZERO:
        if missing == 1:
            return default
        value = 0.0
    return value <= node.threshold


def _numeric(nodes: Sequence[Node], trees: int, dtype: Any) -> tuple[list[int], NDArray[np.int64], NDArray[Any]]:
    """Bins between thresholds, then those of NaN and of zero; the look-up: buckets of keys, then the thresholds' keys."""
    thresholds = np.unique(_rounded_down(np.array([n.threshold for n in nodes])))
    keys = float_key(thresholds)
    low = int(keys[0])
    scale = (_BUCKETS << 32) // (int(keys[-1]) - low + 1)
    starts = np.array([np.searchsorted(keys, low + -(-(b << 32) // max(scale, 1)), side="left") for b in range(_BUCKETS)], np.int64)
    # any value of a bin will do: its upper threshold, and one above all
    bins = [*thresholds.astype(np.float64), np.inf, np.nan, 0.0]
    block = _block(nodes, trees, bins, dtype, _bin_goes_left)
    return [_NUMBER, len(keys), low, scale], np.concatenate([starts, keys]), block


def _bin_goes_left(node: Node, value: float) -> bool:
    if np.isnan(value) or value == 0.0:
        return _number_goes_left(node, value)
    return bool(value <= float(_rounded_down(np.array([node.threshold]))[0]))


def _categorical(nodes: Sequence[Node], trees: int, dtype: Any) -> tuple[list[int], NDArray[np.int64], NDArray[Any]]:
    """A bin for each category up to the highest in any set, and one for all else."""
    highest = max((max(n.categories, default=-1) for n in nodes), default=-1)
    block = _block(nodes, trees, [*range(highest + 1), -1], dtype, lambda node, category: category in node.categories)
    return [_CATEGORY, 0, 0, 0], np.zeros(0, np.int64), block


@intrinsic  # type: ignore[untyped-decorator]
def _single_bits(context: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.sext(builder.bitcast(arguments[0], ir.IntType(32)), ir.IntType(64))

    return types.int64(types.float32), generate


@kernel()
def _key(value: np.float32) -> int:
    bits = _single_bits(value)
    return -2147483648 - bits if bits < 0 else bits


@kernel()
def _bin_of_key(ints: NDArray[np.int64], record: int, count: int, key: int) -> int:
    """Number of thresholds below a key: a bucket says where to begin."""
    low, first = ints[record + _LOW], ints[record + _LOOKUP]
    if key <= low:
        return 0
    if key > ints[first + _BUCKETS + count - 1]:
        return count
    at = ints[first + (((key - low) * ints[record + _SCALE]) >> 32)]
    while at < count and ints[first + _BUCKETS + at] < key:
        at += 1
    return at


@kernel()
def bin_of(ints: NDArray[np.int64], record: int, value: np.float32) -> int:
    """Bin of a value of the feature whose record lies at ``record``."""
    bins = ints[record + _BINS]
    if ints[record + _KIND] == _CATEGORY:
        wide = np.float64(value)
        if not -1.0 < wide < _INT_LIMIT:
            return bins - 1
        return min(int(wide), bins - 1)
    count = ints[record + _THRESHOLDS]
    if np.isnan(value):
        return count + 1
    if -_ZERO <= np.float64(value) <= _ZERO:
        return count + 2
    return _bin_of_key(ints, record, count, _key(value))


@kernel()
def and_columns(ints: NDArray[np.int64], masks: NDArray[Any], row: NDArray[np.float32], first: int, end: int, room: int) -> None:
    """AND the masks of the features in columns ``first`` to ``end`` of a row into ``masks[room:]``, which starts as all ones."""
    trees = ints[_TREES]
    for k in range(trees):
        masks[np.uint64(room + k)] = ~masks[0] | masks[0]
    for f in range(ints[_FEATURES]):
        record = _FIRST + _RECORD * f
        column = ints[record + _COLUMN]
        if first <= column < end:
            place = np.uint64(ints[record + _MASKS] + bin_of(ints, record, row[column - first]) * trees)
            for k in range(trees):
                t = np.uint64(k)
                masks[np.uint64(room) + t] &= masks[place + t]


@kernel(fastmath={"reassoc", "nsz"})
def sum_of_leaves(masks: NDArray[Any], floats: NDArray[np.float64], trees: int, width: int, at: int) -> float:
    """Sum of the leaves that ``masks[at:]`` leave."""
    total = 0.0
    for k in range(trees):
        t = np.uint64(k)
        total += floats[np.uint64(2) + t * np.uint64(width) + np.uint64(trailing_zeros(masks[np.uint64(at) + t]))]
    return total


@kernel(fastmath={"reassoc", "nsz"})
def sum_of_shared(masks: NDArray[Any], floats: NDArray[np.float64], trees: int, width: int, request: int, campaign: int, a: int, b: int, c: int, d: int) -> float:
    """Sum of the leaves that the masks of a request, a campaign and four features of the pair leave together."""
    total = 0.0
    for k in range(trees):
        t = np.uint64(k)
        mask = (
            masks[np.uint64(request) + t] & masks[np.uint64(campaign) + t]
            & masks[np.uint64(a) + t] & masks[np.uint64(b) + t] & masks[np.uint64(c) + t] & masks[np.uint64(d) + t]
        )  # fmt: skip
        total += floats[np.uint64(2) + t * np.uint64(width) + np.uint64(trailing_zeros(mask))]
    return total


@kernel()
def score_rows(
    ints: NDArray[np.int64], masks: NDArray[Any], floats: NDArray[np.float64], width: int, features: NDArray[np.float32], lo: int, hi: int, pcvr: NDArray[np.float64]
) -> None:
    """Score rows that have nothing in common."""
    room = ints[_ROOM]
    for k in range(lo, hi):
        and_columns(ints, masks, features[k], 0, features.shape[1], room)
        pcvr[k] = sigmoid(floats[1] * sum_of_leaves(masks, floats, ints[_TREES], width, room) + floats[0])


@kernel()
def score_candidates(
    ints: NDArray[np.int64], masks: NDArray[Any], floats: NDArray[np.float64], width: int, who: NDArray[np.int64],
    features: NDArray[np.float32], lo: int, hi: int, pcvr: NDArray[np.float64],
) -> None:  # fmt: skip
    """Score campaigns on one request: its own features are looked up once, those of campaigns were beforehand."""
    trees, room, ones = ints[_TREES], ints[_ROOM], ints[_ROOM] + ints[_TREES]
    and_columns(ints, masks, features[lo], 0, FIRST_CAMPAIGN, room)
    for k in range(lo, hi):
        a = b = c = d = ones
        for column in range(FIRST_PAIR, WIDTH):
            record = ints[_PAIR + column - FIRST_PAIR]
            if record > 0:
                place = ints[record + _MASKS] + bin_of(ints, record, features[k, column]) * trees
                if column == FIRST_PAIR:
                    a = place
                elif column == FIRST_PAIR + 1:
                    b = place
                elif column == FIRST_PAIR + 2:
                    c = place
                else:
                    d = place
        total = sum_of_shared(masks, floats, trees, width, room, ints[_STATIC] + who[k] * trees, a, b, c, d)
        pcvr[k] = sigmoid(floats[1] * total + floats[0])


def with_campaigns(tables: ScorerTables, static: NDArray[np.float32]) -> ScorerTables:
    """Tables that know the masks of campaigns, float32[campaigns, campaign features]; walked trees need none."""
    if tables.ints[0] == WALK:
        return tables
    narrow = tables.ints[0] == NARROW
    masks = tables.narrow if narrow else tables.wide
    trees, place = int(tables.ints[_TREES]), int(tables.ints[_STATIC])
    ones = np.full(trees, ~masks.dtype.type(0), masks.dtype)
    ints = tables.ints.copy()
    ints[_CAMPAIGNS], ints[_ROOM] = len(static), place + len(static) * trees
    grown = np.concatenate([masks[:place], np.zeros(len(static) * trees, masks.dtype), np.zeros(trees, masks.dtype), ones])
    for k, row in enumerate(static):
        and_columns(ints, grown, row, FIRST_CAMPAIGN, FIRST_PAIR, place + k * trees)
    return ScorerTables(ints, tables.floats, grown if narrow else tables.narrow, tables.wide if narrow else grown)
