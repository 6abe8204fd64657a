"""The table and the picture of a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from bidsim.reports.charts import ACCENT, INK, SECOND, SOFT, figure, short, svg
from bidsim.reports.files import write_marked
from bidsim.reports.terminal import console, print_fitting, printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PIPE_WIDTH = 150
_LEAST_SHOWN = 0.0005
"""A smaller part of the first scenario's mean would be told as nothing."""
_SVG = '<?xml version="1.0" encoding="utf-8"?>\n'
NOT_SHOWN = "no difference shown"


def print_comparison(
    base: str, differences: Sequence[Any], replications: int, paired: bool, campaign: str | None = None
) -> None:
    """Print one row a metric and scenario: means, the difference with its interval, and what it says."""
    screen = console(_PIPE_WIDTH)
    how = "the same seeds" if paired else "seeds of their own"
    whose = f" of campaign {printable(campaign)}" if campaign else ""
    screen.print(
        f"{replications} worlds each, {how}; differences{whose} from {printable(base)} with 95% intervals\n",
        markup=False,
    )
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("scenario", "metric", "first", "this", "difference", "95% interval", "", "pairing saves"):
        table.add_column(heading, justify="left" if heading in ("scenario", "metric", "") else "right", no_wrap=True)
    before = ""
    for one in differences:
        name = printable(one.scenario) if one.scenario != before else ""
        before = one.scenario
        told = Text(_words(one), "bold" if one.shown else "dim")
        saves = "-" if one.pairing is None else f"{one.pairing:,.1f}x"
        low, high = one.interval.low, one.interval.high
        table.add_row(
            Text(short(name, 40)),
            one.metric,
            f"{one.base:,.2f}",
            f"{one.other:,.2f}",
            f"{one.interval.value:+,.3f}",
            f"{low:+,.3f} .. {high:+,.3f}",
            told,
            saves,
        )
    print_fitting(screen, table, "pairing saves", "first", "this")


def _words(one: Any) -> str:
    if not one.shown:
        return NOT_SHOWN
    direction = "more" if one.interval.value > 0 else "less"
    if one.base == 0:
        return direction
    share = abs(one.interval.value / one.base)
    return f"{share:.1%} {direction}" if share >= _LEAST_SHOWN else f"under {2 * _LEAST_SHOWN:.1%} {direction}"


def comparison_rows(differences: Sequence[Any]) -> list[dict[str, Any]]:
    """One row a difference, for JSON."""
    return [
        {
            "metric": d.metric,
            "scenario": d.scenario,
            "first": d.base,
            "this": d.other,
            "difference": d.interval.value,
            "low": d.interval.low,
            "high": d.interval.high,
            "shown": d.shown,
            "pairing": d.pairing,
        }
        for d in differences
    ]


def draw_comparison(base: str, differences: Sequence[Any], campaign: str | None = None) -> str:
    """Draw every difference as a part of the first scenario's mean, with its interval, as SVG."""
    drawn, axes = figure(8.2, 1.0 + 0.28 * len(differences))
    for row, one in enumerate(reversed(differences)):
        scale = 100.0 / abs(one.base) if one.base else 0.0
        colour = (ACCENT if one.interval.value > 0 else SECOND) if one.shown else SOFT
        axes.plot(
            [one.interval.low * scale, one.interval.high * scale],
            [row, row],
            color=colour,
            lw=2.2,
            solid_capstyle="round",
        )
        axes.plot([one.interval.value * scale], [row], "o", color=colour, ms=5)
    axes.axvline(0.0, color=INK, lw=0.8)
    axes.set_yticks(range(len(differences)), [f"{short(d.scenario, 24)}: {d.metric}" for d in reversed(differences)])
    axes.set_xlabel(
        f"difference from {short(base, 40)}, %" + (f", campaign {short(campaign, 40)} alone" if campaign else "")
    )
    return svg(drawn, f"Differences from {base}")


def write_picture(path: Path, picture: str) -> None:
    """Write an SVG file.

    Raises:
        UsageError: The file cannot be written, or holds something that bidsim did not write.

    """
    write_marked(path, _SVG + picture, "--plot", _SVG)
