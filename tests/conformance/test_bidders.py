"""What every policy and pacer must do, found by introspection."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import bidsim
from bidsim.core.contracts import OUT_OF_REACH, CampaignBrief, empty_offers, state_row
from bidsim.core.reference import ref
from bidsim.core.registry import find, names
from tests.conftest import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

POLICIES, PACERS, FORMATS = names("policy"), names("pacing"), names("auction")
BRIEF = CampaignBrief("c", 10**9, 10**8, 1000.0, 0.01, prices=np.linspace(1e5, 1e6, 64))


def _slabs(plugin: Any, rows: int) -> tuple[Any, Any]:
    first = plugin.start(plugin.Params(), BRIEF)
    floats, ints = (
        np.tile(np.append(state_row(columns, first, kind), kind(0)), (rows, 1))
        for columns, kind in ((plugin.floats, np.float64), (plugin.ints, np.int64))
    )
    return floats, ints


def _offers(seed: int) -> Any:
    dice = np.random.default_rng(seed)
    offers = empty_offers(8)
    offers.campaign[:] = np.arange(8)
    offers.pcvr[:] = dice.choice([0.0, 1e-6, 0.01, 0.5, 1.0], 8)
    offers.value[:] = offers.pcvr * 1e9
    offers.multiplier[:] = dice.choice([0.0, 0.5, 1.0], 8)
    offers.active[:] = 1
    offers.cap[:] = 10**9
    offers.budget[:] = 10**9
    offers.spent[:] = dice.integers(0, 10**9, 8)
    offers.passed[:] = dice.random(8)
    offers.dice[:] = dice.integers(0, 2**63, 8)
    offers.lift[:] = offers.pcvr
    offers.propensity[:] = 1.0
    return offers


@pytest.mark.parametrize("name", POLICIES)
def test_policy__says_what_it_assumes(name: str) -> None:
    plugin = find("policy", name)
    assert plugin.__doc__ and len(plugin.__doc__) > 20


@pytest.mark.parametrize("name", POLICIES)
def test_policy__bids_are_finite_and_touch_only_their_rows(name: str) -> None:
    plugin = find("policy", name)
    for seed in range(50):
        floats, ints = _slabs(plugin, 8)
        offers = _offers(seed)
        offers.bid[:] = -7
        plugin.bid(ref(offers), 2, 6, floats, ints)
        assert (offers.bid[[0, 1, 6, 7]] == -7).all()
        assert ((offers.bid[2:6] >= 0) & (offers.bid[2:6] < 2**62)).all()
        plugin.notice(ref(offers), 2, 6, floats, ints)
        assert np.isfinite(floats).all()


@pytest.mark.parametrize("name", POLICIES)
def test_policy__replays_from_the_same_state(name: str) -> None:
    plugin = find("policy", name)
    bids = []
    for _ in range(2):
        floats, ints = _slabs(plugin, 8)
        for seed in range(20):
            offers = _offers(seed)
            plugin.bid(ref(offers), 0, 8, floats, ints)
            offers.won[:] = offers.bid > 10**6
            offers.payment[:] = offers.bid * offers.won
            plugin.notice(ref(offers), 0, 8, floats, ints)
            bids.append(offers.bid.tolist())
    assert bids[:20] == bids[20:]


@pytest.mark.parametrize("name", PACERS)
def test_pacer__multiplier_is_between_nothing_and_the_full_value(name: str) -> None:
    plugin = find("pacing", name)
    floats, ints = _slabs(plugin, 8)
    for seed in range(200):
        offers = _offers(seed)
        offers.multiplier[:] = 1.0
        plugin.pace(ref(offers), 0, 8, floats, ints)
        assert ((offers.multiplier >= 0) & (offers.multiplier <= 1)).all()
        assert np.isin(offers.active, (0, 1)).all()
        offers.payment[:] = np.random.default_rng(seed).integers(0, 10**8, 8)
        plugin.settle(ref(offers), 0, 8, floats, ints)
        assert np.isfinite(floats).all()


def _keeps_its_budget(run_small: Callable[..., bidsim.Result], policy: str, pacer: str, pricing: str) -> None:
    for market in ("none", "landscape"):
        overrides = {
            "campaigns.lamp.policy": policy,
            "campaigns.lamp.pacing": pacer,
            "auction.format": pricing,
            "auction.positions": [1.0, 0.6] if pricing in JOINT else [1.0],
            "market": {"kind": market},
            "requests": 800,
            "campaigns.lamp.budget": 0.5,
        }
        result = run_small(overrides)
        row = result.campaigns.set_index("campaign").loc["lamp"]
        assert 0 <= row["payment_nanos"] <= row["budget_nanos"]
        assert row["bids"] > 0 or (policy, market) in SILENT
        assert sum(row[c] for c in result.campaigns.columns if c.startswith("lost_")) + row["wins"] == row["requests"]
        assert fingerprint(result) == fingerprint(run_small(overrides))


JOINT = {name for name in FORMATS if find("auction", name).joint}
SILENT = {("best_response", "none")}
"""Where nobody else bids, the best bid is the floor, and without one nothing can be known of it."""


@pytest.mark.parametrize("pricing", FORMATS)
@pytest.mark.parametrize("policy", POLICIES)
def test_policy__keeps_its_budget_in_every_format(
    run_small: Callable[..., bidsim.Result], policy: str, pricing: str
) -> None:
    pacer = PACERS[(POLICIES.index(policy) + FORMATS.index(pricing)) % len(PACERS)]
    _keeps_its_budget(run_small, policy, pacer, pricing)


@pytest.mark.parametrize("pricing", ["first_price", "second_price"])
@pytest.mark.parametrize("pacer", PACERS)
def test_pacer__keeps_its_budget(run_small: Callable[..., bidsim.Result], pacer: str, pricing: str) -> None:
    _keeps_its_budget(run_small, "truthful", pacer, pricing)


def test_adaptive__recovers_from_a_step_on_a_flat_day() -> None:
    """Prices double half-way; the multiplier rises and the budget is spent to the end, not before."""
    plugin = find("pacing", "adaptive")
    total = 4000
    brief = CampaignBrief("c", 1000 * total, 1, float(total), 0.01)
    floats, ints = (
        state_row(plugin.floats, plugin.start(plugin.Params(), brief), np.float64)[None, :],
        np.zeros((1, 1), np.int64),
    )
    offers = empty_offers(1)
    offers.budget[0] = brief.budget_nanos
    dice, mu = np.random.default_rng(0), []
    for t in range(total):
        offers.passed[0], offers.multiplier[0], offers.payment[0] = t / total, 1.0, 0
        plugin.pace(ref(offers), 0, 1, floats, ints)
        price = 2000 * dice.random() * (1 if t < total / 2 else 2)
        if 4000 * dice.random() * offers.multiplier[0] > price and offers.spent[0] + price <= offers.budget[0]:
            offers.payment[0] = int(price)
            offers.spent[0] += int(price)
        plugin.settle(ref(offers), 0, 1, floats, ints)
        mu.append(floats[0, 0])
        if t == total // 2:
            assert 0.3 < offers.spent[0] / offers.budget[0] < 0.7
    assert offers.spent[0] / offers.budget[0] > 0.6 or max(mu) == 0.0


def test_even__waits_when_ahead_of_plan() -> None:
    plugin = find("pacing", "even")
    floats, ints = _slabs(plugin, 8)
    offers = _offers(0)
    offers.passed[:] = 0.5
    offers.spent[:] = [0, 4 * 10**8, 5 * 10**8, 5 * 10**8 + 1, 6 * 10**8, 10**9, 1, 2]
    plugin.pace(ref(offers), 0, 8, floats, ints)
    assert offers.active.tolist() == [1, 1, 1, 0, 0, 0, 1, 1]


def test_policies__by_hand() -> None:
    offers = empty_offers(2)
    offers.campaign[:] = [0, 1]
    offers.pcvr[:] = [0.02, 0.005]
    offers.value[:] = [10_000_000.0, 2_000_000.0]
    offers.multiplier[:] = [1.0, 0.5]
    expected = {"truthful": [10_000_000, 1_000_000], "shaded": [7_000_000, 700_000], "linear": [4_000_000, 500_000]}
    for name, bids in expected.items():
        plugin = find("policy", name)
        floats, ints = _slabs(plugin, 2)
        plugin.bid(ref(offers), 0, 2, floats, ints)
        assert offers.bid.tolist() == pytest.approx(bids, abs=1)


EXACTLY_VALUE = ("truthful", "lift", "max_ecpc")


@pytest.mark.parametrize("name", EXACTLY_VALUE)
@pytest.mark.parametrize("units", [0.0060999999999999995, 6.1 / 1000, 0.0123, 0.000_000_000_7])
def test_policy__bids_the_nearest_nano(name: str, units: float) -> None:
    plugin = find("policy", name)
    brief = dataclasses.replace(BRIEF, value_nanos=10**9)
    offers = _offers(0)
    offers.pcvr[:] = offers.lift[:] = units
    offers.value[:] = units * 1e9
    offers.multiplier[:] = 1.0
    floats, ints = (
        np.tile(np.append(state_row(columns, plugin.start(plugin.Params(), brief), kind), kind(0)), (8, 1))
        for columns, kind in ((plugin.floats, np.float64), (plugin.ints, np.int64))
    )
    plugin.bid(ref(offers), 0, 8, floats, ints)
    assert offers.bid.tolist() == [round(units * 1e9)] * 8


@pytest.mark.parametrize("name", POLICIES)
def test_policy__no_value_is_too_high_for_it(name: str) -> None:
    plugin = find("policy", name)
    offers = _offers(1)
    offers.pcvr[:] = offers.lift[:] = 1.0
    offers.value[:] = np.geomspace(1e15, 1e40, 8)
    offers.multiplier[:] = 1.0
    floats, ints = _slabs(plugin, 8)
    plugin.bid(ref(offers), 0, 8, floats, ints)
    assert ((offers.bid >= 0) & (offers.bid <= OUT_OF_REACH)).all()


def test_bids__are_below_what_is_out_of_reach_and_at_most_the_cap(run_small: Callable[..., bidsim.Result]) -> None:
    result = run_small(
        {
            "campaigns.lamp.policy": {"name": "fixed_bid", "bid_cpm": 1e9},
            "campaigns.lamp.budget": 1e9,
            "auction.format": "first_price",
            "market": {"kind": "landscape", "median_cpm": 1e9, "spread": 3.0, "intent_tilt": 20.0, "fill": 1.0},
            "requests": 800,
        }
    )
    won = result.auctions
    assert (won["bid_nanos"] < OUT_OF_REACH).all()
    assert (won["rival_nanos"] <= won["bid_nanos"]).all()
    assert (won["payment_nanos"] <= won["bid_nanos"]).all()
    assert 0 < len(won) < 700
