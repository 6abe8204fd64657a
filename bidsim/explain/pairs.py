"""Shapley values of another kind: against a background sample, and of pairs of features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel
from bidsim.explain.attribution import BEFORE, DEPTH, FEATURE, IS_LEAF, NODE, SIDE, Attributor, Paths, take_side

_MOST = 64
"""Most edges of a path that a row and a background row decide differently."""


def against_background(
    attributor: Attributor, rows: NDArray[np.float64], background: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Interventional Shapley values.

    Features left out take the values of background rows (Lundberg et al. 2020, algorithm 3).

    Args:
        attributor: Of the ensemble.
        rows: float64[n, columns].
        background: float64[m, columns]; categories and missing values as in rows.

    Returns:
        float64[n, columns], and what they start from: the mean sum of leaves over the background.

    """
    found = np.zeros((len(rows), attributor.ensemble.features))
    own, others = attributor.slot_values(rows), attributor.slot_values(background)
    used = np.zeros((len(rows), len(attributor.features)))
    start = _interventional(attributor.paths, attributor.children, own, others, used)
    found[:, attributor.features] = used
    return found, start + attributor.single


def interactions(attributor: Attributor, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shapley interaction values, float64[n, columns, columns], symmetric.

    Rows of a matrix add up to the Shapley values.

    phi_ij = 1/2 sum over leaves of v (o_i - z_i)(o_j - z_j) times the integral of the product over all other features
    of the path (Lundberg et al. 2020, equation 5, by quadrature); the diagonal holds what is left of each feature's own
    value.
    """
    columns = attributor.ensemble.features
    found = np.zeros((len(rows), columns, columns))
    used = np.zeros((len(rows), len(attributor.features), len(attributor.features)))
    nodes, weights = np.polynomial.legendre.leggauss(attributor.points)
    _pairs(attributor.paths, attributor.slot_values(rows), (nodes + 1) / 2, weights / 2, used)
    where = attributor.features
    found[:, where[:, None], where[None, :]] = used
    diagonal = np.arange(columns)
    found[:, diagonal, diagonal] = attributor(rows) - found.sum(axis=2)
    return found


@kernel(allocates=True)
def _interventional(
    paths: Paths,
    children: NDArray[np.int64],
    own: NDArray[np.int64],
    others: NDArray[np.int64],
    out: NDArray[np.float64],
) -> float:
    """Add each tree's values to ``out``; return the mean sum of leaves of the background."""
    factorial = np.ones(_MOST + 1)
    for k in range(1, _MOST + 1):
        factorial[k] = factorial[k - 1] * k
    stack = np.zeros((4 * _MOST * _MOST, 5), np.int64)
    path = np.zeros((_MOST, 2), np.int64)
    start = 0.0
    for tree in range(paths.first.shape[0] - 1):
        if paths.node_first[tree + 1] == paths.node_first[tree]:
            continue
        for b in range(others.shape[0]):
            start += _leaf(paths, children, paths.node_first[tree], others[b])
            for k in range(own.shape[0]):
                _one_pair(paths, children, paths.node_first[tree], own[k], others[b], stack, path, factorial, out[k])
    out /= others.shape[0]
    return start / others.shape[0]


@kernel()
def _leaf(paths: Paths, children: NDArray[np.int64], root: int, values: NDArray[np.int64]) -> float:
    node = root
    while node >= 0:
        node = children[node, take_side(paths, values, node)]
    return paths.leaves[~node]


@kernel()
def _one_pair(
    paths: Paths,
    children: NDArray[np.int64],
    root: int,
    own: NDArray[np.int64],
    other: NDArray[np.int64],
    stack: NDArray[np.int64],
    path: NDArray[np.int64],
    factorial: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Walk where the row and the background row go, both ways where they part.

    The path holds who decided each feature.
    """
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3], stack[0, 4] = root, 0, 0, 0, 0
    top = 1
    while top > 0:
        top -= 1
        node, length, ours = stack[top, 0], stack[top, 1], stack[top, 4]
        if length > 0:
            path[length - 1, 0], path[length - 1, 1] = stack[top, 2], stack[top, 3]
        if node < 0:
            _add_leaf(paths.leaves[~node], length, ours, path, factorial, out)
            continue
        feature = paths.slots[paths.tests[node, 0], 0]
        mine, theirs = take_side(paths, own, node), take_side(paths, other, node)
        decided = -1
        for k in range(length):
            if path[k, 0] == feature:
                decided = path[k, 1]
        if mine == theirs or decided >= 0:
            side = theirs if decided == 0 else mine
            last = max(length - 1, 0)
            stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3], stack[top, 4] = (
                children[node, side],
                length,
                path[last, 0],
                path[last, 1],
                ours,
            )
            top += 1
        else:
            for who in range(2):
                stack[top, 0] = children[node, mine if who else theirs]
                stack[top, 1], stack[top, 2], stack[top, 3], stack[top, 4] = length + 1, feature, who, ours + who
                top += 1


@kernel()
def _add_leaf(
    value: float,
    length: int,
    ours: int,
    path: NDArray[np.int64],
    factorial: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Share a leaf that needs ``ours`` features of the row and the rest of the background row."""
    theirs = length - ours
    for k in range(length):
        if path[k, 1]:
            out[path[k, 0]] += value * factorial[ours - 1] * factorial[theirs] / factorial[length]
        else:
            out[path[k, 0]] -= value * factorial[ours] * factorial[theirs - 1] / factorial[length]


@kernel(allocates=True)
def _pairs(
    paths: Paths, values: NDArray[np.int64], t: NDArray[np.float64], w: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    """Add every leaf's part to the pairs of features on its path."""
    feature, agrees, share = np.zeros(_MOST, np.int64), np.zeros(_MOST), np.zeros(_MOST)
    by_depth = np.zeros((4 * _MOST, 3))
    for k in range(values.shape[0]):
        for e in range(paths.edges.shape[0]):
            edge = paths.edges[e]
            depth = edge[DEPTH]
            side = take_side(paths, values[k], edge[NODE])
            before = edge[BEFORE]
            o = 1.0 if side == edge[SIDE] else 0.0
            by_depth[depth, 0] = edge[FEATURE]
            by_depth[depth, 1] = o * (by_depth[before, 1] if before else 1.0)
            by_depth[depth, 2] = paths.ratio[e] * (by_depth[before, 2] if before else 1.0)
            if edge[IS_LEAF]:
                count = _distinct(by_depth, depth, feature, agrees, share)
                _add_pairs(paths.value[e], count, feature, agrees, share, t, w, out[k])


@kernel()
def _distinct(
    by_depth: NDArray[np.float64],
    depth: int,
    feature: NDArray[np.int64],
    agrees: NDArray[np.float64],
    share: NDArray[np.float64],
) -> int:
    """Features of a path, each with its last edge's state."""
    count = 0
    for d in range(depth, 0, -1):
        f = int(by_depth[d, 0])
        seen = False
        for k in range(count):
            seen = seen or feature[k] == f
        if not seen:
            feature[count], agrees[count], share[count] = f, by_depth[d, 1], by_depth[d, 2]
            count += 1
    return count


@kernel()
def _add_pairs(
    value: float,
    count: int,
    feature: NDArray[np.int64],
    agrees: NDArray[np.float64],
    share: NDArray[np.float64],
    t: NDArray[np.float64],
    w: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    for q in range(t.shape[0]):
        product = w[q] * value
        for k in range(count):
            product *= agrees[k] * t[q] + share[k] * (1 - t[q])
        for i in range(count):
            left = product * (agrees[i] - share[i]) / (agrees[i] * t[q] + share[i] * (1 - t[q]))
            for j in range(count):
                if i != j:
                    out[feature[i], feature[j]] += (
                        0.5 * left * (agrees[j] - share[j]) / (agrees[j] * t[q] + share[j] * (1 - t[q]))
                    )
