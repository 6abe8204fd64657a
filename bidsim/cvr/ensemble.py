"""LightGBM's text format, read and checked: a model file is input from outside.

The format is that of LightGBM's ``model_to_string`` (version v4): a header of ``key=value`` lines, one block for each
tree, whose bytes ``tree_sizes`` counts, and ``end of trees``. Every list's length, every index and every number is
checked; what LightGBM would score and we cannot is refused with the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsim.core.errors import ModelError, shown
from bidsim.cvr.blocks import Block, finite, number_of, whole_number

IDENTITY, SIGMOID, EXP, SOFTPLUS, SQUARE = range(5)
"""How a sum of leaf values becomes a prediction."""
CATEGORICAL, DEFAULT_LEFT = 1, 2
MISSING_NONE, MISSING_ZERO, MISSING_NAN = range(3)
"""Bits of a node's kind: categorical, default direction, and above them how missing values are marked."""
ZERO = float(np.float32(1e-35))
"""Numbers up to here count as zero; LightGBM holds this bound in single precision."""
MOST_LEAVES = 4096
_LINKS = {
    "binary": SIGMOID,
    "cross_entropy": SIGMOID,
    "cross_entropy_lambda": SOFTPLUS,
    "regression": IDENTITY,
    "regression_l1": IDENTITY,
    "huber": IDENTITY,
    "fair": IDENTITY,
    "quantile": IDENTITY,
    "mape": IDENTITY,
    "poisson": EXP,
    "gamma": EXP,
    "tweedie": EXP,
}
_CUSTOM = ("custom", "none", "")
"""What stands for an objective of one's own; most versions of LightGBM leave the line out."""
_TRAINED = re.compile(r"^\[objective: (.+)\]$", re.MULTILINE)
"""Objective among the parameters of training, which LightGBM writes behind the trees."""
_LARGEST_WORD = 2**32


