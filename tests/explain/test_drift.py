"""What a model leans on before and after a moment, beside LightGBM's own attributions."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest

import bidsim
from bidsim.core.units import DAY
from bidsim.cvr.features import FEATURES
from bidsim.explain.drift import attribution_shift
from bidsim.scenario.load import scenario_of
from tests.reports.test_advertiser import NAMES, _world


def _run(**changes: object) -> bidsim.Result:
    return bidsim.run(scenario_of(_world(NAMES[:3], **{"requests": 6_000, **changes})), progress=lambda *a: None)


def test_shift__by_lightgbm() -> None:
    result = _run()
    half = result.manifest["scenario"]["duration"] // 2
    found = {row["feature"]: row for row in attribution_shift(result, half)}
    rows = result.requests
    booster = lightgbm.Booster(model_str=result.models["main"]["model.txt"])
    sides = []
    for side in (rows["time_us"] < half, rows["time_us"] >= half):
        chosen = np.flatnonzero(side)
        chosen = chosen if len(chosen) <= 1_500 else chosen[np.linspace(0, len(chosen) - 1, 1_500).astype(int)]
        sides.append(
            booster.predict(
                rows.iloc[chosen][[f"feature_{f}" for f in FEATURES]].to_numpy(np.float32), pred_contrib=True
            )[:, :-1]
        )
    for k, feature in enumerate(FEATURES):
        if feature not in found:
            assert not sides[0][:, k].any()
            continue
        row = found[feature]
        assert [row["before"], row["after"]] == pytest.approx([np.abs(s[:, k]).mean() for s in sides], rel=1e-6)
        change = sides[1][:, k].mean() - sides[0][:, k].mean()
        assert row["change"] == pytest.approx(change, abs=1e-9)
        assert row["z"] == pytest.approx(change / np.sqrt(sum(s[:, k].var() / len(s) for s in sides)), rel=1e-6)
    sizes = [abs(row["z"]) for row in attribution_shift(result, half)]
    assert sizes == sorted(sizes, reverse=True)


def test_shift__shows_a_feature_that_fails() -> None:
    quiet, struck = _run(), _run(incidents=[{"kind": "feature_outage", "feature": "price", "start": "1d"}])
    before, after = (
        next(row for row in attribution_shift(result, DAY) if row["feature"] == "price") for result in (quiet, struck)
    )
    assert abs(before["z"]) < 4 < abs(after["z"])


def test_shift__of_a_model_without_trees_is_empty() -> None:
    assert attribution_shift(_run(**{"seats.main.model": "oracle"}), DAY) == []
    assert attribution_shift(_run(), 0) == []
