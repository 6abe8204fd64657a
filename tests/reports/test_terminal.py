"""Tables on narrow terminals: columns go, figures are never cut."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console
from rich.table import Table

from bidsim.reports.terminal import print_fitting


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
