"""Draw the picture of the first page and those of the pages on plug-ins: ``python docs/pictures/draw.py``.

Three minutes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import bidsim
from bidsim.experiments.grading.applied import true_uplifts
from bidsim.explain.advertiser import describe_advertiser
from bidsim.metrics.hindsight import best_in_hindsight
from bidsim.monitoring.monitor import monitor
from bidsim.reports.charts import ACCENT, INK, SECOND, SOFT, figure
from bidsim.scenario.load import scenario_of

HERE = Path(__file__).resolve().parent
_AUCTIONS = 100_000
_OTHERS = ("#8e6c8a", "#2a9d8f", "#d9a441", "#b23a48", "#52606d", "#5a9367", "#c08497", "#1f6f3a", "#e07a5f")


def _run(**blocks: Any) -> bidsim.Result:
    world = {
        "name": "picture",
        "requests": _AUCTIONS,
        "count": "exact",
        "duration": "1d",
        "traffic": {"hours": "flat"},
        "values": {"kind": "independent"},
    }
    return bidsim.run(scenario_of(world | blocks), progress=_quietly)


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
        "soft floor 0.6, equilibrium": (
            {"format": "soft_floor", "soft_floor_cpm": 600.0},
            {"name": "equilibrium", "bidders": 2, "soft_floor_cpm": 600.0},
        ),
    }
    drawn, axes = figure(8.2, 3.4)
    for row, (auction, policy) in enumerate(reversed(cases.values())):
        market = _run(auction=auction, campaigns={k: {"budget": 1e9, "policy": policy} for k in "ab"}).summary["market"]
        revenue, surplus = market["revenue"] / _AUCTIONS, market["surplus_expected"] / _AUCTIONS
        axes.barh(row, revenue, color=ACCENT, label="exchange" if row == 0 else None)
        axes.barh(row, surplus, left=revenue, color=SOFT, label="bidders" if row == 0 else None)
        axes.text(revenue + surplus + 0.005, row, f"{revenue:.3f}", va="center", color=INK, fontsize=8)
    axes.set_yticks(range(len(cases)), list(reversed(cases)))
    axes.set_xlabel(
        "worth of an impression, two bidders with values uniform on [0, 1]; in figures what the exchange gets"
    )
    axes.xaxis.label.set_size(8)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
    _save(drawn, "formats")


def policies() -> None:
    """Draw how fast each policy learns to shade: share of the best surplus over the auctions so far."""
    drawn, axes = figure(8.2, 3.8)
    for k, name in enumerate(
        ("shaded", "best_response", "learned_shading", "logistic_shading", "exp_weights", "thompson", "ucb", "bandit")
    ):
        at, share = _learning_to_shade(name)
        style = {"best_response": (INK, "-"), "learned_shading": (ACCENT, "-"), "logistic_shading": (SECOND, "-")}.get(
            name
        )
        colour, line = style or (_OTHERS[(k + 1) % len(_OTHERS)], "--")
        axes.plot(at, share, line, color=colour, lw=1.5, label=name)
    axes.axhline(1.0, color=SOFT, lw=0.8)
    _auctions_so_far(axes)
    axes.set_ylim(0, 1.1)
    axes.set_ylabel("surplus, as a share of the best known bid's")
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="lower right")
    _save(drawn, "policies")


def _auctions_so_far(axes: Any) -> None:
    axes.set_xscale("log")
    axes.set_xticks([100, 1_000, 10_000, 100_000], ["100", "1,000", "10,000", "100,000"])
    axes.set_xlabel("auctions so far")


def _learning_to_shade(name: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Numbers of auctions in first price, and a policy's surplus until then.

    The surplus is over that of the best bid against known prices.
    """
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
    at = np.unique(np.geomspace(100, len(gain) - 1, 80).astype(int))
    return at, gain[at] / (_known_best(value, np.asarray(bids["minimum_bid_nanos"], float)) * (at + 1))


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
        best = best_in_hindsight(
            np.asarray(bids["value_nanos"]) / 1e9, np.asarray(bids["minimum_bid_nanos"]) / 1e9, _AUCTIONS / 24
        ).worth
        share = result.summary["campaigns"]["c"]["surplus_expected"] / best
        axes.plot(
            np.arange(1, len(spent) + 1) / 6,
            spent * 100,
            color=colour,
            lw=1.6,
            label=f"{name}: {share:.0%} of the best in hindsight",
        )
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
        result = bidsim.run(
            bidsim.load_scenario(HERE.parent.parent / "scenarios" / f"{name}.toml", overrides), progress=_quietly
        )
        cpm = np.asarray(result.tables["auctions"]["payment_nanos"]) / 1e6
        label = {
            "second_price_truthful": 'kind = "landscape", median_cpm = 60',
            "calibrated_traffic": 'kind = "ipinyou"',
        }[name]
        counts, edges = np.histogram(cpm, 75, (0, 150), density=True)
        axes.stairs(counts, edges, color=colour, lw=1.4, label=label)
    axes.set_xlabel("price paid, CPM")
    axes.set_ylabel("density over wins")
    axes.legend(frameon=False, fontsize=8)
    _save(drawn, "worlds")


