"""Models to be scored: trained once on made-up rows of many kinds of features, and kept beside the compiled kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import cache_root

_LEVELS = (8, 12, 20, 40, 60, 120, 6, 30)
_ROWS = 150_000
_VERSION = 2


def rows(count: int, columns: int, seed: int, *, missing: bool) -> NDArray[np.float64]:
    """Feature rows: of every four columns a category or code, a count, a rounded and a continuous number.

    Values are float32 numbers; with ``missing`` a tenth of the rounded numbers are NaN.
    """
    dice = np.random.default_rng(seed)
    x = np.empty((count, columns))
    for c in range(columns):
        k = c // 4
        if c % 4 == 0:
            levels = _LEVELS[k % len(_LEVELS)]
            x[:, c] = np.minimum(dice.geometric(2.5 / levels, count) - 1, levels - 1)
        elif c % 4 == 1:
            x[:, c] = dice.poisson(0.7 + 1.5 * (k % 8), count)
        elif c % 4 == 2:
            x[:, c] = np.round(dice.normal(0.0, 2.0 + 2.5 * (k % 8), count))
            if missing:
                x[dice.random(count) < 0.1, c] = np.nan
        else:
            x[:, c] = dice.lognormal(0.0, 1.0, count)
    return x.astype(np.float32).astype(np.float64)


def _labels(x: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Events whose log-odds hang on pairs of features and on codes."""
    dice = np.random.default_rng(seed)
    z = np.nan_to_num(x)
    z = z / (z.std(axis=0) + 1e-9)
    score = np.zeros(len(x))
    for _ in range(40):
        a, b = dice.integers(0, x.shape[1], 2)
        score += (
            dice.normal()
            * np.sin(z[:, a] * dice.uniform(0.5, 2) + dice.uniform(0, 6))
            * np.cos(z[:, b] * dice.uniform(0.5, 2) + dice.uniform(0, 6))
        )
    for c in range(0, x.shape[1], 4):
        score += (dice.normal(size=200) * 0.5)[x[:, c].astype(int)]
    return (dice.random(len(x)) < 1 / (1 + np.exp(1.5 - score))).astype(np.float64)


def model(trees: int, leaves: int, columns: int = 32, *, categorical: bool = False, count: int = _ROWS) -> Path:
    """Path of a LightGBM model of the given shape, trained where it is not there yet."""
    kind = "categorical" if categorical else "numeric"
    path = cache_root() / "bench" / f"v{_VERSION}-{trees}x{leaves}-{columns}-{kind}-{count}.txt"
    if not path.exists():
        import lightgbm  # noqa: PLC0415  (slow to import)

        path.parent.mkdir(parents=True, exist_ok=True)
        x = rows(count, columns, 1, missing=categorical)
        settings = {
            "objective": "binary",
            "num_leaves": leaves,
            "learning_rate": 0.1 if trees < 1000 else 0.04,
            "min_data_in_leaf": 100,
            "cat_smooth": 50,
            "verbosity": -1,
            "deterministic": True,
            "num_threads": 2,
            "seed": 1,
        }
        data = lightgbm.Dataset(x, _labels(x, 2), categorical_feature=list(range(0, columns, 4)) if categorical else [])
        text = lightgbm.train(settings, data, num_boost_round=trees).model_to_string()
        path.with_suffix(".part").write_text(text)
        path.with_suffix(".part").rename(path)
    return path
