"""The table and the picture of a sweep."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from bidsim.metrics.intervals import lead_of
from bidsim.reports.charts import ACCENT, INK, SECOND, SOFT, figure, figure_of_two, short, svg
from bidsim.reports.comparison import NOT_SHOWN
from bidsim.reports.terminal import console, print_fitting, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PIPE_WIDTH = 220
_NAMED = 8
_OF_THE_SELLER = ("auction", "market")
_MOST = {"surplus": "Most profit", "revenue": "Most revenue"}


def print_sweep(name: str, key: str, beside: str | None, points: Sequence[Any], replications: int) -> None:
    """Print one row a value: profit, what the worlds beside it earn, and the difference."""
    screen = console(_PIPE_WIDTH)
    screen.print(
        f"{printable(name)}: {replications} worlds for each value, the same seeds; profit is expected surplus, "
        "revenue what publishers earn, +- half of a 95% interval\n",
        markup=False,
    )
    table = Table(box=None, header_style="bold", pad_edge=False)
    timed, judged = _timed(points), not any(isnan(one.figures["auc"].value) for one in points)
    headings = [
        short(key, 28),
        "profit",
        "against the first",
        "wins",
        "conversions",
        "revenue",
        *(["too late"] if timed else []),
        *(["AUC"] if judged else []),
        *([f"profit with {beside}", "profit lost", "wins lost"] if beside else []),
    ]
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for one in points:
        f = one.figures
        row = [
            printable(one.value),
            _both(f["surplus"]),
            "-"
            if one is points[0]
            else f"{one.against['surplus'].value:+,.1f} +- {_half(one.against['surplus']):,.1f}",
            f"{f['wins'].value:,.0f}",
            f"{f['conversions'].value:,.0f}",
            _both(f["revenue"]),
            *([f"{f['late_share'].value:.1%}"] if timed else []),
            *([f"{f['auc'].value:.4f}"] if judged else []),
        ]
        if one.beside:
            row += [_both(one.beside["surplus"]), _both(one.lost["surplus"]), f"{one.lost['wins'].value:,.0f}"]
        table.add_row(*(Text(cell) for cell in row))
    print_fitting(screen, table, "AUC", "too late", "wins lost", "wins", "revenue")
    screen.print()
    for line in verdicts(key, beside, points):
        screen.print(line, markup=False)


def verdicts(key: str, beside: str | None, points: Sequence[Any]) -> list[str]:
    """Which value does best, as far as the worlds show it.

    A key of the exchange is judged by what the seller earns first.
    """
    judged = ["surplus"]
    if key.split(".", maxsplit=1)[0] in _OF_THE_SELLER or key.startswith("traffic.floors"):
        judged.insert(0, "revenue")
    told = [
        f"{_MOST[metric]:<16} {_most(key, metric, points, [p.worlds[metric] for p in points])}" for metric in judged
    ]
    if beside:
        free = _most(key, judged[0], points, [p.worlds_beside[judged[0]] for p in points])
        told.append(f"With {beside}: {free}")
    return told


def _most(key: str, metric: str, points: Sequence[Any], worlds: list[Any]) -> str:
    """The value that leads, with its lead over the next; or that none is shown to."""
    if len(points) == 1:
        return f"{_both(points[0].figures[metric])} at the only value"
    means = [float(values.mean()) for values in worlds]
    first = max(range(len(points)), key=means.__getitem__)
    name = f"{printable(short(key, 40))} = {printable(points[first].value)}"
    leads = lead_of(worlds, first)
    level = [k for k, lead in leads.items() if lead.low <= 0.0]
    if not level:
        next_best = max(leads, key=means.__getitem__)
        ahead = f"{leads[next_best].value:+,.1f} +- {_half(leads[next_best]):,.1f}"
        return f"{name}: {means[first]:,.1f}, ahead of all others (of {printable(points[next_best].value)} by {ahead})"
    close = ", ".join(printable(points[k].value) for k in level[:_NAMED]) + (", ..." if len(level) > _NAMED else "")
    beaten = " (of the others it is)" if len(level) < len(leads) else ""
    return f"{NOT_SHOWN}: {name} is highest ({means[first]:,.1f}), but not surely ahead of {close}{beaten}"


def _timed(points: Sequence[Any]) -> bool:
    """Whether any answer came too late."""
    return any(one.figures["late_share"].value > 0 for one in points)


def _both(interval: Any) -> str:
    return f"{interval.value:,.1f} +- {_half(interval):,.1f}"


def _half(interval: Any) -> float:
    return float(interval.high - interval.low) / 2


def sweep_rows(points: Sequence[Any]) -> list[dict[str, Any]]:
    """One row a point, for JSON."""
    return [
        {"value": p.value, **{part: _figures(getattr(p, part)) for part in ("figures", "beside", "lost", "against")}}
        for p in points
    ]


def _figures(part: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if isnan(found.value) else found._asdict() for name, found in part.items()}


def draw_sweep(key: str, beside: str | None, points: Sequence[Any]) -> str:
    """Draw profit over the values as SVG, with and without what stands beside.

    The share of late answers stands below, where there are any.
    """
    timed = _timed(points)
    drawn, axes = figure_of_two(7.2, 5.0) if timed else figure(7.2, 3.4)
    above, below = axes if timed else (axes, None)
    places = range(len(points))
    if beside:
        free = [p.beside["surplus"].value for p in points]
        above.fill_between(
            places,
            [p.figures["surplus"].value for p in points],
            free,
            color=SOFT,
            alpha=0.5,
            lw=0,
            label="lost to lateness",
        )
        above.plot(places, free, "o--", color=SECOND, lw=1.4, ms=4, label=f"with {beside}")
    above.errorbar(
        places,
        [p.figures["surplus"].value for p in points],
        yerr=[
            [p.figures["surplus"].value - p.figures["surplus"].low for p in points],
            [p.figures["surplus"].high - p.figures["surplus"].value for p in points],
        ],
        fmt="o-",
        color=ACCENT,
        lw=1.8,
        ms=5,
        capsize=3,
        label="as it is",
    )
    above.set_ylabel("expected profit")
    above.legend(frameon=False)
    if below is not None:
        below.bar(places, [100 * p.figures["late_share"].value for p in points], color=SECOND, width=0.5)
        below.set_ylabel("answers too late, %")
    lowest = above if below is None else below
    lowest.set_xticks(places, [short(p.value, 12) for p in points])
    lowest.set_xlabel(key, color=INK)
    return svg(drawn, f"Profit over {key}")