def notices() -> None:
    """Draw what late notices cost: money overspent where nothing is reserved, money left where bids are."""
    budget, minutes = 1_800.0, [1, 5, 15, 30, 60, 120, 180]
    drawn, axes = figure(8.2, 3.4)
    with_money = _won_at(1e9, None)
    over, left = [], {}
    for delay in minutes:
        sent, paid = with_money
        known = np.concatenate([[0.0], np.cumsum(paid)])[np.searchsorted(sent + delay * 60e6, sent, side="right")]
        over.append(100 * max(paid[known < budget].sum() / budget - 1, 0))
    for lost in (0.0, 0.05):
        left[lost] = [
            100 - 100 * _won_at(budget, {"delay": f"{m}m", "lost": lost, "expire": "4h"})[1].sum() / budget
            for m in minutes
        ]
    axes.plot(minutes, over, color=SECOND, lw=1.8, marker="o", label="overspent, nothing reserved")
    axes.plot(minutes, left[0.0], color=ACCENT, lw=1.8, marker="o", label="left unspent, bids reserved")
    axes.plot(minutes, left[0.05], color=INK, lw=1.5, ls="--", marker="o", label="the same, 5% of notices lost")
    axes.set_xlabel("minutes until a notice comes")
    axes.set_ylabel("% of the budget")
    axes.set_xscale("log")
    axes.set_xticks(minutes, [str(m) for m in minutes])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    _save(drawn, "notices")


def _won_at(budget: float, late: dict[str, Any] | None) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """When impressions of a campaign that bids its value in first price were won, microseconds, and what each cost."""
    result = _run(
        requests=20_000,
        market={"kind": "distribution"},
        auction={"format": "first_price"},
        campaigns={"a": {"budget": budget, "policy": {"name": "shaded", "factor": 0.6}}},
        log={"wins": 100_000},
        **({} if late is None else {"notices": late}),
    )
    return result.auctions["time_us"].to_numpy(), result.auctions["payment_nanos"].to_numpy() / 1e9


def overview() -> None:
    """Draw what the truth is good for: advice, a policy and an alarm, each beside what really is."""
    drawn, axes = figure(12.0, 3.7)
    axes.remove()
    panels = drawn.subplots(1, 3, width_ratios=[1.05, 1, 1])
    for draw, one in zip((_advice_and_truth, _policies_and_truth, _alarm_and_truth), panels, strict=True):
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(colors=INK)
        draw(one)
        one.xaxis.label.set_size(9)
    _save(drawn, "overview")


