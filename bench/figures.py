"""Figures of a benchmark: a table for people, JSON for machines, one row a figure with a stable id."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from bidsim.reports.terminal import console, print_fitting
from bidsim.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

_PIPE_WIDTH = 200


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        id: Stable name.
        value: The figure, a median where it was measured several times; None where it was not measured.
        unit: Its unit.
        spread: Smallest and largest of the measurements.
        goal: What it should be, such as ``>= 20000`` or ``<= 0.05``; empty where there is no goal.
        note: How it was measured, or what it is of.

    """

    id: str
    value: float | None
    unit: str
    spread: tuple[float, float] | None = None
    goal: str = ""
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if not self.goal:
            return None
        if self.value is None:
            return False
        sign, bound = self.goal.split()
        return self.value >= float(bound) if sign == ">=" else self.value <= float(bound)


def measured(name: str, values: Sequence[float], unit: str, goal: str = "", note: str = "") -> Figure:
    """Make a figure from several measurements: their median and range."""
    return Figure(name, statistics.median(values), unit, (min(values), max(values)), goal, note)


@dataclass
class Report:
    """All figures of one benchmark; in its ``quick`` form goals are told but not judged."""

    name: str
    figures: list[Figure] = field(default_factory=list)
    quick: bool = False

    def add(self, figure: Figure) -> None:
        """Add one figure."""
        self.figures.append(figure)

    def print(self) -> None:
        """Print the table."""
        screen = console(_PIPE_WIDTH)
        screen.print(
            f"{self.name} on {machine()['processor']}, {machine()['cores']} cores"
            + ("; too quick to judge goals by" if self.quick else ""),
            markup=False,
        )
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in ("figure", "value", "unit", "range", "goal", "holds", "note"):
            table.add_column(column, justify="right" if column in ("value", "range") else "left", no_wrap=True)
        for one in self.figures:
            spread = f"{one.spread[0]:,.4g} .. {one.spread[1]:,.4g}" if one.spread else ""
            value = (
                "not measured"
                if one.value is None
                else f"{one.value:,.0f}"
                if abs(one.value) >= 1000
                else f"{one.value:,.4g}"
            )
            table.add_row(
                one.id,
                value,
                one.unit,
                spread,
                one.goal,
                {True: "yes", False: "NO", None: ""}[self.holds(one)],
                one.note,
            )
        print_fitting(screen, table, "note", "range")

    def holds(self, one: Figure) -> bool | None:
        """Whether a figure's goal is met; None where there is none, or where all was too quick to judge by."""
        return None if self.quick else one.holds

    def write(self, path: Path) -> None:
        """Write the JSON."""
        content = {
            "name": self.name,
            "quick": self.quick,
            "machine": machine(),
            "versions": versions(),
            "figures": [asdict(f) | {"holds": self.holds(f)} for f in self.figures],
        }
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, object]:
    """What was measured on, without its name."""
    model = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"processor": model, "cores": os.cpu_count(), "system": platform.system()}


def versions() -> dict[str, str]:
    """Versions of what matters."""
    return {
        "bidsim": VERSION,
        "python": platform.python_version(),
        **{p: importlib.metadata.version(p) for p in ("numpy", "numba", "lightgbm")},
    }
