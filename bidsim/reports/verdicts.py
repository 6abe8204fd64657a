"""The table that `validate` prints, and its JSON."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from bidsim.reports.terminal import console, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

_PIPE_WIDTH = 170


def print_verdicts(verdicts: Sequence[Any]) -> None:
    """Print one row a metric, then how many cases hold and what does not."""
    screen = console(_PIPE_WIDTH)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("case", "component", "metric", "expected", "simulated", "z", "verdict"):
        table.add_column(
            heading,
            justify="right" if heading in ("expected", "simulated", "z") else "left",
            no_wrap=heading != "component",
        )
    before = ""
    for one in verdicts:
        name = printable(one.case) if one.case != before else ""
        z = "" if one.z is None else f"{one.z:+.1f}"
        verdict = Text("holds", "green") if one.holds else Text(one.note or "FAILS", "bold red")
        table.add_row(
            Text(name),
            one.component if name else "",
            Text(printable(one.metric)),
            _number(one.expected),
            _number(one.simulated),
            z,
            verdict,
        )
        before = one.case
    screen.print(table)
    cases = {v.case for v in verdicts}
    failed = sorted({v.case for v in verdicts if not v.holds})
    screen.print(
        f"\n{len(cases) - len(failed)} of {len(cases)} cases hold, {sum(v.holds for v in verdicts)} of "
        f"{len(verdicts)} metrics.",
        markup=False,
    )
    if failed:
        screen.print(f"Not: {', '.join(printable(name) for name in failed)}", markup=False)
        screen.print(
            "With several hundred metrics at 4 sigma one false alarm in a few dozen runs is to be expected: try "
            "another --seed.",
            markup=False,
        )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def verdict_rows(verdicts: Sequence[Any]) -> dict[str, Any]:
    """One row a metric, with the machine and the versions, for JSON."""
    figures = [
        {
            "id": f"{v.case}/{v.metric}",
            "value": v.simulated,
            "unit": "",
            "spread": None,
            "peer": v.expected,
            "ratio": None,
            "goal": f"within {v.tolerance:.3g} of {v.expected}",
            "holds": v.holds,
            "check": v.check,
            "component": v.component,
            "z": v.z,
            "note": v.note,
        }
        for v in verdicts
    ]
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "system": platform.system()}
    versions = {
        "python": platform.python_version(),
        **{p: metadata.version(p) for p in ("bidsim", "numpy", "numba") if _installed(p)},
    }
    return {"name": "validate", "machine": machine, "versions": versions, "figures": figures}


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
