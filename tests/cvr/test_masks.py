"""Masks against LightGBM: campaigns on one request, with what they share looked up once."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bidsim.core.scoring import score_task
from bidsim.cvr.binning import rounded_down
from bidsim.cvr.features import CATEGORICAL, FEATURES, FIRST_CAMPAIGN, FIRST_PAIR, WIDTH, categorical_indices
from bidsim.cvr.lightgbm import Lightgbm
from bidsim.cvr.masks import LINKS, NARROW, WIDE, with_campaigns

CAMPAIGNS = 9


def _features(n: int, seed: int) -> NDArray[np.float32]:
    dice = np.random.default_rng(seed)
    x = dice.lognormal(0.0, 1.0, (n, WIDTH)).astype(np.float32)
    for name in CATEGORICAL:
        x[:, FEATURES.index(name)] = dice.integers(-1, 40, n)
    x[dice.random((n, WIDTH)) < 0.05] = np.nan
    x[dice.random((n, WIDTH)) < 0.05] = 0.0
    return x


def _trained(seed: int, **settings: Any) -> tuple[Any, Any]:
    x = _features(8_000, seed)
    y = (
        np.random.default_rng(seed).random(len(x))
        < 1 / (1 + np.exp(2 - np.nan_to_num(x[:, 0]) + 0.2 * np.nan_to_num(x[:, 15]) - np.isnan(x[:, FIRST_PAIR + 2])))
    ).astype(float)
    data = lightgbm.Dataset(x, y, categorical_feature=categorical_indices())
    booster = lightgbm.train(
        {"objective": "binary", "verbosity": -1, "seed": 1, "min_data_in_leaf": 20, **settings},
        data,
        num_boost_round=40,
    )
    return booster, Lightgbm.from_text(booster.model_to_string(), 0.0, {})


@pytest.mark.parametrize(
    ("leaves", "kind"),
    [(8, NARROW), (31, NARROW), (32, NARROW), (33, WIDE), (63, WIDE), (64, WIDE), (65, LINKS), (200, LINKS)],
)
def test_candidates__agree_with_lightgbm(leaves: int, kind: int) -> None:
    booster, model = _trained(3, num_leaves=leaves)
    assert model.tables.ints[0] == kind
    static = np.ascontiguousarray(_features(CAMPAIGNS, 7)[:, FIRST_CAMPAIGN:FIRST_PAIR])
    tables = with_campaigns(model.tables, static)
    dice = np.random.default_rng(5)
    for request in range(60):
        n = int(dice.integers(1, CAMPAIGNS + 1))
        who = np.sort(dice.choice(CAMPAIGNS, n, replace=False)).astype(np.int64)
        rows = _features(n, 100 + request)
        rows[:, :FIRST_CAMPAIGN] = rows[0, :FIRST_CAMPAIGN]
        rows[:, FIRST_CAMPAIGN:FIRST_PAIR] = static[who]
        found = np.zeros(n)
        Lightgbm.score(score_task(tables, who, rows, found, found), 0, n)
        assert np.abs(found - booster.predict(rows)).max() <= 1e-12
        np.testing.assert_allclose(found, model.predict(rows), rtol=0, atol=1e-15)


def test_candidates__a_part_of_the_rows_is_scored_alone() -> None:
    _, model = _trained(4, num_leaves=31)
    static = np.ascontiguousarray(_features(4, 7)[:, FIRST_CAMPAIGN:FIRST_PAIR])
    rows = _features(4, 8)
    rows[:, :FIRST_CAMPAIGN] = rows[0, :FIRST_CAMPAIGN]
    rows[:, FIRST_CAMPAIGN:FIRST_PAIR] = static
    found = np.full(4, -1.0)
    Lightgbm.score(score_task(with_campaigns(model.tables, static), np.arange(4), rows, found, found), 1, 3)
    assert found[[0, 3]].tolist() == [-1.0, -1.0]
    np.testing.assert_allclose(found[1:3], model.predict(rows)[1:3], rtol=0, atol=1e-15)


@given(st.floats(allow_nan=False), st.floats(width=32, allow_nan=False))
def test_rounding__keeps_every_comparison(threshold: float, value: float) -> None:
    rounded = rounded_down(np.array([threshold]))[0]
    assert (np.float64(np.float32(value)) <= threshold) == (np.float32(value) <= rounded)
