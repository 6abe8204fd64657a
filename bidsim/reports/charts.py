"""Charts as inline SVG, the same bytes for the same figures."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INK, SOFT, ACCENT, SECOND = "#1f2933", "#cbd2d9", "#0b6e99", "#c2571a"
LOSS_COLOURS = ("#0b6e99", "#9aa5b1", "#c2571a", "#d9a441", "#2a9d8f", "#8e6c8a", "#b23a48", "#5a9367", "#52606d")


def figure(width: float, height: float) -> tuple[Any, Any]:
    """Return a matplotlib figure and axes in the house style."""
    import matplotlib as mpl  # noqa: PLC0415  (0.5 s: only when something is drawn)
    from matplotlib.figure import Figure  # noqa: PLC0415

    mpl.rcParams.update(
        {
            "svg.hashsalt": "bidsim",
            "svg.fonttype": "none",
            "font.size": 9,
            "font.family": "sans-serif",
            "text.parse_math": False,
        }
    )
    drawn = Figure(figsize=(width, height), layout="constrained")
    axes = drawn.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)
    return drawn, axes


def figure_of_two(width: float, height: float) -> tuple[Any, Any]:
    """Return a figure and two axes, a high one above a low one that share their x."""
    drawn, axes = figure(width, height)
    axes.remove()
    both = drawn.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    for one in both:
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(colors=INK)
    return drawn, both


def svg(drawn: Any, title: str) -> str:
    """Write a figure as an SVG element with a title, without metadata or outside references."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # text stays text, so what matplotlib's own font lacks does not matter
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        drawn.savefig(
            buffer,
            format="svg",
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
            transparent=True,
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    safe = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return text.replace("<svg ", f'<svg role="img" aria-label="{safe}" ', 1)


def short(name: str, width: int = 26) -> str:
    """Cut a label."""
    return name if len(name) <= width else name[: width - 1] + "…"


def lines_over_days(days: Sequence[float], series: Mapping[str, Sequence[float]], label: str, title: str) -> str:
    """Draw one or more lines over days, of which the first is 1."""
    drawn, axes = figure(8.2, 2.6)
    for (name, values), colour in zip(series.items(), (ACCENT, SECOND, INK), strict=False):
        axes.plot(days, values, color=colour, lw=1.3, label=name)
    axes.set_xlabel("day, the first is 1")
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)
    if len(series) > 1:
        axes.legend(frameon=False)
    return svg(drawn, title)


def stacked_shares(names: Sequence[str], shares: Mapping[str, Sequence[float]], title: str) -> str:
    """Draw horizontal bars that add up to 100% each."""
    drawn, axes = figure(8.2, 0.9 + 0.24 * len(names))
    left = [0.0] * len(names)
    for (label, values), colour in zip(shares.items(), LOSS_COLOURS, strict=False):
        axes.barh(range(len(names)), values, left=left, color=colour, label=label, height=0.75)
        left = [a + b for a, b in zip(left, values, strict=True)]
    axes.set_yticks(range(len(names)), [short(n) for n in names])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of targeted requests")
    axes.legend(frameon=False, ncols=5, loc="lower left", bbox_to_anchor=(0, 1.0), fontsize=8)
    return svg(drawn, title)


def points_with_line(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], xlabel: str, ylabel: str, title: str
) -> str:
    """Draw each series of x and y beside the line on which both agree."""
    drawn, axes = figure(4.4, 3.4)
    most = max([1e-12, *(value for pair in series.values() for values in pair for value in values)]) * 1.05
    axes.plot([0, most], [0, most], color=SOFT, lw=1)
    for (name, (x, y)), colour, mark in zip(series.items(), (ACCENT, SECOND), "os", strict=False):
        axes.plot(x, y, f"{mark}-", color=colour, ms=4, lw=1, label=name)
    if len(series) > 1:
        axes.legend(frameon=False)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    return svg(drawn, title)


def bars(names: Sequence[str], values: Sequence[float], label: str, title: str) -> str:
    """Draw one horizontal bar for each name, the value at its end."""
    drawn, axes = figure(5.2, 0.7 + 0.26 * len(names))
    axes.barh(range(len(names)), values, color=ACCENT, height=0.7)
    for k, value in enumerate(values):
        axes.text(value, k, f" {value:.1f}", va="center", color=INK, fontsize=8)
    axes.set_yticks(range(len(names)), [short(n) for n in names])
    axes.invert_yaxis()
    axes.set_xlim(0, max([*values, 1e-12]) * 1.15)
    axes.set_xlabel(label)
    return svg(drawn, title)


def intervals(names: Sequence[str], values: Sequence[tuple[float, ...]], label: str, title: str) -> str:
    """Draw estimates with their intervals (value, low, high), and the line of no effect."""
    drawn, axes = figure(5.2, 0.9 + 0.36 * len(names))
    axes.axvline(0, color=SOFT, lw=1)
    for k, (value, low, high) in enumerate(values):
        axes.plot([low, high], [k, k], color=ACCENT, lw=2)
        axes.plot(value, k, "o", color=ACCENT, ms=6)
    axes.set_yticks(range(len(names)), [short(n, 40) for n in names])
    axes.invert_yaxis()
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(label)
    return svg(drawn, title)


