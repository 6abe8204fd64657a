"""The page of the reference that tells how soon the watch notices: all from a report's figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.figures import machine
from bench.monitoring.worlds import LEARNED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.figures import Figure, Report

_AT_SCALE = {
    "false_alarms": "false alarms in 1,000 windows, all slices together, over {windows_in_control:,.0f} quiet windows "
    "of five worlds",
    "false_alarms_upper": "their upper 95% bound",
    "delay_outage": "delay: an advertiser's conversions are gone",
    "delay_all_less_7": "all traffic -7%",
    "delay_30_half": "a slice of 30 expected, -50%",
    "delay_10_zero": "of 10 expected, to zero",
    "delay_3_zero": "of 3 expected, to zero",
    "delay_100_less_20": "of 100 expected, -20%",
    "named_first": "the broken slice is named first, part of these faults",
    "delay_share_up_10": "a level's share +10%: the population's alarm",
    "share_up_10_calibration_alarms": "and alarms of calibration, in 60 such shifts",
    "late_labels_false_alarms": "late labels on the declared curve: false alarms in 1,000 windows",
    "late_labels_departure_delay": "reports two windows later than declared",
    "many_false_alarms": "false alarms in 1,000 windows with {many_slices:,.0f} slices, over "
    "{many_windows_in_control:,.0f} quiet windows of five worlds",
    "many_false_alarms_upper": "their upper 95% bound",
}


def watch_page(report: Report) -> str:
    """Text of the page, in Markdown."""
    figures = {figure.id: figure for figure in report.figures}
    values = {name: figure.value for name, figure in figures.items()}
    at_scale = [
        f"| {told.format(**values)} | {_value(figures[i])} | {_goal(report, figures[i])} |"
        for i, told in _AT_SCALE.items()
        if i in figures
    ]
    engine = [
        f"| `{kind}` | {_value(figures[f'engine_{kind}_delay'])} | {_percent(figures[f'engine_{kind}_named'])} |"
        for kind in (
            i.removeprefix("engine_").removesuffix("_delay")
            for i in figures
            if i.startswith("engine_") and i.endswith("_delay")
        )
    ]
    rules: dict[str, list[str]] = {}
    for name, figure in figures.items():
        if name.startswith("rule_") and f"{name}_delay" in figures:
            rules.setdefault(name.removeprefix("rule_").rpartition("_")[0].replace("_", " "), []).append(
                f"{figure.value:,.0f}: {_delay(figures[f'{name}_delay'])}"
            )
    return f"""# How soon the watch notices

`python -m bench monitoring --out FOLDER` writes this page; {machine()["processor"]}, {machine()["cores"]} cores.
Windows are those of a run in which faults are planted at a known moment.

## At scale

Windows drawn with the scatter that engine runs have (relative variance of a window's mean
{values["overdispersion"]:.5f} for all slices together, {values["overdispersion_by_owner"]:.5f} by advertiser):
200,000 impressions and 4,000 conversions a window, {values["slices"]:,.0f} slices, learned from {LEARNED} windows.

| figure | value | goal |
|---|---|---|
{_lines(at_scale)}

Delays are medians in windows, the faulty one counted, with the range; false alarms with the range over worlds.

## Out of full engine runs

`quiet_market`: {values["engine_quiet_windows"]:,.0f} quiet windows,
{values["engine_quiet_alarms"]:,.0f} incidents of any signal.
Each scenario of `scenarios/incidents/` on seeds that nothing was tuned on:

| incident | windows until noticed, median (range) | the right thing named |
|---|---|---|
{_lines(engine)}

## Beside the usual rules

A slice of 30 expected conversions halves. Each rule at several settings, from eager to patient; a rule on single
slices is charged with its false alarms on all of them.

![False alarms against delay](../pictures/alarms.png)

| rule | false alarms in 1,000 windows: median delay |
|---|---|
{_lines(f"| {name} | {'; '.join(told)} |" for name, told in rules.items())}

AUC and normalised entropy of all traffic are watched at two and at three standard deviations, for 20 windows. The
population stability index needs a level of 5% to become {values["psi_growth"]:.1f} times as large before it reaches
0.1. ADWIN and Page-Hinkley are river's, on the ratio of each slice.

## The worst slices, afterwards

A planted conjunction of two levels, in 60,000 rows: `worst_slices` names it first in
{_percent(figures["worst_slice_bidsim"])} of worlds, in {_seconds(figures, "bidsim")}.
Sliceline, which searches for large errors, in {_percent(figures["worst_slice_sliceline_log_loss"])} on log-loss
and {_percent(figures["worst_slice_sliceline_residuals"])} on absolute
residuals, in {_seconds(figures, "sliceline_log_loss")}: where conversions are *missing*, errors are small.

## What it costs

The loop with and without counting, in turn: {_cost(figures, "won_2000")} of won rows,
{_cost(figures, "all_10000")} of all rows.
"""


def _lines(rows: Iterable[str]) -> str:
    return "\n".join(rows)


def _value(figure: Figure) -> str:
    if figure.value is None:
        return "not measured"
    spread = f" ({figure.spread[0]:.3g} to {figure.spread[1]:.3g})" if figure.spread else ""
    return f"{figure.value:.3g}{spread}"


def _goal(report: Report, figure: Figure) -> str:
    return figure.goal if report.holds(figure) in (True, None) else f"{figure.goal}, **missed**"


def _percent(figure: Figure) -> str:
    return "not measured" if figure.value is None else f"{100 * figure.value:.0f}%"


def _delay(figure: Figure) -> str:
    return figure.note if figure.value is None else f"{figure.value:g}"


def _seconds(figures: dict[str, Figure], name: str) -> str:
    figure = figures.get(f"worst_slice_{name}_seconds")
    return "a time not measured" if figure is None else f"{figure.value:.2g} s"


def _cost(figures: dict[str, Figure], name: str) -> str:
    cost, slices = figures[f"cost_{name}"], figures[f"cost_{name}_slices"]
    low, high = cost.spread or (0.0, 0.0)
    return (
        f"{100 * (cost.value or 0.0):.1f}% of its time ({100 * low:.1f} to {100 * high:.1f}%) for "
        f"{slices.value:,.0f} slices"
    )
