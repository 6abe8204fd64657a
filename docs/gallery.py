"""Draw the gallery: every scenario's question, one picture and the answer, each from a run of it.

``python docs/gallery.py`` takes ten minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import StrMethodFormatter

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import bidsim  # noqa: E402  (the checkout is not installed)
from bidsim.experiments.sweep import sweep  # noqa: E402
from bidsim.monitoring.monitor import monitor  # noqa: E402
from bidsim.monitoring.words import headline  # noqa: E402
from bidsim.reports.charts import ACCENT, INK, SECOND, SOFT, figure  # noqa: E402
from bidsim.scenario.shipped import shipped_scenarios  # noqa: E402

_ROUND, _NEW = 100.0, 1e-6
"""Amounts from here on have no decimals; shares below that are none."""
PICTURES = ROOT / "docs" / "pictures" / "gallery"
Drawn = tuple[Any, str]


def _run(name: str, **changes: Any) -> bidsim.Result:
    return bidsim.run(bidsim.load_scenario(name, changes), progress=lambda stage, done, total: None)


def _bars(values: pd.Series, label: str, best: str = "") -> Any:
    """One bar a name, the best one in colour."""
    drawn, axes = figure(7.2, 0.7 + 0.32 * len(values))
    for row, (name, value) in enumerate(reversed(list(values.items()))):
        axes.barh(row, value, color=ACCENT if name == best else SOFT)
        axes.text(value, row, f" {_amount(value)}", va="center", color=INK, fontsize=8)
    axes.set_yticks(range(len(values)), list(reversed(values.index)))
    axes.set_xlabel(label)
    return drawn


def _campaigns(result: bidsim.Result) -> pd.DataFrame:
    return pd.DataFrame(result.summary["campaigns"]).T


def _earned(name: str) -> Drawn:
    """Who keeps how much."""
    rows = _campaigns(_run(name)).astype({"surplus_expected": float, "eligible": float})
    kept = 1000 * rows["surplus_expected"] / rows["eligible"]
    order = kept.sort_values(ascending=False)
    ratio = order.iloc[0] / order.iloc[1] if order.iloc[1] > 0 else None
    lead = (
        f", {ratio:.1f} times as much as `{order.index[1]}`"
        if ratio is not None
        else f"; `{order.index[1]}` keeps {_amount(order.iloc[1])}"
    )
    last = order.iloc[-1]
    least = f"`{order.index[-1]}` {'loses ' + _amount(-last) if last < 0 else 'keeps ' + _amount(last)}"
    return _bars(
        kept, "expected value of wins less payments, per 1,000 requests", str(order.index[0])
    ), f"`{order.index[0]}` keeps {_amount(order.iloc[0])} per 1,000 requests{lead}; {least}."


def _amount(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= _ROUND else f"{value:,.2f}"


def _quickstart(name: str) -> Drawn:
    result = _run(name)
    rows = _campaigns(result)
    drawn, axes = figure(7.2, 4.2)
    spend, worth = rows["spend"].astype(float), rows["value_expected"].astype(float)
    axes.scatter(spend, worth, color=ACCENT, s=28)
    for campaign in rows.index:
        axes.annotate(
            campaign,
            (spend[campaign], worth[campaign]),
            fontsize=7,
            xytext=(4, 2),
            textcoords="offset points",
            color=INK,
        )
    ends = [float(min(spend.min(), worth.min())), float(max(spend.max(), worth.max()))]
    axes.loglog(ends, ends, color=SOFT, lw=1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel("paid")
    axes.set_ylabel("expected worth of what was bought")
    lost = int((worth < spend).sum())
    bought = f"{int(rows['wins'].sum()):,} impressions and {int(rows['conversions'].sum()):,} credited conversions"
    pays = "none pays more than that" if lost == 0 else f"{lost} of them pay{'s' if lost == 1 else ''} more than that"
    return (
        drawn,
        f"{len(rows)} campaigns pay {spend.sum():,.0f} for {bought}, worth {worth.sum():,.0f} in expectation; {pays}.",
    )


def _calibrated(name: str) -> Drawn:
    rows = _run(name).auctions
    drawn, axes = figure(7.2, 2.8)
    paid = rows["payment_nanos"] / 1e6
    axes.hist(paid.clip(upper=300), bins=60, color=ACCENT)
    axes.set_ylabel("impressions")
    axes.set_xlabel("price paid, CPM in the unit of the data set (300 and more together)")
    seen = rows.groupby("user").size().value_counts(normalize=True).sort_index()
    cost = (
        f"Half of the impressions cost a CPM of {paid.median():.0f} or less, one in ten more than "
        f"{paid.quantile(0.9):.0f}"
    )
    return (
        drawn,
        f"{cost}; {100 * seen.iloc[0]:.0f}% of the users who are reached see one impression. `python -m bench "
        "realism` says how far these are from what was published.",
    )


def _delayed(name: str) -> Drawn:
    rows = _run(name).conversions
    order = rows.groupby("campaign")["observed"].mean().sort_values()
    drawn, axes = figure(7.2, 3.0)
    for campaign, colour in zip(order.index, (SECOND, ACCENT), strict=True):
        mine = rows[rows["campaign"] == campaign]
        day = np.sort((mine["time_us"] - mine["credit_time_us"]) / 8.64e10)
        axes.plot(day, np.arange(1, len(day) + 1) / len(day), color=colour, label=campaign)
    axes.set_xlabel("days from the click to the conversion")
    axes.set_ylabel("part that has happened")
    axes.legend(frameon=False)
    seen = (
        f"When the week ends `{order.index[0]}` has seen {100 * order.iloc[0]:.0f}% of what it sold, "
        f"`{order.index[-1]}` {100 * order.iloc[-1]:.0f}%."
    )
    return drawn, f"{seen} Judged that day, the first looks worse than it is."


def _repurchase(name: str) -> Drawn:
    result = _run(name)
    credited = _campaigns(result).groupby("product")["conversions_eventual"].sum().astype(float)
    caused = pd.Series({line["product"]: float(line["purchases_caused_realised"]) for line in result.summary["lines"]})[
        credited.index
    ]
    lines = credited
    drawn, axes = figure(7.2, 2.2)
    places = np.arange(len(lines))
    axes.barh(places + 0.2, credited, 0.38, color=SOFT, label="credited to ads")
    axes.barh(places - 0.2, caused, 0.38, color=ACCENT, label="caused by ads")
    axes.set_yticks(places, list(lines.index))
    axes.set_xlabel("purchases")
    axes.legend(frameon=False)
    told = "; ".join(
        f"{line}: {c:,.0f} credited, {t:,.0f} caused ({100 * t / c:.0f}%)"
        for line, c, t in zip(lines.index, credited, caused, strict=True)
    )
    return drawn, f"{told}. What is bought every month is credited to ads that changed little."


def _models(name: str) -> Drawn:
    rows = _campaigns(_run(name))
    kept = rows["surplus_expected"].astype(float).groupby(rows["advertiser"]).sum()
    best = str(kept.idxmax())
    return (
        _bars(kept, "expected value of wins less payments", best),
        f"`{best}` keeps {kept.max():,.0f}, `{kept.idxmin()}` {kept.min():,.0f}: that difference is what the better "
        "model is worth in this market.",
    )


def _slow(name: str) -> Drawn:
    trees = ["30", "100", "200", "300", "500"]
    listed = []
    for count in trees:
        own = {"seats.main.model.trees": int(count)}
        listed.append(
            (count, bidsim.load_scenario(name, own), bidsim.load_scenario(name, {**own, "deadline.tmax": "1h"}))
        )
    found = sweep(listed, replications=2, progress=lambda stage, done, total: None)
    drawn, axes = figure(7.2, 3.2)
    timed, free = [p.figures["surplus"].value for p in found], [p.beside["surplus"].value for p in found]
    axes.plot(trees, free, "o--", color=SECOND, label="with all the time in the world")
    axes.plot(trees, timed, "o-", color=ACCENT, label="with 100 ms")
    axes.set_xlabel("trees")
    axes.set_ylabel("expected profit")
    axes.legend(frameon=False)
    most, best = trees[int(np.argmax(free))], trees[int(np.argmax(timed))]
    lost = 1.0 - timed[-1] / free[-1]
    chosen = (
        f"{most} trees earn most"
        if most == best
        else f"With time enough {most} trees earn most, with 100 milliseconds {best}"
    )
    return (
        drawn,
        f"{chosen}: up to a point a better model pays, then lateness eats it. With {trees[-1]} trees it eats "
        f"{lost:.0%} of the profit.",
    )


def _watched(name: str) -> Drawn:
    """Conversions over those due, window by window, of what the incident is about."""
    result = _run(name)
    watch = monitor(result)
    page = watch.pages[0] if watch.pages else None
    signal = watch.signals[page.alarms[0].signal.kind] if page else watch.signals["conversions"]
    s = page.alarms[0].alarm.slice if page else 0
    drawn, axes = figure(7.2, 2.6)
    base, came = signal.base[:, s], signal.came[:, s] if signal.seen is None else signal.seen[:, s]
    level = came[: watch.quiet].sum() / max(base[: watch.quiet].sum(), 1e-12)
    days = np.arange(len(base)) * watch.cells.window / 8.64e10
    # what was never there has no normal; its share is drawn
    new = level < _NEW
    axes.plot(days, came / np.maximum(base, 1e-12) * (100.0 if new else 1.0 / max(level, 1e-12)), color=ACCENT, lw=1.6)
    axes.axhline(0.0 if new else 1.0, color=SOFT, lw=1)
    if page is not None:
        axes.axvspan(
            page.since * watch.cells.window / 8.64e10,
            (page.until or len(base)) * watch.cells.window / 8.64e10,
            color=SECOND,
            alpha=0.15,
            lw=0,
        )
    axes.set_xlabel("day")
    axes.set_ylabel(f"{signal.kind}, %" if new else f"{signal.kind}, over normal")
    axes.set_title(signal.slices[s].name, loc="left", fontsize=9)
    quiet = f"It stays quiet: {watch.cells.windows - watch.quiet} windows, {len(signal.slices):,} slices, no alarm."
    return drawn, (f"{headline(page, watch)} (noticed in window {page.noticed - page.since + 1})" if page else quiet)


MAKERS: dict[str, Callable[[str], Drawn]] = {
    "quickstart": _quickstart,
    "calibrated_traffic": _calibrated,
    "delayed_conversions": _delayed,
    "repurchase_cycle": _repurchase,
    "model_against_model": _models,
    "slow_model": _slow,
    "quiet_market": _watched,
}
"""Who draws a scenario; of the others incidents are watched, and all else is told by what its campaigns keep."""


def main() -> None:
    """Run every scenario, or those that are named, and write their part of the page."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page = ROOT / "docs" / "gallery.md"
    old = _parts(page.read_text(encoding="utf-8")) if page.exists() else {}
    wanted = sys.argv[1:]
    parts = [
        "# Gallery",
        "",
        "Every scenario that comes with bidsim: its question, a picture, the answer of seed 0. `python "
        "docs/gallery.py` draws it anew; `bidsim run NAME` runs one.",
        "",
    ]
    for name, question in shipped_scenarios().items():
        if wanted and name not in wanted and name in old:
            parts += old[name]
            continue
        maker = MAKERS.get(name) or (_watched if name.startswith("incidents/") else _earned)
        drawn, answer = maker(name)
        file = f"{name.replace('/', '-')}.png"
        drawn.savefig(PICTURES / file, dpi=100)
        parts += [f"## {name}", "", f"*{question}*", "", f"![{question}](pictures/gallery/{file})", "", answer, ""]
        print(f"drew {name}: {answer}")
    page.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")


def _parts(text: str) -> dict[str, list[str]]:
    """Lines of each scenario in the page as it is."""
    return {block.split("\n", 1)[0]: [f"## {block}".rstrip(), ""] for block in text.split("\n## ")[1:]}


if __name__ == "__main__":
    main()