def labelled_line(
    x: Sequence[float], y: Sequence[float], labels: Sequence[str], xlabel: str, ylabel: str, title: str
) -> str:
    """Draw a line through points that have names."""
    drawn, axes = figure(5.2, 3.0)
    axes.plot(x, y, "o-", color=ACCENT, ms=5, lw=1.2)
    for a, b, name in zip(x, y, labels, strict=True):
        axes.annotate(short(name), (a, b), textcoords="offset points", xytext=(6, -10), fontsize=8, color=INK)
    axes.set_xlim(0, max([*x, 1e-12]) * 1.12)
    axes.set_ylim(0, max([*y, 1e-12]) * 1.12)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    return svg(drawn, title)


def points_with_errors(
    x: Sequence[float], y: Sequence[tuple[float, float, float]], xlabel: str, ylabel: str, title: str
) -> str:
    """Draw points with intervals (value, low, high) beside the line on which both agree."""
    drawn, axes = figure(4.4, 3.2)
    most = max([*x, *(high for _, _, high in y), 1e-12]) * 1.05
    axes.plot([0, most], [0, most], color=SOFT, lw=1)
    for a, (value, low, high) in zip(x, y, strict=True):
        axes.plot([a, a], [low, high], color=ACCENT, lw=1.5)
        axes.plot(a, value, "o", color=ACCENT, ms=5)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    return svg(drawn, title)


def grouped_bars(names: Sequence[str], series: Mapping[str, Sequence[float]], label: str, title: str) -> str:
    """Draw for each name one horizontal bar of each series."""
    drawn, axes = figure(6.6, 0.9 + 0.55 * len(names))
    height = 0.8 / len(series)
    for j, ((name, values), colour) in enumerate(zip(series.items(), ("#7b8794", ACCENT, SECOND), strict=False)):
        axes.barh(
            [k + (j - (len(series) - 1) / 2) * height for k in range(len(names))],
            values,
            height=height,
            color=colour,
            label=name,
        )
    axes.set_yticks(range(len(names)), [short(n) for n in names])
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.legend(frameon=False, fontsize=8)
    return svg(drawn, title)


def band_over_days(
    days: Sequence[float],
    came: Sequence[float],
    expected: Sequence[float],
    half: Sequence[float],
    since: Sequence[float],
    name: str,
    title: str,
    unit: str = "conversions",
) -> str:
    """Draw counts or shares beside what was expected with its band, and a line where each incident began."""
    drawn, axes = figure(8.2, 2.1)
    low, high = ([max(m + sign * h, 0.0) for m, h in zip(expected, half, strict=True)] for sign in (-1, 1))
    axes.fill_between(days, low, high, color=SOFT, alpha=0.6, lw=0, label="95% of quiet windows")
    axes.plot(days, expected, color=INK, lw=1, ls="--", label="expected")
    axes.plot(
        days,
        came,
        color=ACCENT,
        lw=1.3,
        marker="o" if len(days) == 1 else None,
        label="reported" if unit == "conversions" else "came",
    )
    for n, x in enumerate(since):
        axes.axvline(x, color=SECOND, lw=1, label="an incident begins" if n == 0 else None)
    axes.set_title(name, loc="left", fontsize=9)
    axes.set_xlabel("day, the first is 1")
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=7, ncols=4, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    return svg(drawn, title)


def heat_map(names: Sequence[str], days: Sequence[float], values: Any, title: str) -> str:
    """Draw rows of numbers from -5 to 5 over days, the middles of equal windows, red below and blue above."""
    drawn, axes = figure(8.2, 0.9 + 0.145 * max(len(names), 4))
    half = (days[-1] - days[0]) / (2 * (len(days) - 1)) if len(days) > 1 else 0.5
    edges = [days[0] - half, days[-1] + half] if days else [0.0, 1.0]
    shown = axes.imshow(
        values,
        aspect="auto",
        cmap="RdBu",
        vmin=-5,
        vmax=5,
        interpolation="nearest",
        extent=(edges[0], edges[1], len(names) - 0.5, -0.5),
    )
    axes.set_yticks(range(len(names)), names, fontsize=6)
    axes.set_xlabel("day, the first is 1")
    drawn.colorbar(shown, ax=axes, shrink=0.6, label="standard deviations")
    return svg(drawn, title)


def rates_by_bin(lines: Mapping[str, Sequence[tuple[float, float, float]]], title: str) -> str:
    """Draw (predicted, rate, standard error) on logarithmic axes beside the line on which both agree."""
    drawn, axes = figure(4.8, 3.4)
    seen = [v for points in lines.values() for x, y, _ in points for v in (x, y) if v > 0] or [1e-3, 1e-1]
    axes.plot([min(seen), max(seen)], [min(seen), max(seen)], color=SOFT, lw=1)
    for (name, points), colour in zip(lines.items(), ("#7b8794", ACCENT), strict=False):
        axes.errorbar(
            [x for x, _, _ in points],
            [y for _, y, _ in points],
            yerr=[1.96 * e for _, _, e in points],
            fmt="o-",
            ms=4,
            lw=1,
            color=colour,
            label=name,
        )
    for axis, scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
        scale("log")
        axis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        axis.set_minor_formatter(lambda value, _: "")
    axes.set_xlabel("predicted")
    axes.set_ylabel("reported so far")
    axes.legend(frameon=False, fontsize=8)
    return svg(drawn, title)
