"""The search for the worst slices: what is planted is found, what is told is rarely false, and counts are pandas'."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bidsim
from bidsim.monitoring.worst import _benjamini_hochberg, search, worst_slices
from tests.conftest import SCENARIOS

FIELDS = {"geo": 4, "device": 3, "site": 20, "age": 6}


def _rows(seed: int, n: int = 60_000) -> tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray]:
    dice = np.random.default_rng(seed)
    fields = {name: ([f"{name}-{k}" for k in range(size)], dice.integers(0, size, n)) for name, size in FIELDS.items()}
    rate = np.exp(dice.normal(-3.5, 0.5, n))
    return fields, rate, dice.random(n), dice.integers(0, n // 4, n)


def test_search__tells_nothing_of_a_good_model() -> None:
    false = 0
    for seed in range(20):
        fields, rate, dice, user = _rows(seed)
        false += len(search(fields, rate, (dice < rate).astype(float), user, 0.1)) > 0
    assert false <= 5, "at a false-discovery rate of 10% about 2 of 20 are expected"


@pytest.mark.parametrize("factor", [0.3, 2.2])
def test_search__names_what_is_planted_first(factor: float) -> None:
    named = 0
    for seed in range(8):
        fields, rate, dice, user = _rows(seed)
        planted = (fields["geo"][1] == 2) & (fields["device"][1] == 1)
        found = search(fields, rate, (dice < np.where(planted, factor * rate, rate)).astype(float), user, 0.1)
        named += bool(found) and set(found[0].levels) == {("geo", "geo-2"), ("device", "device-1")}
        if found and len(found[0].levels) == 2:
            assert found[0].impressions == planted.sum()
            assert (found[0].ratio > 1) == (factor > 1)
            assert found[0].p_value <= 0.1
    assert named >= 7


def test_benjamini_hochberg__is_scipys() -> None:
    p = np.random.default_rng(3).random(50) ** 3
    np.testing.assert_allclose(_benjamini_hochberg(p), stats.false_discovery_control(p))


def test_worst_slices__of_a_run_with_a_broken_country() -> None:
    small = {
        "requests": 300_000,
        "history.requests": 400_000,
        "log.wins": 1_000_000,
        "monitoring.baseline": "3d",
        "duration": "8d",
    }
    broken = [{"kind": "conversion_drop", "within": {"geo": ["GB"]}, "left": 0.2, "start": "1h"}]
    result = bidsim.run(
        bidsim.load_scenario(SCENARIOS / "quiet_market.toml", {**small, "incidents": broken}), progress=lambda *a: None
    )
    found = worst_slices(result)
    assert found[0].levels == (("geo", "GB"),)
    rows = result.auctions[(result.auctions["geo"] == "GB") & (result.auctions["time_us"] < 6 * 86_400_000_000)]
    assert (found[0].impressions, found[0].converted) == (len(rows), rows["converted"].sum())
    every = result.auctions[result.auctions["time_us"] < 6 * 86_400_000_000]
    assert found[0].predicted == pytest.approx(rows["pcvr"].sum() * every["converted"].sum() / every["pcvr"].sum())
    assert found[0].ratio < 0.5
    assert isinstance(pd.DataFrame([f.__dict__ for f in found]), pd.DataFrame)
    assert found[0].name == "geo = GB"
