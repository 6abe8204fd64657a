"""A log replayed: linear and max-eCPC bidding must win what a plain loop over the rows wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bidsim
from bidsim.core.errors import ScenarioError

SCENARIO = """
name = "replayed"
duration = "1d"

[market]
kind = "replay"
path = "log.csv"

[auction]
format = "second_price"

[campaigns.bidder]
budget = {budget}
value = 0.02
policy = {policy}
"""


def _log(n: int) -> dict[str, Any]:
    dice = np.random.default_rng(0)
    pctr = dice.beta(1, 300, n)
    return {
        "market_price": dice.integers(1, 300, n) * (dice.random(n) < 0.9),
        "pctr": pctr,
        "click": (dice.random(n) < 2 * pctr).astype(int),
        "conversion": (dice.random(n) < pctr / 5).astype(int),
    }


def _write(folder: Path, log: dict[str, Any]) -> None:
    rows = zip(*(np.asarray(c).tolist() for c in log.values()), strict=True)
    text = "\n".join(",".join(repr(v) for v in row) for row in rows)
    (folder / "log.csv").write_text(",".join(log) + "\n" + text + "\n")


def _run(folder: Path, policy: str, budget: float = 1e9, overrides: dict[str, Any] | None = None) -> dict[str, Any]:
    (folder / "s.toml").write_text(SCENARIO.format(policy=policy, budget=budget))
    result = bidsim.run(bidsim.load_scenario(folder / "s.toml", overrides), progress=lambda *a: None)
    return result.campaigns.to_dict("records")[0]


def naive_replay(log: dict[str, Any], bids: list[int], budget: int, episode: int) -> tuple[int, int, int]:
    """Wins, cost in CPM and clicks: bid what is left at most, win at or above the market price, pay it."""
    wins = cost = clicks = 0
    left = budget
    for r, bid in enumerate(bids):
        if r % episode == 0:
            left = budget
        bid = min(bid, left)  # noqa: PLW2901
        if bid >= log["market_price"][r]:
            wins += 1
            cost += int(log["market_price"][r])
            clicks += int(log["click"][r])
            left -= int(log["market_price"][r])
    return wins, cost, clicks


@pytest.mark.parametrize("budget", [10**7, 9_000, 2_000])
def test_linear__reproduces_a_plain_loop(tmp_path: Path, budget: int) -> None:
    log = _log(3000)
    _write(tmp_path, log)
    policy = '{ name = "linear", base_cpm = 77, mean_rate = 0.003, whole_cpm = true, highest_cpm = 300 }'
    row = _run(tmp_path, policy, budget / 1000, {"episode": 1000})
    bids = [min(int(77 * p / 0.003), 300) for p in log["pctr"]]
    wins, cost, clicks = naive_replay(log, bids, budget, 1000)
    assert (row["wins"], row["payment_nanos"], row["clicks"]) == (wins, cost * 1_000_000, clicks)
    assert row["requests"] == 3000


@pytest.mark.parametrize("budget", [10**7, 2_000])
def test_max_ecpc__reproduces_a_plain_loop(tmp_path: Path, budget: int) -> None:
    log = _log(2000)
    _write(tmp_path, log)
    row = _run(
        tmp_path,
        '{ name = "max_ecpc", max_ecpc = 21.5, whole_cpm = true, highest_cpm = 300 }',
        budget / 1000,
        {"episode": 500},
    )
    bids = [min(int(p * 21500.0), 300) for p in log["pctr"]]
    wins, cost, clicks = naive_replay(log, bids, budget, 500)
    assert (row["wins"], row["payment_nanos"], row["clicks"]) == (wins, cost * 1_000_000, clicks)


def test_linear__defaults_to_the_mean_rate_of_the_log(tmp_path: Path) -> None:
    log = _log(500)
    _write(tmp_path, log)
    given = _run(tmp_path, f'{{ name = "linear", base_cpm = 50, mean_rate = {float(np.mean(log["pctr"]))!r} }}')
    assert _run(tmp_path, '{ name = "linear", base_cpm = 50 }')["wins"] == given["wins"]


def test_replay__unit_and_event_count(tmp_path: Path) -> None:
    _write(tmp_path, _log(800))
    policy = '{ name = "linear", base_cpm = 60 }'
    plain = _run(tmp_path, policy)
    assert _run(tmp_path, policy, overrides={"market.unit": "currency"})["wins"] < plain["wins"]
    other = _run(tmp_path, policy, overrides={"values": {"kind": "logged", "event": "conversion"}})
    assert [other[name] for name in ("wins", "clicks", "conversions")] == [
        plain[name] for name in ("wins", "clicks", "conversions")
    ]
    assert other["sales_nanos"] != plain["sales_nanos"]


def test_replay__parquet_is_the_same(tmp_path: Path) -> None:
    import pandas as pd  # noqa: PLC0415

    log = _log(400)
    _write(tmp_path, log)
    first = _run(tmp_path, '"truthful"')
    pd.DataFrame(log).to_parquet(tmp_path / "log.parquet")
    assert _run(tmp_path, '"truthful"', overrides={"market.path": "log.parquet"}) == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("market_price", "price"), "no column 'market_price'"),
        (lambda t: t.split("\n")[0] + "\n", "the log is empty"),
        (lambda t: t.replace("\n", "\n-5,0.1,0,0\n", 1), r"log.csv:2: market_price: -5 is not a price"),
        (lambda t: t.replace("\n", "\n5,1.5,0,0\n", 1), r"log.csv:2: pctr: 1.5 is not a rate"),
        (lambda t: t.replace("\n", "\n5,0.5,2,0\n", 1), r"log.csv:2: click: 2 is neither"),
        (lambda t: t.replace("\n", "\nfive,0.5,1,0\n", 1), r"log.csv:2: market_price: 'five' is not a number"),
        (lambda t: t.replace("\n", "\n,0.5,1,0\n", 1), r"log.csv:2: market_price: .*not a finite number"),
        (lambda t: t + "1,2,3,4,5,6\n", "cannot be read"),
        (lambda t: "\x00\x01" * 50, "cannot be read"),
    ],
)
def test_replay__says_what_is_wrong_with_a_log(tmp_path: Path, change: Any, message: str) -> None:
    _write(tmp_path, _log(30))
    (tmp_path / "log.csv").write_text(change((tmp_path / "log.csv").read_text()))
    (tmp_path / "s.toml").write_text(SCENARIO.format(policy='"truthful"', budget=1.0))
    with pytest.raises(ScenarioError, match=message):
        bidsim.load_scenario(tmp_path / "s.toml")


def test_replay__asks_for_no_more_than_there_is(tmp_path: Path) -> None:
    _write(tmp_path, _log(30))
    (tmp_path / "s.toml").write_text(SCENARIO.format(policy='"truthful"', budget=1.0))
    with pytest.raises(ScenarioError, match="more than the 30 rows"):
        bidsim.load_scenario(tmp_path / "s.toml", {"requests": 31})


ZERO = """
name = "zero"
duration = "1d"
market = { kind = "replay", path = "log.csv" }
[auction]
format = "first_price"
[campaigns.a]
budget = 100
policy = { name = "fixed_bid", bid_cpm = 80 }
"""
RIVAL = {"campaigns.b": {"budget": 100, "policy": {"name": "fixed_bid", "bid_cpm": 60}}}


@pytest.mark.parametrize(
    ("overrides", "paid"),
    [
        ({}, 640),
        ({"auction.reserve_cpm": 10}, 640),
        ({"auction.format": "second_price"}, 20),
        ({"auction.format": "second_price", "auction.reserve_cpm": 10}, 80),
        ({"auction.format": "second_price", **RIVAL}, 480),
        (RIVAL, 640),
    ],
)
def test_price_of_zero__is_a_bid_of_nothing_and_the_format_decides(
    tmp_path: Path, overrides: dict[str, Any], paid: int
) -> None:
    _write(tmp_path, {"market_price": [0] * 4 + [5] * 4, "pctr": [0.01] * 8, "click": [0] * 8})
    (tmp_path / "s.toml").write_text(ZERO)
    table = bidsim.run(bidsim.load_scenario(tmp_path / "s.toml", overrides)).campaigns.set_index("campaign")
    assert (table.loc["a", "wins"], table.loc["a", "payment_nanos"]) == (8, paid * 1_000_000)


@pytest.mark.parametrize("pricing", ["first_price", "second_price"])
def test_price_of_zero__is_reached_by_a_bid_of_nothing_which_pays_nothing(tmp_path: Path, pricing: str) -> None:
    _write(tmp_path, {"market_price": [7, 0, 1, 0, 7, 0], "pctr": [0.01] * 6, "click": [0] * 6})
    (tmp_path / "s.toml").write_text(ZERO.replace("first_price", pricing))
    broke = {"campaigns.a.budget": 0.007, "campaigns.a.policy.bid_cpm": 7}
    result = bidsim.run(bidsim.load_scenario(tmp_path / "s.toml", broke))
    assert result.campaigns["wins"].tolist() == [4]
    assert result.auctions["payment_nanos"].tolist() == [7_000_000, 0, 0, 0]
    assert result.auctions["bid_nanos"].tolist() == [7_000_000, 0, 0, 0]
    reserved = bidsim.run(bidsim.load_scenario(tmp_path / "s.toml", {**broke, "auction.reserve_cpm": 5}))
    assert reserved.campaigns["wins"].tolist() == [1]


@pytest.mark.parametrize("event", ["click", "conversion"])
def test_replay__tells_clicks_and_conversions_of_the_log_whichever_is_bid_for(tmp_path: Path, event: str) -> None:
    log = _log(3000)
    _write(tmp_path, log)
    overrides = {"values": {"kind": "logged", "event": event}}
    (tmp_path / "s.toml").write_text(SCENARIO.format(policy='{ name = "fixed_bid", bid_cpm = 150 }', budget=1e9))
    result = bidsim.run(bidsim.load_scenario(tmp_path / "s.toml", overrides))
    won = np.asarray(log["market_price"]) <= 150
    clicks, conversions = (int(log[name][won].sum()) for name in ("click", "conversion"))
    row = result.campaigns.iloc[0]
    assert (row["wins"], row["clicks"], row["conversions"]) == (won.sum(), clicks, conversions)
    assert (result.auctions["clicked"].sum(), result.auctions["converted"].sum()) == (clicks, conversions)
    bought = conversions if event == "conversion" else clicks
    assert row["sales_nanos"] == bought * row["conversion_value_nanos"]


def test_replay__a_log_without_conversions_has_none(tmp_path: Path) -> None:
    log = _log(3000)
    del log["conversion"]
    _write(tmp_path, log)
    row = _run(tmp_path, '{ name = "fixed_bid", bid_cpm = 150 }')
    assert (row["clicks"] > 0, row["conversions"]) == (True, 0)


def test_replay__a_row_seen_without_money_is_lost_to_the_budget(tmp_path: Path) -> None:
    log = {**_log(2000), "market_price": np.full(2000, 100)}
    _write(tmp_path, log)
    row = _run(tmp_path, '{ name = "fixed_bid", bid_cpm = 150 }', 1.0, {"episode": 100})
    assert (row["wins"], row["eligible"], row["lost_budget"], row["lost_not_targeted"]) == (200, 2000, 1800, 0)


def test_policies_of_one_scenario__take_impressions_from_each_other(tmp_path: Path) -> None:
    """Which is why the page on replays compares policies by a run each."""
    _write(tmp_path, _log(3000))
    linear = '{ name = "linear", base_cpm = 90 }'
    alone = _run(tmp_path, linear)
    other = {"campaigns.other": {"budget": 1e9, "policy": {"name": "fixed_bid", "bid_cpm": 90}}}
    together = _run(tmp_path, linear, overrides=other)
    assert together["wins"] < alone["wins"]
    page = (Path(__file__).parents[2] / "docs/howto/replay-a-log.md").read_text()
    assert "by a run each" in page
    assert '"campaigns": {name:' in page
