"""Slow, obvious twins of the compiled kernels."""

from __future__ import annotations

import heapq
import itertools
import math
from typing import Any

import numpy as np


def rank(bids: list[int], reserves: list[int], ties: list[int]) -> list[int]:
    """Entries that may win, best first."""
    able = [k for k in range(len(bids)) if bids[k] > 0 and bids[k] >= reserves[k]]
    return sorted(able, key=lambda k: (-bids[k], -ties[k]))


def first_price(bids: list[int], reserves: list[int], ties: list[int]) -> tuple[int, int]:
    """Winner (or -1) and payment."""
    order = rank(bids, reserves, ties)
    return (order[0], bids[order[0]]) if order else (-1, 0)


def second_price(bids: list[int], reserves: list[int], ties: list[int], increment: int = 0) -> tuple[int, int]:
    """Winner (or -1) and payment."""
    order = rank(bids, reserves, ties)
    if not order:
        return -1, 0
    return order[0], max([reserves[order[0]]] + [min(bids[k] + increment, bids[order[0]]) for k in order[1:2]])


def soft_floor(bids: list[int], reserves: list[int], ties: list[int], floor: int) -> tuple[int, int]:
    """Winner (or -1) and payment."""
    winner, payment = second_price(bids, reserves, ties)
    if winner < 0 or bids[winner] < floor:
        return first_price(bids, reserves, ties)
    return winner, max(floor, payment)


def rank_scores(bids: list[int], reserves: list[int], ties: list[int], quality: list[float]) -> list[int]:
    """Entries that may win a position, best first."""
    able = [k for k in range(len(bids)) if bids[k] > 0 and bids[k] >= reserves[k]]
    return sorted(able, key=lambda k: (-bids[k] * quality[k], -ties[k]))


def gsp(
    bids: list[int], reserves: list[int], ties: list[int], quality: list[float], effect: list[float]
) -> tuple[list[int], list[float]]:
    """Winners by position and prices per click."""
    order = rank_scores(bids, reserves, ties, quality)
    winners, prices = [-1] * len(effect), [0.0] * len(effect)
    for s, k in enumerate(order[: len(effect)]):
        below = bids[order[s + 1]] * quality[order[s + 1]] / quality[k] if s + 1 < len(order) else 0.0
        winners[s], prices[s] = k, min(max(below, reserves[k]), bids[k])
    return winners, prices


def vcg(
    bids: list[int], reserves: list[int], ties: list[int], quality: list[float], effect: list[float]
) -> tuple[list[int], list[float]]:
    """Winners by position and prices per click, by Myerson: each step up costs the bid at which it comes, the reserve at least."""
    order = rank_scores(bids, reserves, ties, quality)
    winners, prices = [-1] * len(effect), [0.0] * len(effect)
    for s, k in enumerate(order[: len(effect)]):
        others = [j for j in order if j != k]
        total = 0.0
        for j in range(len(effect) - 1, s - 1, -1):
            beaten = bids[others[j]] * quality[others[j]] / quality[k] if j < len(others) else 0.0
            total += (effect[j] - (effect[j + 1] if j + 1 < len(effect) else 0.0)) * max(beaten, reserves[k])
        winners[s], prices[s] = k, min(total / effect[s], bids[k])
    return winners, prices


def minimum_to_win(entry: int, bids: list[int], reserves: list[int], ties: list[int], clear: Any) -> int:
    """Lowest bid with which ``entry`` wins, by bisection on the auction itself."""
    low, high = 0, 4 * max([*bids, *reserves, 1]) + 2
    while high - low > 1:
        middle = (low + high) // 2
        tried = [*bids[:entry], middle, *bids[entry + 1 :]]
        if clear(tried, reserves, ties)[0] == entry:
            high = middle
        else:
            low = middle
    return high


