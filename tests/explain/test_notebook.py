"""Explanations for notebooks: shap's own objects, that add up, in log-odds and in conversions."""

from __future__ import annotations

import numpy as np
import pytest
import shap

import bidsim
from bidsim.core.errors import UsageError
from bidsim.cvr.features import FEATURES
from bidsim.explain.model_use import evenly
from bidsim.scenario.load import scenario_of
from tests.reports.test_advertiser import NAMES, _world


@pytest.fixture(scope="module")
def result() -> bidsim.Result:
    """A run of three advertisers with a model of trees."""
    return bidsim.run(scenario_of(_world(NAMES[:3], requests=600)), progress=lambda *a: None)


def _predicted(result: bidsim.Result) -> np.ndarray:
    assert len(result.bids) < 2_000, "all rows are explained"
    return np.asarray(result.bids["pcvr"])


def test_explain__adds_up_to_the_prediction(result: bidsim.Result) -> None:
    found = result.explain()
    assert isinstance(found, shap.Explanation)
    assert found.feature_names == list(FEATURES)
    p = _predicted(result)
    np.testing.assert_allclose(found.values.sum(axis=1) + found.base_values, np.log(p / (1 - p)), atol=1e-9)
    counted = result.explain("main", unit="conversions")
    np.testing.assert_allclose(counted.values.sum(axis=1) + counted.base_values, 1000 * p, atol=1e-7)


def test_explain__counts_by_the_model_s_own_link() -> None:
    plain = bidsim.run(
        scenario_of(
            _world(NAMES[:3], **{"requests": 600, "seats.main.model": {"name": "lightgbm", "objective": "regression"}})
        ),
        progress=lambda *a: None,
    )
    counted = plain.explain(unit="conversions")
    np.testing.assert_allclose(counted.values.sum(axis=1) + counted.base_values, 1000 * _predicted(plain), atol=1e-7)
    seen = _predicted(plain).mean()
    assert 0.0005 < seen < 0.2


def test_explain__against_a_background(result: bidsim.Result) -> None:
    background = result.explain().data[:50]
    found, p = result.explain(background=background), _predicted(result)
    np.testing.assert_allclose(found.values.sum(axis=1) + found.base_values, np.log(p / (1 - p)), atol=1e-9)
    assert not np.allclose(found.values, result.explain().values)


def test_rows__of_long_runs_are_spread_evenly() -> None:
    rows = np.arange(100, 10_101)
    assert evenly(rows, 5).tolist() == [100, 2_600, 5_100, 7_600, 10_100]
    assert evenly(rows[:5], 5).tolist() == rows[:5].tolist()


def test_explain__pairs_add_up_to_single_ones(result: bidsim.Result) -> None:
    np.testing.assert_allclose(result.explain(pairs=True).values.sum(axis=2), result.explain().values, atol=1e-10)
    with pytest.raises(UsageError, match="log-odds"):
        result.explain(pairs=True, unit="conversions")


def test_explain__by_segment_and_advertiser(result: bidsim.Result) -> None:
    found = result.explain()
    names = found[:, "segment"].display_data
    cohorts = found.cohorts(names).cohorts
    assert len(cohorts) > 3
    assert sum(len(part.values) for part in cohorts.values()) == len(found.values)
    mine = result.explain(advertiser="shop-1")
    assert set(mine[:, "advertiser"].display_data) == {"shop-1"}
    rows = np.array(result.bids["campaign"])[: len(found.values)] == "shop-1"
    np.testing.assert_array_equal(mine.values[: rows.sum()], found.values[rows])


def test_explain__plots_of_shap_take_it(result: bidsim.Result) -> None:
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    shap.plots.bar(result.explain(), show=False)
    shap.plots.waterfall(result.explain()[0], show=False)


def test_explain__says_what_is_wrong(result: bidsim.Result) -> None:
    with pytest.raises(UsageError, match="did you mean 'main'"):
        result.explain("mian")
    with pytest.raises(UsageError, match="no such advertiser"):
        result.explain(advertiser="nobody")
    oracle = bidsim.run(
        scenario_of(_world(NAMES[:2], **{"requests": 500, "seats.main.model": "oracle"})), progress=lambda *a: None
    )
    with pytest.raises(UsageError, match="no trees"):
        oracle.explain()
