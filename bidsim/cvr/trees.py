"""LightGBM models read from their text form, and compiled to tables of masks, or of nodes that are walked.

What is chosen is in ``ints[0]``: masks where trees have 64 leaves at most and the masks fit the caches
(`bidsim.cvr.masks`), else nodes.

Node record (int64 x 6): feature, decision type, left, right, place, words. ``place`` is the index of the
threshold in ``floats``, or of the category bitset in ``ints``, which has ``words`` words of 32 bits.
Children below zero are leaves: ``~child`` is the index of the leaf's value in ``floats``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bidsim.core.contracts import SCORE_SIGNATURE, ScorerTables, scorer_tables
from bidsim.core.errors import ModelError
from bidsim.core.kernel import kernel
from bidsim.cvr.masks import NARROW, WALK, Node, compile_masks, count_masks, fits, score_candidates, score_rows
from bidsim.kernels.normal import sigmoid

_RECORD = 6
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_ZERO, _MISSING_NAN = 1, 2
_ZERO = float(np.float32(1e-35))  # LightGBM holds this bound in single precision
_INT_LIMIT = 2147483648.0


@dataclass
class _Tables:
    """Tables while they are being filled."""

    roots: list[int] = field(default_factory=list)
    nodes: list[list[int]] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    floats: list[float] = field(default_factory=list)


def compile_trees(text: str, features: int, offset: float = 0.0) -> ScorerTables:
    """Tables of a LightGBM model.

    Args:
        text: The model as LightGBM writes it (``model_to_string``).
        features: Number of columns that rows will have.
        offset: Added to the log-odds.

    Raises:
        ModelError: The text is damaged, or holds a model that cannot be scored here.

    """
    header, *blocks = text.split("\nTree=")
    objective = _value(header, "objective").split()
    if objective[0] != "binary":
        raise ModelError(f"the model's objective is {objective[0]!r}; only 'binary' predicts a rate")
    sharpness = next((float(o.split(":")[1]) for o in objective if o.startswith("sigmoid:")), 1.0)
    tables = _Tables(floats=[offset, sharpness])
    try:
        for block in blocks:
            _add_tree(tables, _fields(block.split("\n\n")[0]), features)
    except (ValueError, IndexError, KeyError) as error:
        raise ModelError(f"the model's text is damaged near tree {len(tables.roots)}: {error}") from None
    if not tables.roots:
        raise ModelError("the model's text holds no trees")
    nodes, leaves = _by_leaf_order(tables)
    if fits(max(len(values) for values in leaves), count_masks(nodes, len(leaves))):
        return compile_masks(nodes, leaves, offset, sharpness)
    return _flatten(tables)


def _value(text: str, key: str) -> str:
    for line in text.splitlines():
        if line.startswith(f"{key}="):
            return line[len(key) + 1 :]
    raise ModelError(f"the model's text has no line '{key}='; is it a LightGBM model?")


def _fields(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _integers(fields: dict[str, str], key: str) -> list[int]:
    return [int(x) for x in fields[key].split()]


def _numbers(fields: dict[str, str], key: str) -> list[float]:
    values = [float(x) for x in fields[key].split()]
    if any(math.isnan(v) for v in values):
        raise ValueError(f"{key} holds a number that is NaN")
    return values


def _add_tree(tables: _Tables, fields: dict[str, str], features: int) -> None:
    if fields.get("is_linear", "0") != "0":
        raise ModelError("linear trees cannot be scored here; train with linear_tree=false")
    leaves = _numbers(fields, "leaf_value")
    if not all(math.isfinite(v) for v in leaves):
        raise ValueError("a leaf value is infinite")
    if len(leaves) != int(fields["num_leaves"]):
        raise ValueError(f"{len(leaves)} leaf values for {fields['num_leaves']} leaves")
    first_leaf = len(tables.floats)
    tables.floats += leaves
    if len(leaves) == 1:
        tables.roots.append(~first_leaf)
        return
    first = len(tables.nodes)
    tables.roots.append(first)
    split, kinds = _integers(fields, "split_feature"), _integers(fields, "decision_type")
    left, right, thresholds = _integers(fields, "left_child"), _integers(fields, "right_child"), _numbers(fields, "threshold")
    if not len(split) == len(kinds) == len(left) == len(right) == len(thresholds) == len(leaves) - 1:
        raise ValueError("its lists have different lengths")
    bounds = _integers(fields, "cat_boundaries") if int(fields["num_cat"]) else [0]
    words = _integers(fields, "cat_threshold") if int(fields["num_cat"]) else []
    base = len(tables.words)
    tables.words += words
    for j in range(len(split)):
        if not 0 <= split[j] < features:
            raise ValueError(f"feature {split[j]} is not one of {features}")
        children = [_child(child, j, first, first_leaf, len(leaves)) for child in (left[j], right[j])]
        if kinds[j] & _CATEGORICAL:
            which = int(thresholds[j])
            if not 0 <= bounds[which] <= bounds[which + 1] <= len(words):
                raise ValueError("a category set lies outside its list")
            tables.nodes.append([split[j], kinds[j], *children, base + bounds[which], bounds[which + 1] - bounds[which]])
        else:
            tables.nodes.append([split[j], kinds[j], *children, len(tables.floats), 0])
            tables.floats.append(thresholds[j])


def _child(child: int, parent: int, first: int, first_leaf: int, leaves: int) -> int:
    if not -leaves <= child < leaves - 1 or 0 <= child <= parent:
        raise ValueError(f"child {child} of node {parent} is out of order")
    return first + child if child >= 0 else ~(first_leaf + ~child)


def _by_leaf_order(tables: _Tables) -> tuple[list[Node], list[list[float]]]:
    """All nodes with the leaves below their left children, leaves numbered from left to right, and leaf values by tree."""
    nodes, leaves = [], []
    for tree, root in enumerate(tables.roots):
        values: list[float] = []

        def visit(at: int, tree: int = tree, values: list[float] = values) -> None:
            if at < 0:
                values.append(tables.floats[~at])
                return
            feature, kind, left, right, place, words = tables.nodes[at]
            first = len(values)
            visit(left)
            found = frozenset(32 * w + bit for w in range(words) for bit in range(32) if tables.words[place + w] >> bit & 1) if kind & _CATEGORICAL else frozenset()
            nodes.append(Node(feature, kind, 0.0 if kind & _CATEGORICAL else tables.floats[place], found, tree, (first, len(values))))
            visit(right)

        visit(root)
        leaves.append(values)
    return nodes, leaves


def _flatten(tables: _Tables) -> ScorerTables:
    """Ints: kind, number of trees, roots, node records, bitset words; children and places become absolute."""
    trees = len(tables.roots)
    first = 2 + trees
    first_word = first + _RECORD * len(tables.nodes)
    ints = np.zeros(first_word + len(tables.words), np.int64)
    ints[0], ints[1] = WALK, trees
    ints[2:first] = [first + _RECORD * r if r >= 0 else r for r in tables.roots]
    for n, (feature, kind, left, right, place, words) in enumerate(tables.nodes):
        children = [first + _RECORD * c if c >= 0 else c for c in (left, right)]
        at = place + first_word if kind & _CATEGORICAL else place
        ints[first + _RECORD * n : first + _RECORD * (n + 1)] = [feature, kind, *children, at, words]
    ints[first_word:] = tables.words
    return scorer_tables(ints, np.array(tables.floats))


@kernel()
def _goes_left(ints: NDArray[np.int64], floats: NDArray[np.float64], node: int, value: float) -> bool:
    kind = ints[node + 1]
    if kind & _CATEGORICAL:
        if not -1.0 < value < _INT_LIMIT:  # NaN and infinities too
            return False
        category = int(value)
        if category >> 5 >= ints[node + 5]:
            return False
        return (ints[ints[node + 4] + (category >> 5)] >> (category & 31)) & 1 == 1
    missing = (kind >> 2) & 3
    if math.isnan(value):
        if missing == _MISSING_NAN:
            return kind & _DEFAULT_LEFT != 0
        value = 0.0
    if -_ZERO <= value <= _ZERO:  # LightGBM drops such values from a row, whatever the threshold
        if missing == _MISSING_ZERO:
            return kind & _DEFAULT_LEFT != 0
        value = 0.0
    return value <= floats[ints[node + 4]]


@kernel()
def walk_rows(tables: ScorerTables, features: NDArray[np.float32], lo: int, hi: int, pcvr: NDArray[np.float64]) -> None:
    """Score rows by one walk from root to leaf per tree."""
    ints, floats = tables.ints, tables.floats
    for k in range(lo, hi):
        total = 0.0
        for t in range(ints[1]):
            node = ints[2 + t]
            while node >= 0:
                left = _goes_left(ints, floats, node, np.float64(features[k, ints[node]]))
                node = ints[node + 2] if left else ints[node + 3]
            total += floats[~node]
        pcvr[k] = sigmoid(floats[1] * total + floats[0])


@kernel(SCORE_SIGNATURE)
def score_trees(tables: ScorerTables, who: NDArray[np.int64], features: NDArray[np.float32], truth: NDArray[np.float64], lo: int, hi: int, pcvr: NDArray[np.float64]) -> None:
    """Predicted rates of rows ``lo`` to ``hi``, in the way that the tables were made for."""
    if tables.ints[0] == WALK:
        walk_rows(tables, features, lo, hi, pcvr)
    elif who[min(lo, who.shape[0] - 1)] < 0:
        if tables.ints[0] == NARROW:
            score_rows(tables.ints, tables.narrow, tables.floats, 32, features, lo, hi, pcvr)
        else:
            score_rows(tables.ints, tables.wide, tables.floats, 64, features, lo, hi, pcvr)
    elif tables.ints[0] == NARROW:
        score_candidates(tables.ints, tables.narrow, tables.floats, 32, who, features, lo, hi, pcvr)
    else:
        score_candidates(tables.ints, tables.wide, tables.floats, 64, who, features, lo, hi, pcvr)
