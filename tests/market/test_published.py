"""Policies of the literature on a log such as those that they were published on: rows like iPinYou's, episodes, budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import bidsim
from bidsim.core.registry import names
from bidsim.scenario.load import scenario_of

if TYPE_CHECKING:
    from pathlib import Path

EPISODE, EPISODES, HIGHEST = 400, 50, 300
CLICK_CPM = 14_200
"""What a click costs on average, as on campaign 2997."""


@pytest.fixture(scope="module")
def log() -> dict[str, Any]:
    """Prices from 4 to 300 CPM with a heap at 6, as on campaign 2997; rates of 0.44% on average."""
    dice = np.random.default_rng(2997)
    n = EPISODE * EPISODES
    price = np.clip(dice.lognormal(np.log(55.0), 0.9, n).astype(int), 4, HIGHEST)
    rate = np.minimum(0.0044 * dice.lognormal(-0.32, 0.8, n), 1.0)
    return {"market_price": np.where(dice.random(n) < 0.12, 6, price), "pctr": rate, "click": dice.random(n) < rate}


def _replay(folder: Path, log: dict[str, Any], policy: Any, share: float, value: float = CLICK_CPM / 1000) -> Any:
    lines = [f"{p},{r!r},{int(c)}" for p, r, c in zip(*(log[k].tolist() for k in log), strict=True)]
    (folder / "log.csv").write_text("market_price,pctr,click\n" + "\n".join(lines) + "\n")
    world: dict[str, Any] = {
        "name": "published",
        "duration": "1d",
        "episode": EPISODE,
        "market": {"kind": "replay", "path": str(folder / "log.csv")},
        "auction": {"format": "second_price"},
        "campaigns": {"bidder": {"budget": _budget(log, share) / 1000, "value": value, "policy": policy}},
    }
    return bidsim.run(scenario_of(world)).campaigns.iloc[0]


def _budget(log: dict[str, Any], share: float) -> int:
    return int(log["market_price"].mean() * share * EPISODE)


def naive_values(rate: float, chance: Any, budget: int) -> Any:
    """Most clicks to come with n auctions and b CPM left, float64[n, b] (Cai et al. 2017, section 4.1)."""
    found = np.zeros((EPISODE, budget + 1))
    for n in range(1, EPISODE):
        before = found[n - 1]
        found[n] = before
        for price in range(min(len(chance), budget + 1)):
            won = rate + before[: budget + 1 - price] - before[price:]
            found[n, price:] += chance[price] * np.maximum(won, 0.0)
    return found


def naive_rlb(log: dict[str, Any], budget: int) -> tuple[int, float, int]:
    """Wins, clicks expected and cost in CPM of bidding the most with which an impression is still worth it."""
    chance = np.bincount(log["market_price"], minlength=HIGHEST + 1) / len(log["market_price"])
    worth = naive_values(float(log["pctr"].mean()), chance, budget)
    wins, clicks, cost, left = 0, 0.0, 0, budget
    for row, (price, rate) in enumerate(zip(log["market_price"].tolist(), log["pctr"].tolist(), strict=True)):
        if row % EPISODE == 0:
            left = budget
        ahead = worth[EPISODE - 1 - row % EPISODE]
        most = min(left, HIGHEST)
        bid = most - int(np.searchsorted(ahead[left - most : left], ahead[left] - rate))
        if bid >= price:
            wins, clicks, cost, left = wins + 1, clicks + rate, cost + price, left - price
    return wins, clicks, cost


@pytest.mark.parametrize("share", [1 / 32, 1 / 8, 1 / 2])
def test_rlb__does_as_the_published_algorithm(tmp_path: Path, log: dict[str, Any], share: float) -> None:
    row = _replay(tmp_path, log, "rlb", share)
    wins, clicks, cost = naive_rlb(log, _budget(log, share))
    assert row["pcvr_sum"] == pytest.approx(clicks, rel=0.04)
    assert row["wins"] == pytest.approx(wins, rel=0.06)
    assert row["payment_nanos"] / 1e6 == pytest.approx(cost, rel=0.06)


def test_rlb__does_not_depend_on_what_a_click_is_worth(tmp_path: Path, log: dict[str, Any]) -> None:
    wins = {_replay(tmp_path, log, "rlb", 1 / 32, value)["wins"] for value in (1e-3, 1.0, 1e3)}
    assert len(wins) == 1


TOLD = {
    "linear": {"base_cpm": 40},
    "fixed_bid": {"bid_cpm": 40},
    "random_bid": {"high_cpm": 80},
    "equilibrium": {"values": {"type": "uniform", "low": 0.0, "high": 0.3}},
}
"""What a person must say of prices, for these are not told of any."""


@pytest.mark.parametrize("name", names("policy"))
def test_policy__takes_its_part_of_a_log(tmp_path: Path, log: dict[str, Any], name: str) -> None:
    row = _replay(tmp_path, log, {"name": name, **TOLD.get(name, {})}, 1 / 4)
    assert row["wins"] > 0.05 * row["requests"]
    assert row["payment_nanos"] > 0.1 * row["budget_nanos"] * EPISODES