def _advice_and_truth(axes: Any) -> None:
    """What an advertiser's levers do: by dice, by the model, and really."""
    scenario = bidsim.load_scenario("quickstart", {"requests": 1_000_000, "exploration.share": 0.5})
    page = describe_advertiser(bidsim.run(scenario, progress=_quietly), "softly")
    rows = page["effects"]["levers"][::-1]
    came = true_uplifts(scenario, {("softly", row["lever"]): row["change"] for row in rows})
    words = {
        "price": "a price 5% lower",
        "creative": "a better creative",
        "landing": "a better landing page",
        "shipping_days": "delivery a day sooner",
    }
    for k, row in enumerate(rows):
        low, high, value = (100 * row["uplift"][key] for key in ("low", "high", "value"))
        axes.plot([low, high], [k, k], color=ACCENT, lw=2.5, solid_capstyle="round")
        axes.plot(value, k, "o", color=ACCENT, ms=6, label="what randomised traffic shows, 95%" if k == 0 else None)
        axes.plot(
            100 * row["model_says"],
            k,
            "x",
            color=SECOND,
            ms=8,
            mew=2,
            label="what the model would say" if k == 0 else None,
        )
        axes.plot(100 * came["softly", row["lever"]].expected, k, "|", color=INK, ms=20, mew=2)
    axes.plot([], [], "|", color=INK, ms=8, mew=2, label="the truth")
    axes.axvline(0, color=SOFT, lw=1, zorder=0)
    axes.set_yticks(range(len(rows)), [words[row["lever"]] for row in rows])
    axes.set_ylim(-0.6, len(rows) + 0.9)
    axes.set_xlabel("conversions of an advertiser, change in %")
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.set_title("What would sell more?", loc="left", fontsize=10.5, fontweight="bold", color=INK)


def _policies_and_truth(axes: Any) -> None:
    """How soon policies bid as well as who knows all prices."""
    for name, colour in (
        ("learned_shading", ACCENT),
        ("thompson", "#8e6c8a"),
        ("ucb", "#2a9d8f"),
        ("bandit", "#d9a441"),
    ):
        at, share = _learning_to_shade(name)
        axes.plot(at, 100 * share, color=colour, lw=1.8, label=name)
    axes.axhline(100, color=INK, lw=1.2, label="the best bid, prices known")
    _auctions_so_far(axes)
    axes.set_ylim(20, 112)
    axes.set_ylabel("surplus, % of the best")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    axes.set_title("Who bids best?", loc="left", fontsize=10.5, fontweight="bold", color=INK)


def _alarm_and_truth(axes: Any) -> None:
    """A tracker that breaks, and when the watch says so."""
    incident = {"kind": "tracker_outage", "advertiser": "gloss", "start": "8d"}
    watch = monitor(
        bidsim.run(
            bidsim.load_scenario("quiet_market", {"duration": "12d", "requests": 1_200_000, "incidents": [incident]}),
            progress=_quietly,
        )
    )
    detector, slice_ = watch.detectors["conversions"], [s.name for s in watch.slicing.slices].index("gloss")
    expected, seen = np.array(detector.means)[:, slice_], np.array(detector.came)[:, slice_]
    days = (np.arange(watch.quiet, watch.cells.windows) + 1) * watch.cells.window / 86_400e6
    half = 1.96 * np.sqrt(expected + detector.baseline.overdispersion[slice_] * expected**2)
    axes.fill_between(
        days, np.maximum(expected - half, 0), expected + half, color="#e4e7eb", label="what is normal, 95%"
    )
    axes.plot(days, seen, color=ACCENT, lw=1.8, label="conversions reported")
    axes.axvline(8, color=INK, lw=1.5, label="a tracker breaks")
    axes.axvline(days[watch.pages[0].noticed - watch.quiet], color=SECOND, lw=1.5, ls="--", label="the alarm")
    axes.set_xlabel("days, an advertiser in windows of six hours")
    axes.set_ylim(0, 1.75 * float((expected + half).max()))
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    axes.set_title("What broke, and since when?", loc="left", fontsize=10.5, fontweight="bold", color=INK)


def _quietly(stage: str, done: int, total: int) -> None:
    """Show no progress."""


if __name__ == "__main__":
    for draw in (overview, formats, policies, pacers, worlds, notices):
        if not sys.argv[1:] or draw.__name__ in sys.argv[1:]:
            draw()
