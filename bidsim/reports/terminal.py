"""The table that a run prints."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from bidsim.core.result import Result

_LOSS_LABELS = {
    "not_targeted": "not targeted",
    "budget": "budget",
    "frequency_cap": "frequency cap",
    "paced": "paced",
    "no_bid": "no bid",
    "timeout": "timeout",
    "internal": "internal",
    "below_floor": "below floor",
    "outbid": "outbid",
}
_PIPE_WIDTH = 170
MOST_ROWS = 20
"""Rows of a table of campaigns, seats or advertisers on a terminal; the largest are shown."""
_ONE_TABLE = 116
_WIDEST = 10_000
_COMPILED = 5.0
"""Seconds that loading kernels takes only where some are compiled."""
_LOSS_HEADING = "most opportunities lost to\n(of requests targeted)"
Column = tuple[str, Callable[[dict[str, Any]], str]]
_BLOCKS = " ▁▂▃▄▅▆▇█"


def print_result(result: Result) -> None:
    """Print the campaigns' table, the market, the model, and what to do next."""
    screen = console(_PIPE_WIDTH)
    everyone = result.summary["campaigns"]
    campaigns = largest(everyone, lambda row: (row["spend"], row["wins"], row["bids"], row["eligible"]))
    full = _columns(result)
    parts = [full] if screen.width >= _ONE_TABLE else [full[:_TRADED], full[_TRADED:]]
    for columns in parts:
        screen.print(_campaign_table(campaigns, columns, 28 if len(parts) == 1 else 22))
    if left := _left_out(len(campaigns), len(everyone)):
        screen.print(f"{left}; campaigns.parquet has all, and --json prints them", markup=False)
    screen.print(_spend_picture(result))
    for line in _closing(result):
        screen.print(line, markup=False)


def largest(rows: dict[Any, Any], size: Callable[[Any], Any]) -> dict[Any, Any]:
    """Rows that a terminal has room for, in their order: all, or the largest where there are many."""
    if len(rows) <= MOST_ROWS:
        return rows
    kept = set(sorted(rows, key=lambda name: size(rows[name]), reverse=True)[:MOST_ROWS])
    return {name: row for name, row in rows.items() if name in kept}


def _left_out(shown: int, every: int) -> str:
    return f"... and {every - shown:,} more of {every:,} campaigns, which spent less" if shown < every else ""


def _campaign_table(campaigns: dict[str, Any], columns: Sequence[Column], widest: int) -> Table:
    table = Table(title="Campaigns", title_justify="left", box=None, header_style="bold", pad_edge=False)
    table.add_column("campaign", overflow="ellipsis", max_width=widest, no_wrap=True)
    for heading, _ in columns:
        table.add_column(
            heading, justify="left" if heading == _LOSS_HEADING else "right", no_wrap=True, overflow="ellipsis"
        )
    for name, row in campaigns.items():
        table.add_row(Text(printable(name)), *(show(row) for _, show in columns))
    return table


def console(pipe_width: int) -> Console:
    """Console on standard output, as wide as the terminal; ``pipe_width`` where it is none."""
    return Console(width=None if sys.stdout.isatty() else pipe_width, highlight=False)


def print_fitting(screen: Console, table: Table, *dispensable: str) -> None:
    """Print a table without those columns that the terminal has no room for, the most dispensable first.

    Figures are never cut.
    """

    def needed() -> int:
        return screen.measure(table, options=screen.options.update(width=_WIDEST)).maximum

    left_out = []
    for heading in dispensable:
        if needed() <= screen.width:
            break
        if heading in [column.header for column in table.columns]:
            table = _without(table, heading)
            left_out.append(heading)
    # what is wider still, the terminal goes on with in the next line
    screen.width, before = max(screen.width, needed()), screen.width
    screen.print(table)
    screen.width = before
    if left_out:
        screen.print(f"(no room for {', '.join(left_out)}: a wider terminal or --json shows all)", markup=False)


def _without(table: Table, heading: str) -> Table:
    kept = [column for column in table.columns if column.header != heading]
    found = Table(box=table.box, header_style=table.header_style, pad_edge=table.pad_edge)
    for column in kept:
        found.add_column(
            column.header,
            justify=column.justify,
            no_wrap=column.no_wrap,
            overflow=column.overflow,
            max_width=column.max_width,
        )
    for row in zip(*(column.cells for column in kept), strict=True):
        found.add_row(*row)
    return found


def printable(name: str) -> str:
    """Show a name on one line, control characters made visible."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _main_losses(lost: dict[str, int], wins: int) -> str:
    targeted = wins + sum(count for reason, count in lost.items() if reason != "not_targeted")
    found = sorted(
        ((count, reason) for reason, count in lost.items() if reason != "not_targeted" and count), reverse=True
    )[:2]
    return (
        ", ".join(f"{_LOSS_LABELS[reason]} {100 * count / targeted:.0f}%" for count, reason in found)
        if targeted
        else "no request matched"
    )


def _spend_picture(result: Result) -> Text:
    """Spend over time as a line of blocks, all campaigns together."""
    timeline = result.tables["timeline"]
    buckets = len(set(timeline["start_us"].tolist()))
    spend = timeline["payment_nanos"].reshape(-1, buckets).sum(axis=0)
    columns = min(84, buckets)
    groups = [spend[k * buckets // columns : (k + 1) * buckets // columns].sum() for k in range(columns)]
    most = max([*groups, 1])
    return Text("\nSpend over time  " + "".join(_BLOCKS[min(8, int(8 * g / most + 0.999))] for g in groups))


_TRADED = 6
_FULL: tuple[Column, ...] = (
    ("requests\neligible", lambda row: f"{row['eligible']:,}"),
    ("\nbids", lambda row: f"{row['bids']:,}"),
    ("\nwins", lambda row: f"{row['wins']:,}"),
    ("win\nrate", lambda row: _percent(row["win_rate"])),
    ("\nspend", lambda row: f"{row['spend']:,.2f}"),
    ("of\nbudget", lambda row: _percent(row["spend"] / (row["budget"] * row.get("episodes", 1)))),
    ("conver-\nsions", lambda row: f"{row['conversions']:,}"),
    ("\nCPA", lambda row: _money(row["cpa"])),
    ("\nROAS", lambda row: _money(row["roas"])),
    (_LOSS_HEADING, lambda row: _main_losses(row["lost"], row["wins"])),
)
"""All columns; on a narrow terminal the first ``_TRADED`` make a table of their own."""


def _columns(result: Result) -> tuple[Column, ...]:
    """The columns of a run; where a replay's bidders are after clicks, these are told, and what one cost."""
    if not result.facts.bids_for_clicks:
        return _FULL
    clicks: dict[str, Column] = {
        "conver-\nsions": ("\nclicks", lambda row: f"{row['clicks']:,}"),
        "\nCPA": ("\nCPC", lambda row: _money(row["spend"] / row["clicks"] if row["clicks"] else None)),
    }
    return tuple(clicks.get(column[0], column) for column in _FULL)