@dataclass(frozen=True)
class Ensemble:
    """A checked ensemble of decision trees; nodes and leaves of all trees in one array each, tree after tree.

    A node's children are nodes (index >= 0) or leaves (``~index``); a child comes after its parent. ``kind`` holds
    LightGBM's decision type. A categorical node goes left where its set, ``words[bounds[s] : bounds[s + 1]]`` as bits
    with s = ``category_set``, holds the category. ``sharpness`` multiplies the sum of leaves, ``link`` turns it into a
    prediction.
    """

    features: int
    names: tuple[str, ...]
    link: int
    sharpness: float
    root: NDArray[np.int64]
    tree: NDArray[np.int64]
    feature: NDArray[np.int64]
    kind: NDArray[np.int64]
    threshold: NDArray[np.float64]
    category_set: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    count: NDArray[np.float64]
    leaf_tree: NDArray[np.int64]
    leaf_value: NDArray[np.float64]
    leaf_count: NDArray[np.float64]
    bounds: NDArray[np.int64]
    words: NDArray[np.int64]

    @property
    def trees(self) -> int:
        """Number of trees."""
        return len(self.root)

    @property
    def leaves(self) -> int:
        """Most leaves of a tree."""
        return int(np.bincount(self.leaf_tree).max())

    @property
    def categorical(self) -> NDArray[np.bool_]:
        """Whether each node splits categories."""
        return (self.kind & CATEGORICAL) != 0

    @property
    def missing(self) -> NDArray[np.int64]:
        """How each node's missing values are marked."""
        return (self.kind >> 2) & 3

    @property
    def default_left(self) -> NDArray[np.bool_]:
        """Where each numeric node sends missing values."""
        return (self.kind & DEFAULT_LEFT) != 0

    def categories(self, node: int) -> list[int]:
        """Categories that a categorical node sends to the left."""
        first, end = self.bounds[self.category_set[node]], self.bounds[self.category_set[node] + 1]
        return [32 * w + bit for w in range(end - first) for bit in range(32) if int(self.words[first + w]) >> bit & 1]

    @cached_property
    def order(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Leaves counted from left to right within their tree.

        Returns:
            Position of each leaf; for each node the position of the first leaf below it, and of the first below its
            right child.

        """
        left, right = self.left.tolist(), self.right.tolist()
        below = [0] * len(left)
        for node in range(len(left) - 1, -1, -1):
            below[node] = sum(1 if child < 0 else below[child] for child in (left[node], right[node]))
        first, middle, place = [0] * len(left), [0] * len(left), [0] * len(self.leaf_value)
        for node in range(len(left)):
            middle[node] = first[node] + (1 if left[node] < 0 else below[left[node]])
            for child, start in ((left[node], first[node]), (right[node], middle[node])):
                if child < 0:
                    place[~child] = start
                else:
                    first[child] = start
        return np.array(place, np.int64), np.array(first, np.int64), np.array(middle, np.int64)


def plain_text(text: str) -> str:
    """A model's text as LightGBM writes it: no mark of byte order, ends of lines as on Unix, no blank first line."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").lstrip("\n")


def parse_ensemble(text: str, features: int | None = None) -> Ensemble:
    """Read and check a LightGBM model.

    Args:
        text: The model as LightGBM writes it (``model_to_string``), or as an editor left it (`plain_text`).
        features: Number of columns that rows will have; the model may use the first of them only. By default as many as
            the model names.

    Raises:
        ModelError: The text is damaged, or holds a model that cannot be scored here; with line, tree and key.

    """
    text = plain_text(text)
    if not text.strip():
        raise ModelError("the file is empty; write the model to it anew, with Booster.save_model of LightGBM")
    head, found, rest = text.partition("\n\nTree=0\n")
    if not found or not head.startswith("tree\n"):
        raise ModelError("this is not a LightGBM model in text form: it does not begin with 'tree' and hold 'Tree=0'")
    header = Block(head, 1, "header")
    trained = _TRAINED.search(rest)
    link, sharpness = _link(header, trained[1] if trained else "custom")
    last = header.integer("max_feature_idx", 0, 10**6)
    names = tuple(header.text("feature_names").split(" "))
    if len(names) != last + 1:
        header.fail("feature_names", f"it names {len(names)} features instead of {last + 1}")
    width = last + 1 if features is None else features
    if last >= width:
        raise ModelError(f"the model was trained on {last + 1} features; here there are {width}")
    blocks = _tree_blocks(text, len(head) + 2, header)
    if "average_output" in header.values:
        sharpness /= len(blocks)
    parts = _Parts()
    for number, block in enumerate(blocks):
        parts.add(block, number, width)
    return parts.ensemble(width, names, link, sharpness)


def _objective(header: Block, trained: str) -> str:
    told = header.values.get("objective", (0, "custom"))[1]
    if told in _CUSTOM and trained not in _CUSTOM:
        raise ModelError(
            f"the line objective= is missing or empty, though the model was trained with {shown(trained)}; the file is "
            "damaged: write it anew, with Booster.save_model of LightGBM"
        )
    if told in _CUSTOM:
        raise ModelError(
            "the model has a custom objective (the file has no line objective=), so nothing says how its scores become "
            "rates; below the line max_feature_idx write 'objective=binary sigmoid:1' where they are log-odds, or "
            "'objective=regression' where they are rates"
        )
    return told


def _link(header: Block, trained: str) -> tuple[int, float]:
    """How scores become predictions, and what multiplies them; ``trained`` is the objective of training."""
    if header.text("version") not in ("v3", "v4"):
        header.fail("version", f"{shown(header.text('version'))} is not v3 or v4")
    for key in ("num_class", "num_tree_per_iteration"):
        if header.integer(key, 1, 10**6) != 1:
            raise ModelError(
                f"the model predicts several classes ({key}={header.text(key)}); only one number can be scored here"
            )
    name, *options = _objective(header, trained).split(" ")
    if name not in _LINKS:
        raise ModelError(
            f"the model's objective is {shown(name)}; what can be scored here: {', '.join(sorted(_LINKS))}"
        )
    link, sharpness = _LINKS[name], 1.0
    for option in options:
        if option.startswith("sigmoid:") and name == "binary":
            try:
                sharpness = finite(option[8:])
            except ValueError as error:
                header.fail("objective", str(error))
            if sharpness <= 0:
                header.fail("objective", f"{shown(option)} is not above zero")
        elif option == "sqrt" and name.startswith("regression"):
            link = SQUARE
    return link, sharpness


def _tree_blocks(text: str, start: int, header: Block) -> list[Block]:
    """Split the trees by their sizes in bytes, as LightGBM does, and see that they end where they should."""
    data = text.encode()
    at = len(text[:start].encode())
    count = len(header.text("tree_sizes").split(" "))
    sizes = header.numbers("tree_sizes", count, whole_number)
    line = text.count("\n", 0, start) + 1
    blocks = []
    for number, size in enumerate(sizes):
        part = data[at : at + size].decode(errors="replace")
        title = f"Tree={number}\n"
        if size <= 0 or len(part.encode()) < size or not part.startswith(title) or not part.endswith("\n\n"):
            raise ModelError(
                f"line {line}: tree {number}: the block is not {size} bytes long as tree_sizes says; the file is "
                "damaged or cut off"
            )
        blocks.append(Block(part[len(title) :].rstrip("\n"), line + 1, f"tree {number}"))
        line += part.count("\n")
        at += size
    if not data[at:].startswith(b"end of trees\n"):
        raise ModelError(
            f"line {line}: after tree {len(sizes) - 1} stands no 'end of trees'; the file is damaged or cut off"
        )
    return blocks


class _Parts:
    """Arrays of an ensemble while they are being filled."""

    def __init__(self) -> None:
        self.root: list[int] = []
        self.nodes: dict[str, list[Any]] = {
            k: [] for k in ("tree", "feature", "kind", "threshold", "category_set", "left", "right", "count")
        }
        self.leaf_tree: list[int] = []
        self.leaf_value: list[float] = []
        self.leaf_count: list[float] = []
        self.bounds: list[int] = [0]
        self.words: list[int] = []

    def add(self, block: Block, number: int, features: int) -> None:
        """Check one tree and add it."""
        if block.values.get("is_linear", (0, "0"))[1] != "0":
            raise ModelError(
                f"tree {number} has linear models in its leaves, which cannot be scored here; train with "
                "linear_tree=false"
            )
        leaves = block.integer("num_leaves", 1, MOST_LEAVES)
        first_node, first_leaf = len(self.nodes["tree"]), len(self.leaf_value)
        self.leaf_value += block.numbers("leaf_value", leaves, finite)
        self.leaf_tree += [number] * leaves
        self.leaf_count += self._counts(block, "leaf_count", leaves)
        self.root.append(first_node if leaves > 1 else ~first_leaf)
        if leaves == 1:
            return
        inner = leaves - 1
        feature, kind = (
            block.numbers("split_feature", inner, whole_number),
            block.numbers("decision_type", inner, whole_number),
        )
        threshold = block.numbers("threshold", inner, number_of)
        children = {side: block.numbers(f"{side}_child", inner, whole_number) for side in ("left", "right")}
        self._check(block, children, feature, kind, leaves, features)
        sets = self._sets(block)
        self.nodes["tree"] += [number] * inner
        self.nodes["feature"] += feature
        self.nodes["kind"] += kind
        self.nodes["count"] += self._counts(block, "internal_count", inner)
        for side, found in children.items():
            self.nodes[side] += [first_node + c if c >= 0 else ~(first_leaf + ~c) for c in found]
        first_set = len(self.bounds) - 1 - sets
        for k, value in zip(kind, threshold, strict=True):
            if k & CATEGORICAL and not (0 <= value < sets and value == int(value)):
                block.fail("threshold", f"{value:g} is not one of the tree's {sets} sets of categories")
            self.nodes["category_set"].append(first_set + int(value) if k & CATEGORICAL else -1)
            self.nodes["threshold"].append(0.0 if k & CATEGORICAL else value)

    @staticmethod
    def _counts(block: Block, key: str, count: int) -> list[float]:
        """Rows of training below each node; a single leaf's are not written."""
        if count == 1 and not block.values.get(key, (0, ""))[1]:
            return [0.0]
        return [float(c) for c in block.numbers(key, count, whole_number)]

    @staticmethod
    def _check(
        block: Block, children: dict[str, list[int]], feature: list[int], kind: list[int], leaves: int, features: int
    ) -> None:
        """See that features, kinds and children are sound.

        Every node but the root, and every leaf, has one parent before it.
        """
        inner = leaves - 1
        for j, (f, k) in enumerate(zip(feature, kind, strict=True)):
            if not 0 <= f < features:
                block.fail("split_feature", f"node {j} splits feature {f}, which is not one of {features}")
            if not 0 <= k < 12:  # noqa: PLR2004
                block.fail("decision_type", f"node {j} is of the unknown kind {k}")
        seen = set()
        for side, found in children.items():
            for parent, child in enumerate(found):
                if not -leaves <= child < inner or 0 <= child <= parent or child in seen:
                    block.fail(f"{side}_child", f"child {child} of node {parent} is out of order")
                seen.add(child)

    def _sets(self, block: Block) -> int:
        """Add the tree's sets of categories; return how many."""
        sets = block.integer("num_cat", 0, MOST_LEAVES)
        if sets == 0:
            return 0
        bounds = block.numbers("cat_boundaries", sets + 1, whole_number)
        if bounds[0] != 0 or any(b <= a for a, b in pairwise(bounds)):
            block.fail("cat_boundaries", "the numbers do not rise from 0")
        if bounds[-1] > 1_000_000:  # noqa: PLR2004
            block.fail("cat_boundaries", f"{bounds[-1]} words of categories are too many")
        words = block.numbers("cat_threshold", bounds[-1], whole_number)
        if any(not 0 <= w < _LARGEST_WORD for w in words):
            block.fail("cat_threshold", "a number does not fit into 32 bits")
        base = len(self.words)
        self.words += words
        self.bounds += [base + b for b in bounds[1:]]
        return sets

    def ensemble(self, features: int, names: tuple[str, ...], link: int, sharpness: float) -> Ensemble:
        """Turn the lists into arrays."""
        whole = {k: np.array(v, np.int64) for k, v in self.nodes.items() if k not in ("threshold", "count")}
        return Ensemble(
            features=features,
            names=names,
            link=link,
            sharpness=sharpness,
            root=np.array(self.root, np.int64),
            **whole,
            threshold=np.array(self.nodes["threshold"], np.float64),
            count=np.array(self.nodes["count"], np.float64),
            leaf_tree=np.array(self.leaf_tree, np.int64),
            leaf_value=np.array(self.leaf_value, np.float64),
            leaf_count=np.array(self.leaf_count, np.float64),
            bounds=np.array(self.bounds, np.int64),
            words=np.array(self.words, np.int64),
        )
