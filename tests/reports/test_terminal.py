"""Tables on narrow terminals: columns go, figures are never cut."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from rich.table import Table

from bidsim.reports.terminal import print_fitting, print_result
from bidsim.reports.watching import live_view

if TYPE_CHECKING:
    from collections.abc import Callable

    import bidsim


@pytest.mark.parametrize("width", [20, 40, 54, 200])
def test_table__leaves_out_columns_and_cuts_none(width: int) -> None:
    table = Table(box=None)
    for heading in ("metric", "first", "difference", "saves"):
        table.add_column(heading, no_wrap=True)
    table.add_row("revenue", "123,456,789.00", "-19,724.000 .. -12.000", "399.4x")
    told = StringIO()
    print_fitting(Console(file=told, width=width), table, "saves", "first")
    shown = told.getvalue()
    assert "…" not in shown
    assert "-19,724.000 .. -12.000" in shown
    assert ("(no room for saves" in shown) == (width <= 54)
    assert ("399.4x" in shown) == (width > 54)
    assert ("123,456,789.00" in shown) == (width >= 54)


def _many(run_small: Callable[..., bidsim.Result], campaigns: int) -> bidsim.Result:
    """A run that tells of more campaigns and seats than it had."""
    result = run_small({"requests": 300, "deadline.tmax": "42ms", "deadline.network": "40ms"})
    row, answers = result.summary["campaigns"]["lamp"], result.summary["answers"]["main"]
    rows = {f"c{k:04d}": {**row, "spend": float((k * 11) % campaigns)} for k in range(campaigns)}
    seats = {f"s{k:04d}": {**answers, "late": k} for k in range(campaigns)}
    return replace(result, summary={**result.summary, "campaigns": rows, "answers": seats})


@pytest.mark.parametrize("campaigns", [20, 21, 1_000])
def test_run_table__shows_the_largest_rows_and_says_how_to_see_all(
    run_small: Callable[..., bidsim.Result], capsys: pytest.CaptureFixture[str], campaigns: int
) -> None:
    print_result(_many(run_small, campaigns))
    told = capsys.readouterr().out
    shown = re.findall(r"^(c\d{4}) ", told, re.MULTILINE)
    assert len(shown) == 20
    assert shown == sorted(shown)
    assert {int(name[1:]) * 11 % campaigns for name in shown} == set(range(campaigns - 20, campaigns))
    left = f"... and {campaigns - 20:,} more of {campaigns:,} campaigns, which spent less; campaigns.parquet has all"
    assert (left in told) == (campaigns > 20)
    assert ("more seats; --json prints all" in told) == (campaigns > 20)
    assert told.count("came too late") == 20


def test_live_view__shows_the_largest_advertisers() -> None:
    rows = [
        {
            "advertiser": f"a{k}",
            "wins": 1,
            "paid": float(k),
            "clicks": 0,
            "predicted": 0.0,
            "reported": 0,
            "by_window": [],
        }
        for k in range(300)
    ]
    told = StringIO()
    Console(file=told, width=120).print(live_view(1, 2, rows, [], "day 1"))
    assert len(re.findall(r"^a\d+ ", told.getvalue(), re.MULTILINE)) == 20
    assert "a299" in told.getvalue()
    assert "... and 280 more" in told.getvalue()
