"""Shapley values of a model's predictions, in log-odds.

What the model uses, exactly, and fast enough for every impression.

Path-dependent Shapley values of trees (Lundberg et al., Nature Machine Intelligence 2020), by quadrature
(Quadrature-TreeSHAP, arXiv 2605.04497). On the way to a leaf of value v let o_j be 1 where the row agrees with all
splits on feature j, and z_j the share of training rows that do. Then

    phi_i = sum over leaves of v (o_i - z_i) * integral over t in [0, 1] of the product over j != i of (o_j t + z_j (1 -
    t)),

and Gauss-Legendre quadrature with m points is exact for paths of up to 2m features. The product is carried down the
tree, an edge at a time; the leaves' sums are carried up, and each edge adds what they say of its own feature. All that
does not depend on the row is computed once for the model. `ROWS` rows go side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel
from bidsim.cvr.binning import HEADER, RECORD, bins_of, make_bins
from bidsim.cvr.links import slots_of
from bidsim.kernels.paths import PER_POINT, ROWS, grow, shrink

if TYPE_CHECKING:
    from typing import Any

    from bidsim.cvr.binning import Binning
    from bidsim.cvr.ensemble import Ensemble

NODE, SIDE, DEPTH, BEFORE, FEATURE, IS_LEAF, CHILD = range(7)
"""Columns of an edge: the node it leaves, 1 where it leads right, its depth, the depth of the feature's earlier edge (0
for none), its feature's place among those used, whether it ends at a leaf, and the leaf or node at its end."""
_TINY = 1e-300


class Paths(NamedTuple):
    """What Shapley values need of an ensemble.

    Fields: ``edges`` int64[edges, 7], each tree in depth-first order; ``first`` int64[trees + 1], its edges; ``ratio``
    float64[edges], share of the node's rows that take the edge; ``value`` float64[edges], of the leaf at its end;
    ``table`` float64, for each edge and point `PER_POINT` numbers, the root's first; ``node_first`` int64[trees + 1];
    ``tests`` int64[nodes, 3]: slot, rank or set, whether it splits categories; ``sets`` bool[sets, bins]; ``slots``
    int64[slots, 3]: place of the feature among those used, values for missing and zero; ``leaves`` float64, all leaf
    values.
    """

    edges: NDArray[np.int64]
    first: NDArray[np.int64]
    ratio: NDArray[np.float64]
    value: NDArray[np.float64]
    table: NDArray[np.float64]
    node_first: NDArray[np.int64]
    tests: NDArray[np.int64]
    sets: NDArray[np.bool_]
    slots: NDArray[np.int64]
    leaves: NDArray[np.float64]


@dataclass(frozen=True)
class Attributor:
    """Computes Shapley values of one ensemble.

    Attributes:
        ensemble: The trees.
        features: Columns that the trees use, in the order of the tables.
        expected: Mean of the sum of leaves over the training rows; what Shapley values start from.
        points: Quadrature points.
        paths: What the kernels read.
        children: int64[nodes, 2], left and right child of each node, ``~leaf`` below zero.
        single: Sum of the trees that are a leaf only.

    """

    ensemble: Ensemble
    features: NDArray[np.int64]
    expected: float
    points: int
    paths: Paths
    children: NDArray[np.int64]
    single: float
    _binning: Binning
    _deepest: int

    def __call__(self, rows: NDArray[np.float64] | NDArray[np.float32]) -> NDArray[np.float64]:
        """Shapley values, float64[n, columns]; with ``expected`` they add up to each row's sum of leaves.

        Args:
            rows: [n, columns] feature values, NaN where missing.

        """
        found = np.zeros((len(rows), self.ensemble.features))
        if len(rows) and len(self.features):
            used = np.zeros((len(rows), len(self.features)))
            _attribute(self.paths, self.slot_values(rows), self.points, self._deepest, used)
            found[:, self.features] = used
        return found

    def slot_values(self, rows: NDArray[np.float64] | NDArray[np.float32]) -> NDArray[np.int64]:
        """What nodes compare, int64[n, slots]."""
        bins = bins_of(self._binning.ints, self._binning.floats, np.asarray(rows, np.float64))
        found = np.zeros((len(rows), len(self.paths.slots)), np.int64)
        for slot, (f, missing, zero) in enumerate(self.paths.slots):
            own = bins[:, f]
            if self._binning.numeric[f]:
                own = np.where(own == self._binning.nan(f), missing, np.where(own == self._binning.zero(f), zero, own))
            found[:, slot] = own
        return found


