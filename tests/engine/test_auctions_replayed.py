"""The loop against slow, obvious twins: every auction of a small run is cleared again, every nano counted again."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import bidsim
from bidsim.core.random import draw, mix, name_id, stream_key
from bidsim.scenario.build import build, keys_of
from tests import naive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EVERYTHING = {"log.decisions": 1_000_000, "log.wins": 1_000_000}


@pytest.mark.parametrize("pricing", ["first_price", "second_price"])
def test_loop__clears_every_auction_as_the_twin_does(
    small: Path, run_small: Callable[..., bidsim.Result], pricing: str
) -> None:
    overrides = {**EVERYTHING, "auction.format": pricing}
    result = run_small(overrides)
    simulation, _ = build(bidsim.load_scenario(small, overrides))
    chunk = simulation.generate(0, simulation.total)
    clear = getattr(naive, pricing)
    tie_key = keys_of(3, "").tie
    by_request: dict[int, list[Any]] = defaultdict(list)
    for row in result.bids.itertuples():
        by_request[row.request].append(row)
    won = {row.request: row for row in result.auctions.itertuples()}
    sold = 0
    for r in range(simulation.total):
        offers = [o for o in by_request[r] if o.bid_nanos > 0]
        reserve = max(int(chunk.requests.floor[r]), 400_000)
        bids = [o.bid_nanos for o in offers] + [int(b) for b in chunk.rivals[r]]
        dice = draw(tie_key, r, 0, 0)
        ties = [int(mix(dice ^ np.uint64(name_id(f"campaign/{o.campaign}")))) for o in offers] + [
            int(mix(dice ^ np.uint64(k))) for k in range(2)
        ]
        reserves = [reserve] * len(bids)
        winner, payment = clear(bids, reserves, ties)
        if 0 <= winner < len(offers):
            sold += 1
            assert (won[r].campaign, won[r].payment_nanos) == (offers[winner].campaign, payment)
        else:
            assert r not in won
        for k, offer in enumerate(offers[:2]):
            assert offer.minimum_bid_nanos == naive.minimum_to_win(k, bids, reserves, ties, clear)
        for k, offer in enumerate(offers):
            expected = "won" if k == winner else "below_floor" if offer.bid_nanos < reserve else "outbid"
            assert offer.reason in {expected, "budget"}
    assert sold == len(won) == result.summary["market"]["sold_to_campaigns"] > 300


def test_loop__funnel_is_what_the_rows_say(run_small: Callable[..., bidsim.Result]) -> None:
    result = run_small(EVERYTHING)
    counted = result.bids.groupby(["campaign", "reason"]).size()
    for row in result.campaigns.to_dict("records"):
        name = row["campaign"]
        for reason in ("paced", "no_bid", "below_floor", "outbid"):
            assert row[f"lost_{reason}"] == counted.get((name, reason), 0)
        wins = result.auctions[result.auctions["campaign"] == name]
        assert row["wins"] == len(wins) == counted.get((name, "won"), 0)
        assert row["payment_nanos"] == wins["payment_nanos"].sum()
        assert row["views"] == wins["viewed"].sum()
        assert row["clicks"] == wins["clicked"].sum()
        assert row["true_rate_sum"] == pytest.approx(wins["true_rate"].sum(), rel=1e-12)
        timeline = result.timeline[result.timeline["campaign"] == name]
        for column in ("wins", "views", "clicks", "payment_nanos", "conversions", "sales_nanos", "bids", "eligible"):
            assert timeline[column].sum() == row[column]


def test_loop__conversions_are_credited_to_the_last_click_in_the_window(
    run_small: Callable[..., bidsim.Result],
) -> None:
    result = run_small(
        {
            **EVERYTHING,
            "products.soap.conversion_rate": 0.6,
            "products.soap.click_rate": 0.6,
            "campaigns.soap-everyone.budget": 500.0,
            "campaigns.soap-everyone.daily_budget": 400.0,
        }
    )
    clicks = result.auctions[result.auctions["clicked"] == 1]
    assert len(result.conversions) > 30
    for row in result.conversions.itertuples():
        mine = clicks[
            (clicks["user"] == row.user)
            & (
                clicks["campaign"].isin(
                    ["soap-everyone", "soap-mobile"] if row.campaign.startswith("soap") else ["lamp"]
                )
            )
            & (clicks["time_us"] < row.time_us)
        ]
        last = mine.sort_values("time_us").iloc[-1]
        assert (last["campaign"], last["time_us"]) == (row.campaign, row.credit_time_us)
        assert 0 < row.time_us - row.credit_time_us <= 7 * 86_400_000_000
    assert result.campaigns["conversions"].sum() == result.conversions["observed"].sum()
    assert result.campaigns["conversions_eventual"].sum() == len(result.conversions)
    end = result.manifest["scenario"]["duration"]
    rows = result.conversions
    assert (rows["observed"] == ((rows["reported_us"] >= 0) & (rows["reported_us"] < end))).all()
    assert (result.auctions.loc[result.auctions["converted"] == 0, "conversion_time_us"] == -1).all()
    assert (result.auctions.loc[result.auctions["converted"] == 1, "conversion_time_us"] > 0).all()


def test_loop__frequency_cap_holds_in_every_sliding_window(run_small: Callable[..., bidsim.Result]) -> None:
    result = run_small({**EVERYTHING, "campaigns.soap-mobile.budget": 500.0, "traffic.users": 40})
    wins = result.auctions[result.auctions["campaign"] == "soap-mobile"].sort_values("time_us")
    busiest = 0
    for _, rows in wins.groupby("user"):
        times = rows["time_us"].to_numpy()
        for k in range(len(times)):
            busiest = max(busiest, int(((times > times[k] - 6 * 3_600_000_000) & (times <= times[k])).sum()))
    assert busiest == 2
    assert result.campaigns.set_index("campaign").loc["soap-mobile", "lost_frequency_cap"] > 0


def test_loop__targeting_flight_and_users_split_are_kept(run_small: Callable[..., bidsim.Result]) -> None:
    result = run_small(
        {**EVERYTHING, "campaigns.lamp.start": "12h", "campaigns.lamp.end": "30h", "seats.main.users": [0.25, 0.75]}
    )
    mobile = result.auctions[result.auctions["campaign"] == "soap-mobile"]
    lamp = result.bids[result.bids["campaign"] == "lamp"]
    assert set(mobile["device"]) == {"mobile"}
    assert lamp["time_us"].between(12 * 3_600_000_000, 30 * 3_600_000_000 - 1).all()
    key = stream_key(3, "split")
    shares = (
        np.array([draw(key, int(u), 0, 0) >> np.uint64(11) for u in result.bids["user"].unique()], np.float64)
        * 2.0**-53
    )
    assert ((shares >= 0.25) & (shares < 0.75)).all()


def test_loop__internal_auction_sends_one_bid_a_seat(run_small: Callable[..., bidsim.Result]) -> None:
    result = run_small({**EVERYTHING, "seats.main.internal_auction": True})
    rows = result.bids[result.bids["bid_nanos"] > 0]
    sent = rows[rows["reason"] != "internal"].groupby("request").size()
    assert (sent == 1).all()
    best = rows.groupby("request")["bid_nanos"].max()
    chosen = rows[rows["reason"] != "internal"].set_index("request")["bid_nanos"]
    assert (best.loc[chosen.index] == chosen).all()
