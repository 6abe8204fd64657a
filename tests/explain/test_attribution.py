"""Shapley values against LightGBM's own, against shap, and against all subsets of features."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from bidsim.cvr.ensemble import parse_ensemble
from bidsim.explain.attribution import make_attributor, on_scale_of_predictions
from bidsim.explain.pairs import against_background, interactions
from bidsim.kernels.normal import sigmoid
from tests.conftest import ROOT
from tests.cvr.lgb import COLUMNS, SHAPES, hostile, rows, trained
from tests.naive import shapley

ROWS = 100_000


def _attributor(booster: Any) -> Any:
    return make_attributor(parse_ensemble(booster.model_to_string(), COLUMNS))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "-".join(f"{k}{v}" for k, v in s.items()))
def test_attribution__agrees_with_lightgbm(shape: dict[str, Any]) -> None:
    booster = trained(shape, trees=10)
    x = hostile(ROWS // len(SHAPES), 5, booster.model_to_string())
    attributor, theirs = _attributor(booster), booster.predict(x, pred_contrib=True)
    assert np.abs(attributor(x) - theirs[:, :-1]).max() <= 1e-12
    assert attributor.expected == pytest.approx(theirs[0, -1], abs=1e-12)


def test_attribution__float32_rows_and_odd_counts_are_fine() -> None:
    booster = trained({}, trees=5)
    attributor = _attributor(booster)
    x, _ = rows(37, 3)
    np.testing.assert_allclose(attributor(x), booster.predict(x, pred_contrib=True)[:, :-1], atol=1e-13)
    np.testing.assert_array_equal(attributor(x[5:6]), attributor(x)[5:6])
    assert attributor(x[:0]).shape == (0, COLUMNS)


def test_attribution__of_leaves_alone_is_nothing() -> None:
    booster = trained({"min_data_in_leaf": 10_000}, trees=2)
    x, _ = rows(5, 3)
    attributor = _attributor(booster)
    assert not attributor(x).any()
    assert attributor.expected == pytest.approx(booster.predict(x, raw_score=True)[0], abs=1e-12)


@pytest.mark.parametrize(
    "shape",
    [
        {"num_leaves": 6},
        {"num_leaves": 12, "zero_as_missing": True},
        {"num_leaves": 9, "max_cat_to_onehot": 1, "cat_smooth": 1},
    ],
)
def test_all_kinds__agree_with_all_subsets(shape: dict[str, Any]) -> None:
    booster = trained(shape, trees=3)
    ensemble = parse_ensemble(booster.model_to_string(), COLUMNS)
    attributor = make_attributor(ensemble)
    x = hostile(12, 7, booster.model_to_string())
    background = hostile(6, 8, booster.model_to_string())
    own, pairs = attributor(x), interactions(attributor, x)
    versus, start = against_background(attributor, x, background)
    for k in range(len(x)):
        phi, both = shapley(ensemble, x[k])
        np.testing.assert_allclose(own[k], phi, atol=1e-12)
        off = ~np.eye(COLUMNS, dtype=bool)
        np.testing.assert_allclose(pairs[k][off], both[off], atol=1e-12)
        np.testing.assert_allclose(pairs[k].sum(axis=1), phi, atol=1e-12)
        np.testing.assert_allclose(versus[k], shapley(ensemble, x[k], background)[0], atol=1e-9)
        assert start + versus[k].sum() == pytest.approx(booster.predict(x[k : k + 1], raw_score=True)[0], abs=1e-12)


def test_background__agrees_with_shap_where_shap_can() -> None:
    shap = pytest.importorskip("shap")
    booster = trained({"num_leaves": 15, "categorical_feature": []}, trees=8)
    x, _ = rows(40, 9)
    x = np.nan_to_num(x).astype(np.float64)
    explainer = shap.TreeExplainer(booster, data=x[:20], feature_perturbation="interventional")
    theirs = np.asarray(explainer.shap_values(x[20:], check_additivity=False))
    ours, _ = against_background(_attributor(booster), x[20:], x[:20])
    np.testing.assert_allclose(ours, theirs.reshape(ours.shape), atol=1e-6)


def test_on_scale_of_predictions__adds_up_to_the_change_of_the_rate() -> None:
    booster = trained({}, trees=20)
    attributor = _attributor(booster)
    x, _ = rows(500, 11)
    found = on_scale_of_predictions(attributor(x), attributor.expected, np.vectorize(sigmoid))
    expected = booster.predict(x) - sigmoid(attributor.expected)
    np.testing.assert_allclose(found.sum(axis=1), expected, atol=1e-9)
    flat = on_scale_of_predictions(np.array([[0.3, -0.3]]), -2.0, np.vectorize(sigmoid))
    assert flat.sum() == pytest.approx(0.0, abs=1e-9)
    assert flat[0, 0] == pytest.approx(0.3 * sigmoid(-2.0) * (1 - sigmoid(-2.0)), rel=1e-4)


_PLAIN = """
import numpy as np
from tests.explain.test_attribution import _attributor
from tests.cvr.lgb import hostile, trained
b = trained({"num_leaves": 7}, trees=2)
x = hostile(20, 5, b.model_to_string())
assert np.abs(_attributor(b)(x) - b.predict(x, pred_contrib=True)[:, :-1]).max() <= 1e-12
"""


@pytest.mark.parametrize(
    "variables",
    [{"NUMBA_DISABLE_JIT": "1"}, {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}],
    ids=["no compiler", "no AVX"],
)
def test_attribution__agrees_on_other_machines(variables: dict[str, str], tmp_path: Any) -> None:
    environment = {**os.environ, **variables, "BIDSIM_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", _PLAIN], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