def make_attributor(ensemble: Ensemble) -> Attributor:
    """Prepare an ensemble; the counts of training rows in LightGBM's text are the shares of its edges."""
    binning = make_bins(ensemble, 0.0)
    deepest, distinct, edges, first = _edges(ensemble, {int(c): f for f, c in enumerate(binning.columns)})
    points = max(1, -(-distinct // 2))
    table, ratio, value = _tables(ensemble, edges, points)
    slots, slot_of = slots_of(ensemble, binning)
    tests = (
        np.column_stack([slot_of, binning.rank, ensemble.categorical.astype(np.int64)]).astype(np.int64).reshape(-1, 3)
    )
    small = (
        np.column_stack([(slots[:, 0] - HEADER) // RECORD, slots[:, 1], slots[:, 2]]).astype(np.int64).reshape(-1, 3)
    )
    node_first = np.searchsorted(ensemble.tree, np.arange(ensemble.trees + 1)).astype(np.int64)
    paths = Paths(
        edges,
        first,
        ratio,
        value,
        table,
        node_first,
        tests,
        _sets(ensemble, max(binning.bins, default=1)),
        small,
        ensemble.leaf_value,
    )
    children = np.column_stack([ensemble.left, ensemble.right]).astype(np.int64).reshape(-1, 2)
    single = float(ensemble.leaf_value[~ensemble.root[ensemble.root < 0]].sum())
    return Attributor(
        ensemble,
        np.array(binning.columns, np.int64),
        _expected(ensemble),
        points,
        paths,
        children,
        single,
        binning,
        deepest,
    )


def _expected(ensemble: Ensemble) -> float:
    """Sum over trees of the mean leaf, weighted by training rows (LightGBM's ``Tree::ExpectedValue``)."""
    weight = np.bincount(ensemble.leaf_tree, ensemble.leaf_count, ensemble.trees)
    total = np.bincount(ensemble.leaf_tree, ensemble.leaf_count * ensemble.leaf_value, ensemble.trees)
    single = np.bincount(ensemble.leaf_tree, minlength=ensemble.trees) == 1
    alone = np.bincount(ensemble.leaf_tree, ensemble.leaf_value, ensemble.trees)
    return float(np.where(single, alone, total / np.maximum(weight, _TINY)).sum())


def _sets(ensemble: Ensemble, bins: int) -> NDArray[np.bool_]:
    found = np.zeros((max(len(ensemble.bounds) - 1, 1), bins), np.bool_)
    for node in np.flatnonzero(ensemble.categorical):
        found[ensemble.category_set[node], ensemble.categories(int(node))] = True
    return found


def _edges(ensemble: Ensemble, place: dict[int, int]) -> tuple[int, int, NDArray[np.int64], NDArray[np.int64]]:
    """Deepest edge, most distinct features on a path, edges in depth-first order, and where each tree's begin."""
    left, right, feature = ensemble.left.tolist(), ensemble.right.tolist(), ensemble.feature.tolist()
    rows: list[list[int]] = []
    first = [0]
    deepest = distinct = 1
    for root in ensemble.root.tolist():
        # (node to leave, side, depth, features of the path with the depth of their last edge)
        waiting: list[tuple[int, int, int, dict[int, int]]] = (
            [(root, side, 1, {}) for side in (1, 0)] if root >= 0 else []
        )
        while waiting:
            node, side, depth, path = waiting.pop()
            f = feature[node]
            child = right[node] if side else left[node]
            rows.append([node, side, depth, path.get(f, 0), place[f], int(child < 0), ~child if child < 0 else child])
            here = {**path, f: depth}
            deepest, distinct = max(deepest, depth), max(distinct, len(here))
            if child >= 0:
                waiting += [(child, s, depth + 1, here) for s in (1, 0)]
        first.append(len(rows))
    return deepest, distinct, np.array(rows, np.int64).reshape(-1, 7), np.array(first, np.int64)


def _tables(
    ensemble: Ensemble, edges: NDArray[np.int64], points: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Numbers of every edge at every point, its ratio, and leaf values."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    t, w = (nodes + 1) / 2, weights / 2
    child = edges[:, CHILD]
    leaf = edges[:, IS_LEAF] == 1
    below = np.where(
        leaf,
        ensemble.leaf_count[np.where(leaf, child, 0)],
        ensemble.count[np.where(leaf, 0, child)] if len(ensemble.count) else 0.0,
    )
    ratio = np.maximum(below, _TINY) / np.maximum(ensemble.count[edges[:, NODE]], _TINY) if len(edges) else np.zeros(0)
    z, earlier = _shares(edges, ratio)
    off = 1.0 - t
    agrees, agreed = t + z[:, None] * off, t + earlier[:, None] * off
    table = np.zeros((1 + len(edges), points, PER_POINT))
    left = z[:, None] * off / agreed
    table[1:, :, 0] = left - ratio[:, None]
    table[1:, :, 1] = agrees / agreed - left
    # weight of the edge's feature: (o - z) / (o t + z (1 - t)), which is -1 / (1 - t) where the row left, its part for
    # o = 1 beyond that
    table[1:, :, 2] = w * ((1.0 - z[:, None]) / agrees + 1.0 / off)
    table[0, :, 2] = w / off
    value = np.where(leaf, ensemble.leaf_value[np.where(leaf, child, 0)], 0.0)
    return table.ravel(), ratio, value


def _shares(edges: NDArray[np.int64], ratio: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each edge the share z of its feature up to it, and up to the feature's earlier edge.

    The latter is 1 where there is none.
    """
    z, earlier = np.ones(len(edges)), np.ones(len(edges))
    at_depth = np.zeros(int(edges[:, DEPTH].max(initial=0)) + 1, np.int64)
    for e, (depth, before) in enumerate(zip(edges[:, DEPTH].tolist(), edges[:, BEFORE].tolist(), strict=True)):
        earlier[e] = z[at_depth[before]] if before else 1.0
        z[e] = earlier[e] * ratio[e]
        at_depth[depth] = e
    return z, earlier


@kernel()
def take_side(paths: Paths, values: NDArray[np.int64], node: int) -> int:
    """Side that a row, by the values of its slots, takes at a node: 0 left, 1 right."""
    slot, rank = paths.tests[node, 0], paths.tests[node, 1]
    if paths.tests[node, 2]:
        return 0 if paths.sets[rank, values[slot]] else 1
    return 1 if values[slot] > rank else 0


@kernel()
def _take_sides(paths: Paths, values: NDArray[np.int64], node: int, right: NDArray[np.float64]) -> None:
    """Write 1 for each row of the block that a node sends to the right."""
    slot, rank = paths.tests[node, 0], paths.tests[node, 1]
    found = values[slot]
    if paths.tests[node, 2]:
        for r in range(ROWS):
            right[r] = 0.0 if paths.sets[rank, found[r]] else 1.0
    else:
        for r in range(ROWS):
            right[r] = np.float64(found[r] > rank)


@kernel(allocates=True)
def _attribute(paths: Paths, values: NDArray[np.int64], points: int, deepest: int, out: NDArray[np.float64]) -> None:
    """Add every row's values to ``out``, block by block; rows beyond the end repeat the last one."""
    used, depths, slots = out.shape[1], deepest + 1, values.shape[1]
    most = 0
    for tree in range(paths.first.shape[0] - 1):
        most = max(most, paths.node_first[tree + 1] - paths.node_first[tree])
    # work: features' sums, agreement by depth, products by depth, leaves' sums by depth
    agree, product = used * ROWS, (used + depths) * ROWS
    sums = product + depths * points * ROWS
    work = np.zeros(sums + depths * points * ROWS)
    right = np.zeros((most, ROWS))
    block = np.zeros((slots, ROWS), np.int64)
    table_of = np.zeros(depths, np.int64)
    for lo in range(0, values.shape[0], ROWS):
        count = min(ROWS, values.shape[0] - lo)
        for r in range(ROWS):
            for slot in range(slots):
                block[slot, r] = values[lo + min(r, count - 1), slot]
        work[: used * ROWS] = 0.0
        work[agree : agree + ROWS] = 1.0
        work[product : product + points * ROWS] = 1.0
        for tree in range(paths.first.shape[0] - 1):
            base = paths.node_first[tree]
            for node in range(base, paths.node_first[tree + 1]):
                _take_sides(paths, block, node, right[node - base])
            _attribute_tree(paths, tree, right, work, table_of, agree, product, sums, points)
        for r in range(count):
            for f in range(used):
                out[lo + r, f] = work[f * ROWS + r]


@kernel()
def _attribute_tree(
    paths: Paths,
    tree: int,
    right: NDArray[np.float64],
    work: NDArray[np.float64],
    table_of: NDArray[np.int64],
    agree: int,
    product: int,
    sums: int,
    points: int,
) -> None:
    """Walk a tree's edges down and up; all rows of the block at each."""
    size, base = points * ROWS, paths.node_first[tree]
    depth = 0
    for e in range(paths.first[tree], paths.first[tree + 1]):
        edge = paths.edges[e]
        while depth >= edge[DEPTH]:
            depth = _leave(paths, work, table_of, depth, agree, sums, points)
        depth = edge[DEPTH]
        before = edge[BEFORE]
        node = edge[NODE] - base
        for r in range(ROWS):
            takes = right[node, r] if edge[SIDE] else 1.0 - right[node, r]
            work[agree + depth * ROWS + r] = takes * work[agree + before * ROWS + r]
        table_of[depth] = e
        at = (1 + e) * points * PER_POINT
        grow(
            work,
            product + (depth - 1) * size,
            product + depth * size,
            agree + before * ROWS,
            agree + depth * ROWS,
            paths.table,
            at,
            paths.ratio[e],
            points,
        )
        own, value = work[sums + depth * size : sums + (depth + 1) * size], paths.value[e]
        if edge[IS_LEAF]:
            reached = work[product + depth * size : product + (depth + 1) * size]
            for k in range(size):
                own[k] = value * reached[k]
        else:
            own[:] = 0.0
    while depth > 0:
        depth = _leave(paths, work, table_of, depth, agree, sums, points)


@kernel()
def _leave(
    paths: Paths, work: NDArray[np.float64], table_of: NDArray[np.int64], depth: int, agree: int, sums: int, points: int
) -> int:
    """Take the last edge off the path; return the depth that is left."""
    e = table_of[depth]
    before = paths.edges[e, BEFORE]
    last = (1 + table_of[before]) * points * PER_POINT if before else 0
    size = points * ROWS
    shrink(
        work,
        sums + depth * size,
        sums + (depth - 1) * size,
        agree + before * ROWS,
        agree + depth * ROWS,
        paths.table,
        (1 + e) * points * PER_POINT,
        last,
        paths.edges[e, FEATURE] * ROWS,
        points,
    )
    return depth - 1


def on_scale_of_predictions(attribution: NDArray[np.float64], expected: float, link: Any) -> NDArray[np.float64]:
    """Attributions on the scale of predictions, which add up to the prediction less the prediction at ``expected``.

    Along the straight line from the expected log-odds to the row's, every feature adds its own share at each step:
    Aumann and Shapley's values (1974) of the link, which are proportional to those in log-odds.

    Args:
        attribution: float64[n, columns], log-odds.
        expected: Log-odds that they start from.
        link: From log-odds to predictions, on arrays.

    """
    total = attribution.sum(axis=1)
    start = np.full(len(total), expected)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (link(expected + total) - link(start)) / total
    flat = np.abs(total) < 1e-9  # noqa: PLR2004
    if flat.any():
        step = 1e-4
        slope[flat] = (link(start[flat] + step) - link(start[flat] - step)) / (2 * step)
    return np.asarray(attribution * slope[:, None])
