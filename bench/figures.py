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

from rich.console import Console
from rich.table import Table

from bidsim.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        id: Stable name.
        value: The figure, a median where it was measured several times; None where it was not measured.
        unit: Its unit.
        spread: Smallest and largest of the measurements.
        goal: What it should be, such as ``>= 20000`` or ``<= 0.05``; empty where there is no goal.
        peer: What it was measured beside.
        ratio: Value over the peer's.

    """

    id: str
    value: float | None
    unit: str
    spread: tuple[float, float] | None = None
    goal: str = ""
    peer: str = ""
    ratio: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if not self.goal:
            return None
        if self.value is None:
            return False
        sign, bound = self.goal.split()
        return self.value >= float(bound) if sign == ">=" else self.value <= float(bound)


def measured(name: str, values: Sequence[float], unit: str, goal: str = "") -> Figure:
    """Make a figure from several measurements: their median and range."""
    return Figure(name, statistics.median(values), unit, (min(values), max(values)), goal)


@dataclass
class Report:
    """All figures of one benchmark."""

    name: str
    figures: list[Figure] = field(default_factory=list)

    def add(self, figure: Figure) -> None:
        """Add one figure."""
        self.figures.append(figure)

    def print(self) -> None:
        """Print the table."""
        table = Table(title=f"{self.name} on {machine()['processor']}, {machine()['cores']} cores", title_justify="left", box=None)
        for column in ("figure", "value", "unit", "range", "goal", "holds"):
            table.add_column(column, justify="right" if column in ("value", "range") else "left")
        for one in self.figures:
            spread = f"{one.spread[0]:,.4g} .. {one.spread[1]:,.4g}" if one.spread else ""
            value = "not measured" if one.value is None else f"{one.value:,.0f}" if abs(one.value) >= 1000 else f"{one.value:,.4g}"
            table.add_row(one.id, value, one.unit, spread, one.goal, {True: "yes", False: "NO", None: ""}[one.holds])
        Console(width=130).print(table)

    def write(self, path: Path) -> None:
        """Write the JSON."""
        content = {"name": self.name, "machine": machine(), "versions": versions(), "figures": [asdict(f) | {"holds": f.holds} for f in self.figures]}
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
    return {"bidsim": VERSION, "python": platform.python_version(), **{p: importlib.metadata.version(p) for p in ("numpy", "numba", "lightgbm")}}
