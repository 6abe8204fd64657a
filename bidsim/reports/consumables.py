"""The operator's page on consumables: what the model makes of them, and what their ads cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bidsim.explain.consumables import CONSUMABLE_DAYS, describe_consumables
from bidsim.reports import charts
from bidsim.reports.files import write_page
from bidsim.reports.html import environment, whole_run
from bidsim.reports.sentences import figure

if TYPE_CHECKING:
    from pathlib import Path

    from bidsim.core.result import Result

_SHOWN = 12


def write_consumables(result: Result, path: Path) -> Path:
    """Write the page.

    Raises:
        UsageError: The place cannot be written.

    """
    with whole_run(result):
        content = describe_consumables(result)
    write_page(path, render_consumables(content))
    return path


def render_consumables(content: dict[str, Any]) -> str:
    """Return the page as HTML; the same content gives the same bytes."""
    lines = [line for line in content["lines"] if line["impressions"]][:_SHOWN]
    series = {name: [line[name] for line in lines] for name in ("predicted", "credited", "caused")}
    picture = (
        charts.grouped_bars(
            [charts.short(f"{line['product']} ({line['advertiser']})", 34) for line in lines],
            series,
            "per 1,000 impressions",
            "Predicted, credited and caused, by product",
        )
        if lines
        else ""
    )
    shown = len(lines)
    return str(
        environment(figure=figure, clip=charts.short)
        .get_template("consumables.html")
        .render(picture=picture, shown=shown, days=CONSUMABLE_DAYS, **content)
    )
