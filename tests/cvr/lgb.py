"""LightGBM models of many shapes, and rows that are hard on whoever scores them."""

from __future__ import annotations

import re
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

COLUMNS = 8
SHAPES: list[dict[str, Any]] = [
    {"num_leaves": 2},
    {"num_leaves": 31},
    {"num_leaves": 33},
    {"num_leaves": 63, "max_depth": 4},
    {"num_leaves": 64},
    {"num_leaves": 255, "min_data_in_leaf": 5},
    {"num_leaves": 255, "min_data_in_leaf": 5, "categorical_feature": []},
    {"num_leaves": 15, "use_missing": False},
    {"num_leaves": 15, "zero_as_missing": True},
    {"num_leaves": 120, "zero_as_missing": True},
    {"num_leaves": 31, "max_cat_to_onehot": 1, "cat_smooth": 1, "cat_l2": 1},
    {"num_leaves": 31, "max_cat_to_onehot": 100},
    {"num_leaves": 31, "max_bin": 2000, "min_data_in_bin": 1},
    {"num_leaves": 31, "sigmoid": 2.5},
    {"num_leaves": 31, "boosting": "dart"},
    {"num_leaves": 31, "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
    {"num_leaves": 31, "extra_trees": True, "feature_fraction": 0.3},
    {"num_leaves": 31, "boost_from_average": False, "learning_rate": 0.9},
    {"objective": "cross_entropy"},
    {"objective": "cross_entropy_lambda"},
    {"objective": "regression"},
    {"objective": "regression", "reg_sqrt": True},
    {"objective": "regression", "num_leaves": 100},
    {"objective": "poisson"},
    {"objective": "huber"},
]


def rows(n: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Features and labels to train on."""
    dice = np.random.default_rng(seed)
    x = dice.normal(size=(n, COLUMNS)).astype(np.float32)
    x[:, 2] = dice.integers(0, 70, n)
    x[:, 3] = dice.integers(0, 5, n)
    x[dice.random((n, COLUMNS)) < 0.05] = np.nan
    x[dice.random((n, COLUMNS)) < 0.05] = 0.0
    score = np.nan_to_num(x[:, 0]) + np.sin(np.nan_to_num(x[:, 2])) + 0.5 * np.isnan(x[:, 1])
    return x, (dice.random(n) < 1 / (1 + np.exp(2 - score))).astype(np.float64)


def trained(shape: dict[str, Any], trees: int = 30, n: int = 6_000) -> Any:
    """Train a model of one shape."""
    x, y = rows(n, 1)
    settings = {
        "objective": "binary",
        "verbosity": -1,
        "seed": 1,
        "deterministic": True,
        "num_threads": 2,
        "categorical_feature": [2, 3],
        **shape,
    }
    return lightgbm.train(
        settings, lightgbm.Dataset(x, y, categorical_feature=settings.pop("categorical_feature")), num_boost_round=trees
    )


def thresholds(text: str) -> NDArray[np.float64]:
    """All thresholds of a model."""
    return np.array(
        [float(t) for line in text.splitlines() if line.startswith("threshold=") for t in line[10:].split()]
    )


def hostile(n: int, seed: int, text: str) -> NDArray[np.float64]:
    """Rows with NaN, infinities, unseen, negative and huge categories, values on thresholds and beside them."""
    x = rows(n, seed)[0].astype(np.float64)
    dice = np.random.default_rng(seed + 1)
    values = [
        np.nan,
        np.inf,
        -np.inf,
        -1,
        -0.5,
        -1e-36,
        1e-36,
        1e-35,
        0.0,
        -0.0,
        3.7,
        69.9,
        70,
        1e6,
        2e9,
        2.2e9,
        -3e9,
        1e30,
        33,
        32,
        31,
        64,
    ]
    wild = dice.random((n, COLUMNS)) < 0.2
    x[wild] = dice.choice(values, size=int(wild.sum()))
    known = thresholds(text)
    near = dice.random((n, COLUMNS)) < 0.1
    on = dice.choice(known, size=int(near.sum()))
    x[near] = np.choose(dice.integers(0, 3, len(on)), [on, np.nextafter(on, np.inf), np.nextafter(on, -np.inf)])
    return x


def with_sizes(text: str) -> str:
    """Write the sizes of trees anew after an edit, so that it is not found by them."""
    blocks = re.findall(r"Tree=\d+\n.*?(?=Tree=\d+\n|end of trees)", text, re.DOTALL)
    return re.sub(
        r"^tree_sizes=.*$",
        "tree_sizes=" + " ".join(str(len(b.encode())) for b in blocks),
        text,
        count=1,
        flags=re.MULTILINE,
    )