def _seat_lines(result: Result) -> list[str]:
    """How good each seat's model is, and how many of its answers came too late; of many seats the first."""
    lines = []
    models = {seat: figures for seat, figures in result.summary["models"].items() if figures}
    for seat, figures in list(models.items())[:MOST_ROWS]:
        model, oracle = figures["model"], figures["oracle"]
        judged = "where it was trained: " if "as_trained" in figures else ""
        lines += [
            (
                f"Model {printable(seat)[:10]:<10} {judged}AUC {model['auc']:.3f} (oracle {oracle['auc']:.3f}), "
                f"log-loss {model['log_loss']:.5f} (oracle {oracle['log_loss']:.5f}, "
                f"base rate {figures['base_rate']['log_loss']:.5f}), "
                f"prediction / truth {model['prediction_over_truth']:.3f}, "
                f"on won rows {_money(result.summary['winners_curse'][seat])}"
            ),
            f"Scored by        {result.facts.scorers[seat]}",
        ]
    answers = result.summary.get("answers", {})
    late_first = sorted(answers, key=lambda seat: -answers[seat]["late"])
    shown = list(answers) if len(answers) <= MOST_ROWS else late_first[:MOST_ROWS]
    lines += [_answers(printable(seat), answers[seat]) for seat in shown]
    if (more := max(len(models), len(answers)) - MOST_ROWS) > 0:
        lines.append(f"... and {more:,} more seats; --json prints all")
    return lines


def _closing(result: Result) -> list[str]:
    market, facts = result.summary["market"], result.facts
    share = 100 * market["sold_to_campaigns"] / max(market["requests"], 1)
    lines = [
        (
            f"Market           {market['requests']:,} requests, {share:.1f}% sold to campaigns, revenue "
            f"{market['revenue']:,.2f} "
            f"(publishers {market['publisher_revenue']:,.2f}, fee {market['exchange_fee']:,.2f})"
        ),
        f"Value            expected welfare {market['welfare_expected']:,.2f}, surplus "
        f"{market['surplus_expected']:,.2f}",
        *_seat_lines(result),
        *(f"Log              {printable(note)}" for note in facts.notes),
        *(f"Warning          {printable(told)}" for told in result.summary.get("warnings", ())),
    ]
    if explored := result.summary.get("exploration"):
        lines.append(
            f"Explored         {explored['impressions']:,} impressions, {explored['conversions']:,} conversions; "
            "levers set by dice changed "
            f"conversions by {explored['conversions_change_expected']:+,.1f} (expected) and spend by about "
            f"{explored['spend_change']:+,.2f}"
        )
    seconds = facts.seconds
    loaded = f" and {seconds['load']:.1f} s for compiling, which is kept" if seconds["load"] > _COMPILED else ""
    lines.append(
        f"Speed            {facts.requests_per_second:,.0f} requests/s through the loop; "
        f"{seconds['total']:.1f} s in all, of which {seconds['build']:.1f} s for history and training{loaded}"
    )
    if times := facts.decision_ns:
        lines.append(
            f"Decision         {times['p50'] / 1e3:.1f} us (median), {times['p99'] / 1e3:.1f} us (p99) for all "
            "campaigns on a request, on this machine"
        )
    if result.folder is not None:
        command, place = _own_command(), shlex.quote(str(result.folder))
        lines += ["", f"Run directory    {result.folder}", f"Next             {command} report {place} --open"]
        if facts.incidents:
            lines.append(f"                 {command} monitor {place} --open")
    return lines


def _answers(seat: str, figures: dict[str, Any]) -> str:
    if not figures["decisions"]:
        return f"Answers {seat[:8]:<8} none"
    share, shed = 100 * figures["late"] / figures["decisions"], figures["shed"]
    dropped = f", {shed:,} of them dropped unworked" if shed else ""
    times = (
        f"; response median {figures['p50_ms']:.1f} ms, p99 {figures['p99_ms']:.1f} ms"
        if figures["p50_ms"] is not None
        else ""
    )
    return (
        f"Answers {seat[:8]:<8} {figures['late']:,} of {figures['decisions']:,} came too late "
        f"({share:.1f}%{dropped}){times}"
    )


def _own_command() -> str:
    """Return what starts bidsim from here, so that the line printed can be typed."""
    if shutil.which("bidsim"):
        return "bidsim"
    python = Path(sys.executable)
    if python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    return f"{shlex.quote(str(python))} -m bidsim"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"


def _money(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"