def heap_order(entries: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Entries in the order in which a heap gives them back."""
    heap = list(entries)
    heapq.heapify(heap)
    return [heapq.heappop(heap) for _ in range(len(heap))]


def poisson_quantile(mean: float, u: float) -> int:
    """Smallest k with P(K <= k) >= u."""
    k, total = 0, math.exp(-mean)
    while total < u:
        k += 1
        total += math.exp(-mean + k * math.log(mean) - math.lgamma(k + 1))
    return k


def auc(predicted: list[float], label: list[int], weight: list[float]) -> float:
    """Chance that a positive stands above a negative, over all pairs."""
    won = total = 0.0
    for p, y, w in zip(predicted, label, weight, strict=True):
        for q, z, v in zip(predicted, label, weight, strict=True):
            if y == 1 and z == 0:
                total += w * v
                won += w * v * (1.0 if p > q else 0.5 if p == q else 0.0)
    return won / total


def credited(
    scale: float,
    shape: float,
    age: float,
    buy: float,
    delay: float,
    window: float,
    displaced: float,
    buyer: bool,
    steps: int = 200_000,
) -> float:
    """Chance that a purchase comes in the window before an event that takes the credit, by a fine Riemann sum."""
    t = np.linspace(0.0, window, steps + 1)
    organic = np.exp((age / scale) ** shape - ((age + t) / scale) ** shape) if buyer else np.ones_like(t)
    survival = (1 - buy * (1 - np.exp(-t / delay))) * organic
    middle = 0.5 * (t[1:] + t[:-1])
    return float((np.exp(-displaced * middle) * -np.diff(survival)).sum())


def campaign_of_day(time_us: int) -> int:
    """Day of the scenario."""
    return time_us // 86_400_000_000


def walk_trees(ensemble: Any, row: Any) -> float:
    """Sum of the leaves that one row of numbers reaches, node by node, as LightGBM's documentation has it."""
    total = 0.0
    for root in ensemble.root:
        node = int(root)
        while node >= 0:
            node = int(
                ensemble.left[node]
                if _goes_left(ensemble, node, float(row[ensemble.feature[node]]))
                else ensemble.right[node]
            )
        total += float(ensemble.leaf_value[~node])
    return total


def _goes_left(ensemble: Any, node: int, value: float) -> bool:
    if ensemble.categorical[node]:
        return -1.0 < value < 2**31 and int(value) in ensemble.categories(node)
    missing, default = int(ensemble.missing[node]), bool(ensemble.default_left[node])
    if math.isnan(value):
        if missing == 2:
            return default
        value = 0.0
    if abs(value) <= float(np.float32(1e-35)):
        if missing == 1:
            return default
        value = 0.0
    return bool(value <= ensemble.threshold[node])


def _conditional(ensemble: Any, root: int, row: Any, known: frozenset[int]) -> float:
    """Mean leaf of a tree where only some features are known: unknown splits go both ways by their training rows."""
    if root < 0:
        return float(ensemble.leaf_value[~root])
    left, right, feature = int(ensemble.left[root]), int(ensemble.right[root]), int(ensemble.feature[root])
    if feature in known:
        return _conditional(ensemble, left if _goes_left(ensemble, root, float(row[feature])) else right, row, known)
    weights = [float(ensemble.leaf_count[~c] if c < 0 else ensemble.count[c]) for c in (left, right)]
    return sum(w * _conditional(ensemble, c, row, known) for w, c in zip(weights, (left, right), strict=True)) / sum(
        weights
    )


def _mixed(ensemble: Any, root: int, row: Any, other: Any, known: frozenset[int]) -> float:
    """Leaf of a tree for a row whose unknown features are another row's."""
    node = root
    while node >= 0:
        f = int(ensemble.feature[node])
        value = float(row[f] if f in known else other[f])
        node = int(ensemble.left[node] if _goes_left(ensemble, node, value) else ensemble.right[node])
    return float(ensemble.leaf_value[~node])


def shapley(ensemble: Any, row: Any, background: Any = None) -> tuple[Any, Any]:
    """Shapley values, and interaction values, by going through all subsets of features."""
    features = sorted({int(f) for f in ensemble.feature})

    def worth(known: frozenset[int]) -> float:
        if background is None:
            return sum(_conditional(ensemble, int(root), row, known) for root in ensemble.root)
        return sum(_mixed(ensemble, int(root), row, b, known) for root in ensemble.root for b in background) / len(
            background
        )

    value = {
        frozenset(s): worth(frozenset(s)) for n in range(len(features) + 1) for s in itertools.combinations(features, n)
    }
    phi, pairs, m = np.zeros(ensemble.features), np.zeros((ensemble.features, ensemble.features)), len(features)
    for i in features:
        for s in list(value):
            if i not in s:
                phi[i] += (
                    math.factorial(len(s))
                    * math.factorial(m - len(s) - 1)
                    / math.factorial(m)
                    * (value[s | {i}] - value[s])
                )
    for i, j in itertools.permutations(features, 2):
        for s in list(value):
            if i not in s and j not in s:
                weight = math.factorial(len(s)) * math.factorial(m - len(s) - 2) / (2 * math.factorial(m - 1))
                pairs[i, j] += weight * (value[s | {i, j}] - value[s | {i}] - value[s | {j}] + value[s])
    return phi, pairs
