"""Several positions in a request, with users and without: who gets them, what they cost, and where the money goes."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import bidsim
from bidsim.scenario.load import scenario_of

if TYPE_CHECKING:
    from collections.abc import Callable

EFFECT = [1.0, 0.6, 0.25]


def _drawn(**auction: Any) -> bidsim.Result:
    world = {
        "name": "positions", "requests": 1_500, "duration": "1d", "values": {"kind": "independent"}, "market": {"kind": "distribution", "rivals": 3},
        "auction": {"positions": EFFECT, **auction}, "campaigns": {k: {"budget": 1e6} for k in "abcd"}, "log": {"wins": 1_000_000, "decisions": 1_000_000},
    }  # fmt: skip
    return bidsim.run(scenario_of(world), progress=lambda *a: None)


@pytest.mark.parametrize("pricing", ["first_price", "second_price"])
def test_single_item_formats__sell_one_position_after_the_other(pricing: str) -> None:
    result = _drawn(format=pricing, reserve_cpm=300.0)
    bids: dict[int, dict[str, int]] = defaultdict(dict)
    for row in result.bids.itertuples():
        bids[row.request][row.campaign] = row.bid_nanos
    won: dict[int, list[Any]] = defaultdict(list)
    for row in result.auctions.itertuples():
        won[row.request].append(row)
    assert {row.position for rows in won.values() for row in rows} == {0, 1, 2}
    table = result.auctions
    assert (table.loc[table["converted"] == 0, "conversion_time_us"] == -1).all()
    for request, rows in won.items():
        assert len({row.campaign for row in rows}) == len(rows)
        rival = rows[0].rival_nanos
        for row in rows:
            ahead = [r.bid_nanos for r in rows if r.position < row.position]
            assert all(bid >= row.bid_nanos for bid in ahead)
            below = [b for c, b in bids[request].items() if b < row.bid_nanos]
            # rivals beyond the first are not in the row, so the price is bounded by what is
            least = (
                max([300_000_000, *(b for b in below if b >= 300_000_000)])
                if pricing == "second_price"
                else row.bid_nanos
            )
            assert least <= row.price_nanos <= row.bid_nanos
            if row.position == 0 and pricing == "second_price":
                assert row.price_nanos >= min(rival, row.bid_nanos)
            assert row.payment_nanos == (
                row.price_nanos if row.position == 0 else round(row.price_nanos * EFFECT[row.position])
            )


@pytest.mark.parametrize("pricing", ["gsp", "vcg", "laddered", "second_price"])
@pytest.mark.parametrize("charge", ["click", "impression"])
def test_positions__money_balances_and_losses_add_up(
    run_small: Callable[..., bidsim.Result], pricing: str, charge: str
) -> None:
    result = run_small(
        {
            "auction.format": pricing,
            "auction.positions": EFFECT,
            "auction.charge": charge,
            "log.wins": 1_000_000,
            "auction.reserve_cpm": 1.0,
            "market.median_cpm": 4.0,
        }
    )
    table, market = result.campaigns, result.summary["market"]
    assert (
        table["payment_nanos"].sum()
        == market["publisher_revenue_nanos"] + market["exchange_fee_nanos"]
        == result.auctions["payment_nanos"].sum()
    )
    for row in table.to_dict("records"):
        assert row["wins"] + sum(v for k, v in row.items() if k.startswith("lost_")) == row["requests"]
        assert row["payment_nanos"] <= row["budget_nanos"]
    assert market["sold_to_campaigns"] + market["sold_to_rivals"] + market["unsold"] == len(EFFECT) * market["requests"]
    assert market["sold_to_campaigns"] == len(result.auctions) == table["wins"].sum()
    if charge == "click":
        paid = result.auctions["payment_nanos"] > 0
        assert (result.auctions["clicked"][paid] == 1).all()
        assert (
            result.auctions["payment_nanos"][~paid & (result.auctions["clicked"] == 1)]
            == result.auctions["price_nanos"][~paid & (result.auctions["clicked"] == 1)]
        ).all()


def test_positions__lower_ones_are_seen_less(run_small: Callable[..., bidsim.Result]) -> None:
    result = run_small(
        {
            "auction.positions": [1.0, 0.3],
            "market": {"kind": "none"},
            "requests": 8_000,
            "log.wins": 1_000_000,
            "campaigns.soap-everyone.budget": 1e5,
            "campaigns.soap-everyone.daily_budget": 1e5,
        }
    )
    rows = result.auctions
    seen = [rows["viewed"][rows["position"] == s].mean() for s in (0, 1)]
    assert seen[1] / seen[0] == pytest.approx(0.3, abs=0.08)
    assert np.abs(rows["true_view"][rows["position"] == 1]).max() < 0.3


def test_click_charge__bids_are_for_a_click() -> None:
    """Bids per click are the value of an impression over its expected clicks, and cost the same in the long run."""
    quality = {"a": 0.5, "b": 0.25, "c": 1.0, "d": 0.8}
    world: dict[str, Any] = {
        "name": "clicks", "requests": 60_000, "duration": "1d", "values": {"kind": "independent", "quality": quality}, "auction": {"format": "gsp", "positions": [1.0]},
        "campaigns": {k: {"budget": 1e6} for k in "abcd"}, "log": {"wins": 0},
    }  # fmt: skip
    by_click = bidsim.run(scenario_of(world), progress=lambda *a: None).summary["market"]["revenue"]
    world["auction"] = {"format": "second_price"}
    by_impression = bidsim.run(scenario_of(world), progress=lambda *a: None).summary["market"]["revenue"]
    assert by_click / by_impression == pytest.approx(1.0, abs=0.02)


def _people(pricing: str, **more: Any) -> bidsim.Result:
    """Campaigns with budgets from a few nanos up, floors, hold-outs, four positions."""
    line = {"product": "lamp", "seat": "main"}
    world = {
        "name": "money", "requests": 4_000, "duration": "3d", "traffic": {"users": 50, "floors": [{"cpm": 0.0, "share": 0.4}, {"cpm": 1.0, "share": 0.6}]},
        "auction": {"format": pricing, "positions": [0.919, 0.557, 0.356, 0.271], "reserve_cpm": 0.3, "fee": 0.1, "charge": "impression"},
        "market": {"kind": "landscape"}, "holdout": {"share": 0.3}, "exploration": {"share": 0},
        "seats": {"main": {"model": "oracle"}}, "log": {"wins": 1_000_000, "decisions": 1_000_000},
        "products": {"lamp": {"price": 100_000.0, "conversion_rate": 0.3, "buyers": 0.3, "repurchase": "20d", "delay": "3h"}},
        "campaigns": {
            "a": {**line, "advertiser": "a", "budget": 0.01, "policy": "value_maximiser", "pacing": "throttle"},
            "b": {**line, "advertiser": "b", "budget": 3.7e-8, "policy": "bandit", "pacing": "adaptive"},
            "c": {**line, "advertiser": "c", "budget": 7.123456789, "policy": "target_roas", "daily_budget": 0.5},
            "d": {**line, "advertiser": "d", "budget": 2.0, "policy": {"name": "fixed_bid", "bid_cpm": 4}, "pacing": "pid"},
        },
        **more,
    }  # fmt: skip
    return bidsim.run(scenario_of(world), progress=lambda *a: None)


@pytest.mark.parametrize(
    "pricing", ["soft_floor", "learned_reserve", "first_price", "second_price", "gsp", "vcg", "laddered"]
)
def test_prices__keep_to_floors_and_payments_are_their_part_by_position(pricing: str) -> None:
    result = _people(pricing)
    won = result.auctions
    assert set(won["position"]) == {0, 1, 2, 3}
    floor = np.maximum(won["bidfloor_nanos"], 300_000)
    assert (won["price_nanos"] >= floor).all()
    assert (won["price_nanos"] <= won["bid_nanos"]).all()
    assert (won["bid_nanos"] >= won["minimum_bid_nanos"]).all()
    effect = np.array([0.919, 0.557, 0.356, 0.271])[won["position"]] / 0.919
    due = np.where(won["position"] == 0, won["price_nanos"], np.rint(won["price_nanos"] * effect))
    assert (won["payment_nanos"] == due).all()
    assert (won["payment_nanos"] < floor).any(), "which is meant below the first position"
    assert (won.loc[won["position"] == 0, "payment_nanos"] >= floor[won["position"] == 0]).all()
    rows = result.bids[result.bids["reason"] == "won"]
    assert rows["price_nanos"].sum() == won["price_nanos"].sum()
    assert rows["payment_nanos"].sum() == won["payment_nanos"].sum() == result.campaigns["payment_nanos"].sum()
    assert (result.campaigns["payment_nanos"] <= result.campaigns["budget_nanos"]).all()
