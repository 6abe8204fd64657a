"""What `bidsim monitor` prints, and what `bidsim run --watch` shows while a run goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from bidsim.monitoring.cells import OWNER
from bidsim.reports.terminal import MOST_ROWS, console, largest, print_fitting, printable

if TYPE_CHECKING:
    from rich.console import RenderableType

_PIPE_WIDTH = 120
_FEWEST_ROWS, _MOST_ROWS = 3, 24
RATIO = (
    "ratio: conversions that came over those due by now, drawn towards normal as far as chance may explain it; "
    "normal: what it was in windows before without alarm, where little came drawn towards all traffic"
)


def print_watch(content: dict[str, Any]) -> None:
    """Print incidents, then the slices that matter most."""
    screen = console(_PIPE_WIDTH)
    run = content["run"]
    screen.print(
        f"Watched {run['watched']} windows of {run['hours']:g} h in {run['slices']:,} slices, from {run['from']}; the "
        f"{run['quiet']} before are taken for normal.",
        markup=False,
    )
    if not content["incidents"]:
        screen.print(Text("Quiet: no alarm sounded.", style="green"))
    for n, page in enumerate(content["incidents"][:MOST_ROWS]):
        state = Text("OPEN", style="bold red") if page["until"] is None else Text("over", style="dim")
        screen.print()
        screen.print(Text.assemble(f"{n + 1}. ", state, "  ", (printable(page["headline"]), "bold")))
        screen.print(
            Text(
                f"   Noticed {page['noticed']}; {page['alarms']:,} alarm{'' if page['alarms'] == 1 else 's'}. "
                f"{printable(page['advice'])}"
            )
        )
        for told in page["others"][:5]:
            screen.print(Text(f"   - {printable(told)}", style="dim"))
    if (more := len(content["incidents"]) - MOST_ROWS) > 0:
        screen.print(f"\n... and {more:,} more incidents, on the page", markup=False)
    if content["planned"]:
        screen.print()
    for told in content["planned"][:MOST_ROWS]:
        screen.print(Text(printable(told), style="dim"))
    if (more := len(content["planned"]) - MOST_ROWS) > 0:
        screen.print(Text(f"... and {more:,} more flights, on the page", style="dim"))
    screen.print()
    screen.print(signal_table(content))
    screen.print()
    print_fitting(screen, slice_rows(content), "AUC", "entropy", "predicted", "CPM")
    screen.print(Text(RATIO, style="dim"))


def signal_table(content: dict[str, Any]) -> Table:
    """What was watched, and how many alarms it gave."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("watched")
    for name in ("slices", "alarms", "open", "scatter beyond Poisson's"):
        table.add_column(name, justify="right")
    for row in content["signals"]:
        table.add_row(
            row["signal"],
            f"{row['slices']:,}",
            f"{row['alarms']:,}",
            f"{row['open']:,}",
            f"{100 * (row['overdispersion'] or 0) ** 0.5:.0f}%",
        )
    return table


def slice_rows(content: dict[str, Any]) -> Table:
    """All traffic, and its owners or else its largest levels."""
    slices = content["slices"]
    names = slices["slice"]
    all_owners = [k for k, kind in enumerate(slices["kind"]) if kind == OWNER]
    owners = all_owners[:_MOST_ROWS]
    chosen = [0, *(owners if len(owners) >= _FEWEST_ROWS else range(1, min(len(names), _MOST_ROWS)))]
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("slice", no_wrap=True, overflow="ellipsis", max_width=32)
    for name in ("impressions", "predicted", "due", "came", "ratio (95%)", "normal", "entropy", "AUC", "CPM"):
        table.add_column(name, justify="right", no_wrap=True)
    for k in chosen:
        told = [slices[key][k] for key in ("predicted", "due", "converted")]
        shown = slices["impressions"][k] > 0
        ratio = "-" if not shown else f"{slices['ratio'][k]:.2f} ({slices['low'][k]:.2f}-{slices['high'][k]:.2f})"
        table.add_row(
            printable(names[k]),
            f"{slices['impressions'][k]:,}",
            *(f"{v:,.0f}" for v in told),
            ratio,
            *(_or_dash(slices[key][k] if shown else None) for key in ("normal", "normalised_entropy", "auc", "cpm")),
        )
    if len(all_owners) > len(owners) >= _FEWEST_ROWS:
        table.add_row(f"... and {len(all_owners) - len(owners):,} more, on the page")
    return table


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def live_view(done: int, total: int, rows: list[dict[str, Any]], incidents: list[str], when: str) -> RenderableType:
    """One frame of the live view: how far the run is, advertisers so far, incidents."""
    table = Table(
        title=f"{when}, {done:,} of {total:,} requests",
        title_justify="left",
        box=None,
        header_style="bold",
        pad_edge=False,
    )
    table.add_column("advertiser", no_wrap=True, overflow="ellipsis", max_width=28)
    for name in ("wins", "paid", "clicks", "predicted", "reported", "reported by window"):
        table.add_column(name, justify="right" if name != "reported by window" else "left", no_wrap=True)
    shown = largest(dict(enumerate(rows)), lambda row: (row["paid"], row["wins"]))
    for row in shown.values():
        table.add_row(
            printable(row["advertiser"]),
            f"{row['wins']:,}",
            f"{row['paid']:,.2f}",
            f"{row['clicks']:,}",
            f"{row['predicted']:,.0f}",
            f"{row['reported']:,}",
            sparkline(row["by_window"]),
        )
    if len(shown) < len(rows):
        table.add_row(f"... and {len(rows) - len(shown):,} more, which paid less")
    table.caption_justify = "left"
    table.caption = Text("\n".join(incidents), style="bold red") if incidents else Text("no incident", style="green")
    return table


def sparkline(values: list[int]) -> str:
    """The last values as blocks."""
    shown = values[-24:]
    most = max([*shown, 1])
    return "".join(" ▁▂▃▄▅▆▇█"[round(8 * v / most)] for v in shown)
