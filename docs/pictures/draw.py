"""Draw the pictures of the pages on plug-ins: ``python docs/pictures/draw.py``; a minute."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import bidsim
from bidsim.metrics.hindsight import best_in_hindsight
from bidsim.reports.charts import ACCENT, INK, SECOND, SOFT, figure
from bidsim.scenario.load import scenario_of

HERE = Path(__file__).resolve().parent
_AUCTIONS = 100_000
_OTHERS = ("#8e6c8a", "#2a9d8f", "#d9a441", "#b23a48", "#52606d", "#5a9367", "#c08497", "#1f6f3a", "#e07a5f")


def _run(**blocks: Any) -> bidsim.Result:
    world = {"name": "picture", "requests": _AUCTIONS, "count": "exact", "duration": "1d", "traffic": {"hours": "flat"}, "values": {"kind": "independent"}}
    return bidsim.run(scenario_of(world | blocks), progress=lambda stage, done, total: None)


def _save(drawn: Any, name: str) -> None:
    drawn.savefig(HERE / f"{name}.png", dpi=110)
    print(f"drew {name}.png")


def formats() -> None:
    """Draw who gets what in each single-item format, with bidders who are truthful and bidders in equilibrium."""
    cases = {
        "second price, truthful": ({"format": "second_price"}, "truthful"),
        "second price, reserve 0.5": ({"format": "second_price", "reserve_cpm": 500.0}, "truthful"),
        "learned reserve, truthful": ({"format": "learned_reserve"}, "truthful"),
        "first price, equilibrium": ({"format": "first_price"}, {"name": "equilibrium", "bidders": 2}),
        "first price, truthful": ({"format": "first_price"}, "truthful"),
        "soft floor 0.6, truthful": ({"format": "soft_floor", "soft_floor_cpm": 600.0}, "truthful"),
        "soft floor 0.6, equilibrium": ({"format": "soft_floor", "soft_floor_cpm": 600.0}, {"name": "equilibrium", "bidders": 2, "soft_floor_cpm": 600.0}),
    }
    drawn, axes = figure(8.2, 3.4)
    for row, (auction, policy) in enumerate(reversed(cases.values())):
        market = _run(auction=auction, campaigns={k: {"budget": 1e9, "policy": policy} for k in "ab"}).summary["market"]
        revenue, surplus = market["revenue"] / _AUCTIONS, market["surplus_expected"] / _AUCTIONS
        axes.barh(row, revenue, color=ACCENT, label="exchange" if row == 0 else None)
        axes.barh(row, surplus, left=revenue, color=SOFT, label="bidders" if row == 0 else None)
        axes.text(revenue + surplus + 0.005, row, f"{revenue:.3f}", va="center", color=INK, fontsize=8)
    axes.set_yticks(range(len(cases)), list(reversed(cases)))
    axes.set_xlabel("worth of an impression, two bidders with values uniform on [0, 1]; in figures what the exchange gets")
    axes.xaxis.label.set_size(8)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
    _save(drawn, "formats")


def policies() -> None:
    """Draw how fast each policy learns to shade: share of the best surplus over the auctions so far."""
    names = ["truthful", "shaded", "best_response", "learned_shading", "logistic_shading", "exp_weights", "thompson", "ucb", "bandit"]
    drawn, axes = figure(8.2, 3.8)
    for k, name in enumerate(names):
        result = _run(
            auction={"format": "first_price", "tell_minimum": name != "logistic_shading"},
            market={"kind": "distribution", "distribution": {"type": "lognormal", "mu": -0.7, "sigma": 0.4}},
            campaigns={"c": {"budget": 1e9, "policy": name}},
            log={"decisions": 1_000_000_000},
        )
        bids = result.tables["bids"]
        value, paid = np.asarray(bids["value_nanos"], float), np.asarray(bids["payment_nanos"], float)
        won = np.array([reason == "won" for reason in bids["reason"]])
        gain = np.cumsum(np.where(won, value - paid, 0.0))
        if name == "truthful":
            continue
        at = np.unique(np.geomspace(100, len(gain) - 1, 80).astype(int))
        best = _known_best(value, np.asarray(bids["minimum_bid_nanos"], float))
        style = {"best_response": (INK, "-"), "learned_shading": (ACCENT, "-"), "logistic_shading": (SECOND, "-")}.get(name)
        colour, line = style or (_OTHERS[k % len(_OTHERS)], "--")
        axes.plot(at, gain[at] / (best * (at + 1)), line, color=colour, lw=1.5, label=name)
    axes.axhline(1.0, color=SOFT, lw=0.8)
    axes.set_xscale("log")
    axes.set_xticks([100, 1_000, 10_000, 100_000], ["100", "1,000", "10,000", "100,000"])
    axes.set_ylim(0, 1.1)
    axes.set_xlabel("auctions so far")
    axes.set_ylabel("surplus, as a share of the best known bid's")
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="lower right")
    _save(drawn, "policies")


def _known_best(value: np.ndarray[Any, Any], price: np.ndarray[Any, Any]) -> float:
    """Surplus per auction of the best response to the very distribution of prices."""
    grid = np.quantile(price, np.linspace(0.001, 0.999, 400))
    wins = np.searchsorted(np.sort(price), grid, side="right") / len(price)
    sample = value[:: max(1, len(value) // 4000)]
    return float(np.maximum((sample[:, None] - grid[None, :]) * wins[None, :], 0.0).max(axis=1).mean())


def pacers() -> None:
    """Draw budget spent over the day, and what it bought, for each pacer."""
    names = ["none", "even", "throttle", "pid", "adaptive"]
    drawn, axes = figure(8.2, 3.4)
    for name, colour in zip(names, ("#b23a48", "#d9a441", "#8e6c8a", SECOND, ACCENT), strict=True):
        result = _run(
            auction={"format": "second_price"},
            market={"kind": "distribution"},
            traffic={"hours": {"amplitude": 0.6, "peak_hour": 18.0}},
            campaigns={"c": {"budget": _AUCTIONS / 24, "pacing": name}},
            log={"bucket": "10m", "decisions": 1_000_000_000},
        )
        spent = np.cumsum(result.tables["timeline"]["payment_nanos"]) / 1e9 / (_AUCTIONS / 24)
        bids = result.tables["bids"]
        best = best_in_hindsight(np.asarray(bids["value_nanos"]) / 1e9, np.asarray(bids["minimum_bid_nanos"]) / 1e9, _AUCTIONS / 24).worth
        share = result.summary["campaigns"]["c"]["surplus_expected"] / best
        axes.plot(np.arange(1, len(spent) + 1) / 6, spent * 100, color=colour, lw=1.6, label=f"{name}: {share:.0%} of the best in hindsight")
    axes.set_xlabel("hour of the day (traffic peaks at 18)")
    axes.set_ylabel("% of the budget spent")
    axes.set_xlim(0, 24)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    _save(drawn, "pacers")


def worlds() -> None:
    """Draw the prices paid in two markets: the made-up landscape, and prices as published for iPinYou."""
    drawn, axes = figure(8.2, 3.0)
    for name, colour in (("second_price_truthful", ACCENT), ("calibrated_traffic", SECOND)):
        overrides = {"requests": 60_000, "log.wins": 1_000_000, "history.requests": 2_000}
        result = bidsim.run(bidsim.load_scenario(HERE.parent.parent / "scenarios" / f"{name}.toml", overrides), progress=lambda stage, done, total: None)
        cpm = np.asarray(result.tables["auctions"]["payment_nanos"]) / 1e6
        label = {"second_price_truthful": 'kind = "landscape", median_cpm = 60', "calibrated_traffic": 'kind = "ipinyou"'}[name]
        counts, edges = np.histogram(cpm, 75, (0, 150), density=True)
        axes.stairs(counts, edges, color=colour, lw=1.4, label=label)
    axes.set_xlabel("price paid, CPM")
    axes.set_ylabel("density over wins")
    axes.legend(frameon=False, fontsize=8)
    _save(drawn, "worlds")


if __name__ == "__main__":
    for draw in (formats, policies, pacers, worlds):
        if not sys.argv[1:] or draw.__name__ in sys.argv[1:]:
            draw()
