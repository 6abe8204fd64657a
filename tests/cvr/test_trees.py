"""The node walk against LightGBM itself, on many shapes of model, hostile values included."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray

from bidsim.core.errors import ModelError
from bidsim.cvr.lightgbm import Lightgbm
from bidsim.cvr.trees import compile_trees

SHAPES: list[dict[str, Any]] = [
    {"num_leaves": 2},
    {"num_leaves": 31},
    {"num_leaves": 63, "max_depth": 4},
    {"num_leaves": 255, "min_data_in_leaf": 5},
    {"num_leaves": 15, "use_missing": False},
    {"num_leaves": 15, "zero_as_missing": True},
    {"num_leaves": 31, "max_cat_to_onehot": 1, "cat_smooth": 1, "cat_l2": 1},
    {"num_leaves": 31, "max_cat_to_onehot": 100},
    {"num_leaves": 31, "sigmoid": 2.5},
    {"num_leaves": 31, "boosting": "dart"},
    {"num_leaves": 31, "extra_trees": True, "feature_fraction": 0.3},
    {"num_leaves": 31, "boost_from_average": False, "learning_rate": 0.9},
]


def _rows(n: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    dice = np.random.default_rng(seed)
    x = dice.normal(size=(n, 8)).astype(np.float32)
    x[:, 2] = dice.integers(0, 70, n)
    x[:, 3] = dice.integers(0, 5, n)
    x[dice.random((n, 8)) < 0.05] = np.nan
    x[dice.random((n, 8)) < 0.05] = 0.0
    score = np.nan_to_num(x[:, 0]) + np.sin(np.nan_to_num(x[:, 2])) + 0.5 * np.isnan(x[:, 1])
    return x, (dice.random(n) < 1 / (1 + np.exp(2 - score))).astype(np.float64)


def _hostile(n: int, seed: int) -> NDArray[np.float32]:
    x, _ = _rows(n, seed)
    dice = np.random.default_rng(seed + 1)
    values = np.array([np.nan, np.inf, -np.inf, -1, -0.5, -1e-36, 1e-36, 0.0, 3.7, 69.9, 70, 1e6, 2e9, 2.2e9, -3e9, 1e30, 33, 32, 31, 64], np.float32)
    wild = dice.random((n, 8)) < 0.3
    x[wild] = dice.choice(values, size=int(wild.sum()))
    return x


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "-".join(f"{k}{v}" for k, v in s.items()))
def test_score_trees__agrees_with_lightgbm(shape: dict[str, Any]) -> None:
    x, y = _rows(6_000, 1)
    settings = {"objective": "binary", "verbosity": -1, "seed": 1, "deterministic": True, **shape}
    booster = lightgbm.train(settings, lightgbm.Dataset(x, y, categorical_feature=[2, 3]), num_boost_round=30)
    text = booster.model_to_string()
    model = Lightgbm.from_text(text, 0.0, {})
    tried = _hostile(200_000 // len(SHAPES), 2)
    thresholds = np.array([float(t) for line in text.splitlines() if line.startswith("threshold=") for t in line[10:].split()], np.float32)
    tried[::7, 0] = np.random.default_rng(3).choice(thresholds, size=len(tried[::7]))
    wide = np.zeros((len(tried), 8), np.float32)
    wide[:] = tried
    found = np.zeros(len(wide))
    Lightgbm.score(model.tables, np.full(1, -1), wide, found, 0, len(wide), found)
    assert np.abs(found - booster.predict(tried)).max() <= 1e-12


def test_compile_trees__offset_is_added_to_the_log_odds() -> None:
    x, y = _rows(2_000, 1)
    booster = lightgbm.train({"objective": "binary", "verbosity": -1}, lightgbm.Dataset(x, y), num_boost_round=5)
    plain, moved = (Lightgbm.from_text(booster.model_to_string(), o, {}).predict(x) for o in (0.0, -1.3))
    np.testing.assert_allclose(np.log(moved / (1 - moved)), np.log(plain / (1 - plain)) - 1.3, atol=1e-9)


def test_compile_trees__single_leaf_model() -> None:
    x, y = _rows(200, 1)
    booster = lightgbm.train({"objective": "binary", "verbosity": -1, "min_data_in_leaf": 10_000}, lightgbm.Dataset(x, y), num_boost_round=3)
    found = Lightgbm.from_text(booster.model_to_string(), 0.0, {}).predict(x)
    np.testing.assert_allclose(found, booster.predict(x), atol=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("objective=binary", "objective=regression", "only 'binary'"),
        ("objective=binary sigmoid:1", "goal=none", "no line 'objective='"),
        ("num_leaves=4", "num_leaves=5", "leaf values"),
        ("leaf_value=", "leaf_value=nan ", "NaN"),
        ("split_feature=", "split_feature=99 ", "lengths"),
        ("left_child=", "left_child=x", "damaged"),
        ("is_linear=0", "is_linear=1", "linear trees"),
        ("threshold=", "treshold=", "damaged"),
    ],
)
def test_compile_trees__refuses_damaged_models(old: str, new: str, words: str) -> None:
    x, y = _rows(2_000, 1)
    booster = lightgbm.train({"objective": "binary", "verbosity": -1, "num_leaves": 4}, lightgbm.Dataset(x, y), num_boost_round=2)
    text = booster.model_to_string()
    assert old in text
    with pytest.raises(ModelError, match=words):
        compile_trees(text.replace(old, new, 1), 8)


def test_compile_trees__children_out_of_order_cannot_loop() -> None:
    x, y = _rows(2_000, 1)
    text = lightgbm.train({"objective": "binary", "verbosity": -1, "num_leaves": 4}, lightgbm.Dataset(x, y), num_boost_round=1).model_to_string()
    line = next(one for one in text.splitlines() if one.startswith("left_child="))
    with pytest.raises(ModelError, match="out of order"):
        compile_trees(text.replace(line, "left_child=0 0 0"), 8)
