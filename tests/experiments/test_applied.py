"""Advice put to the test: the truth is moved and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bidsim.experiments.grading.applied import Applied, _conversions, apply_advice, moved_truth
from bidsim.scenario.build import build
from bidsim.scenario.load import scenario_of
from tests.reports.test_advertiser import NAMES, _world

QUICK: dict[str, Any] = {
    "requests": 6_000,
    "seats.main.model": "oracle",
    "holdout.share": 0.0,
    "exploration.share": 0.0,
}


def test_moved_truth__is_what_the_scenario_would_make_of_other_levers() -> None:
    still = scenario_of(_world(NAMES[:2], **QUICK))
    for lever, change, levers in (
        ("price", -0.05, {"price": 4.75}),
        ("creative", 0.25, {"creative": 0.25}),
        ("landing", 0.25, {"landing": 0.25}),
        ("shipping_days", -1.0, {"shipping_days": 2.0}),
    ):
        other = build(scenario_of(_world(NAMES[:2], **QUICK, **{"campaigns.shop-1.levers": levers})))[0]
        here = build(still)[0]
        actions = [(lever, change) if owner == "shop-1" else None for owner in here.names.advertisers]
        moved = moved_truth(here.state.world.truth, still, actions)
        for name in ("click_logit", "buy_logit", "log_price", "price_nanos"):
            np.testing.assert_allclose(
                getattr(moved, name), getattr(other.state.world.truth, name), rtol=1e-9, atol=1e-12
            )
        assert here.state.world.truth.click_logit is not moved.click_logit


def test_conversions__of_others_stay_as_they_are() -> None:
    scenario = scenario_of(_world(NAMES[:3], **QUICK))
    before, after = _conversions(scenario, {}), _conversions(scenario, {"shop-1": ("creative", 0.5)})
    assert before["shop-0"].tolist() == after["shop-0"].tolist()
    assert after["shop-1"][0] > 1.03 * before["shop-1"][0]


def test_apply_advice__promises_are_kept() -> None:
    found = apply_advice(
        scenario_of(_world(NAMES[:4], **{**QUICK, "requests": 30_000, "response.creative_effect": 1.0})), 1.0
    )
    assert {a.lever for a in found} >= {"creative"}
    assert all(isinstance(a, Applied) for a in found)
    creative = [a for a in found if a.lever == "creative"]
    assert len(creative) == 4
    assert all(a.holds and not a.harms for a in creative)
    assert all(a.earned == pytest.approx(a.came) for a in creative)
    assert all(
        a.earned == pytest.approx((1 + a.came) * (0.5 + a.change) / 0.5 - 1) for a in found if a.lever == "price"
    )
    assert all(a.came == pytest.approx(0.17, abs=0.07) for a in creative)


def test_applied__harms_where_it_earns_less_than_nothing_and_than_promised() -> None:
    kept = Applied(0, "a", "creative", 0.25, 0.01, 0.05, 0.03, 0.02, 0.0, 0.02)
    assert kept.holds
    assert not kept.harms
    dearer = Applied(0, "a", "price", 0.05, -0.09, -0.03, -0.06, -0.10, 0.0, 0.05)
    assert not dearer.holds
    assert not dearer.harms, "fewer sales at a higher price earn more"
    assert Applied(0, "a", "creative", 0.25, 0.01, 0.05, 0.03, -0.01, 0.0, -0.01).harms
