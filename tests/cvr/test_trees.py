"""Compiled trees against LightGBM itself and a plain walk, on many shapes of model, hostile values included."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bidsim.cvr.ensemble import parse_ensemble
from bidsim.cvr.lightgbm import Lightgbm
from bidsim.cvr.trees import compile_ensemble, compile_trees, describe, predict
from tests.conftest import ROOT
from tests.cvr.lgb import COLUMNS, SHAPES, hostile, rows, trained
from tests.naive import walk_trees

ROWS = 200_000


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "-".join(f"{k}{v}" for k, v in s.items()))
def test_predict__agrees_with_lightgbm(shape: dict[str, Any]) -> None:
    booster = trained(shape)
    text = booster.model_to_string()
    tables = compile_trees(text, COLUMNS)
    tried = hostile(ROWS, 2, text)
    with np.errstate(over="ignore"):
        narrow = tried.astype(np.float32)
    assert np.abs(predict(tables, narrow) - booster.predict(narrow)).max() <= 1e-12
    assert np.abs(predict(tables, tried) - booster.predict(tried)).max() <= 1e-12


@cache
def _both(leaves: int) -> tuple[Any, Any]:
    ensemble = parse_ensemble(
        trained({"num_leaves": leaves, "zero_as_missing": leaves == 15}, trees=12).model_to_string(), COLUMNS
    )
    return ensemble, compile_ensemble(ensemble)


NUMBERS = st.one_of(
    st.floats(width=32), st.integers(-3, 80).map(float), st.sampled_from([0.0, -0.0, 1e-35, -1e-36, 2.0**31])
)


@settings(max_examples=200, deadline=None)
@given(st.lists(NUMBERS, min_size=COLUMNS, max_size=COLUMNS), st.sampled_from([4, 15, 31, 60, 100]))
def test_predict__agrees_with_a_plain_walk(row: list[float], leaves: int) -> None:
    ensemble, tables = _both(leaves)
    expected = 1 / (1 + np.exp(-walk_trees(ensemble, row)))
    assert predict(tables, np.array([row]))[0] == pytest.approx(expected, abs=1e-14)
    assert predict(tables, np.array([row], np.float32))[0] == pytest.approx(
        1 / (1 + np.exp(-walk_trees(ensemble, np.array(row, np.float32)))), abs=1e-14
    )


def test_compile_trees__offset_is_added_to_the_log_odds() -> None:
    text = trained({}, trees=5).model_to_string()
    x, _ = rows(2_000, 1)
    plain, moved = (predict(compile_trees(text, COLUMNS, o), x) for o in (0.0, -1.3))
    np.testing.assert_allclose(np.log(moved / (1 - moved)), np.log(plain / (1 - plain)) - 1.3, atol=1e-9)


def test_compile_trees__single_leaf_model() -> None:
    booster = trained({"min_data_in_leaf": 10_000}, trees=3)
    x, _ = rows(200, 1)
    np.testing.assert_allclose(
        predict(compile_trees(booster.model_to_string(), COLUMNS), x), booster.predict(x), atol=1e-12
    )


@pytest.mark.parametrize(("leaves", "how"), [(31, "masks of 32 bits"), (50, "masks of 64 bits"), (90, "linked nodes")])
def test_describe__says_what_was_chosen(leaves: int, how: str) -> None:
    assert describe(compile_trees(trained({"num_leaves": leaves}).model_to_string(), COLUMNS)).startswith(how)


_ANYWHERE = """
import numpy as np, sys
from tests.cvr.lgb import COLUMNS, hostile, trained
from bidsim.cvr.trees import compile_trees, predict
for leaves in (31, 64, 100):
    booster = trained({"num_leaves": leaves}, trees=8)
    text = booster.model_to_string()
    x = hostile(ROWS, 3, text)
    assert np.abs(predict(compile_trees(text, COLUMNS), x) - booster.predict(x)).max() <= 1e-12
    x = x.astype(np.float32)
    assert np.abs(predict(compile_trees(text, COLUMNS), x) - booster.predict(x)).max() <= 1e-12
"""


@pytest.mark.parametrize(
    ("where", "variables", "count"),
    [
        ("a processor without AVX", {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}, 5_000),
        ("no compiler", {"NUMBA_DISABLE_JIT": "1"}, 40),
    ],
)
def test_predict__agrees_on_other_machines(where: str, variables: dict[str, str], count: int, tmp_path: Any) -> None:
    environment = {**os.environ, **variables, "BIDSIM_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", _ANYWHERE.replace("ROWS", str(count))],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (where, done.stderr[-2000:])


def test_regression__is_a_rate_too() -> None:
    booster = trained({"objective": "regression"})
    model = Lightgbm.from_text(booster.model_to_string(), 0.0, {})
    x, _ = rows(500, 4)
    wide = np.zeros((500, COLUMNS), np.float32)
    wide[:] = x
    np.testing.assert_allclose(predict(model.tables, wide), booster.predict(wide), atol=1e-12)
