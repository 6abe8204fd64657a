"""Cases with known answers: reading a file of them, and grading what the simulator says."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bidsim.core.datasets import FOLDER
from bidsim.core.errors import UsageError, cut

if TYPE_CHECKING:
    from collections.abc import Mapping

SIGMAS = 4.0
_ROUNDING = 1e-9
_TABLES = ("params", "expected")


class Estimate(NamedTuple):
    """What the simulator says of one metric, and over how many units (auctions, clicks, days, ...)."""

    value: float
    units: float = math.inf


@dataclass(frozen=True)
class Case:
    """A setting with its expected figures.

    Attributes:
        id: Name of the case.
        check: Kind of setting, which says how ``params`` is read.
        params: Its numbers.
        expected: Figure by metric.
        sd: Standard deviation of one unit, by metric.
        slack: Absolute tolerance by metric, on top of sampling error.
        expected_se: Standard error of the expected figure itself, by metric.
        source: Where the result is from.

    """

    id: str
    check: str
    params: Mapping[str, Any]
    expected: Mapping[str, float]
    sd: Mapping[str, float] = field(default_factory=dict)
    slack: Mapping[str, float] = field(default_factory=dict)
    expected_se: Mapping[str, float] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True)
class Verdict:
    """One metric of one case.

    Attributes:
        case: Id of the case.
        check: Kind of the check.
        component: What decided the figure.
        metric: Name of the metric.
        expected: Known answer.
        simulated: What the simulator says; None where it says nothing.
        tolerance: Allowed distance.
        z: Distance over its standard error, where there is one.
        note: Why nothing was simulated.

    """

    case: str
    check: str
    component: str
    metric: str
    expected: float | None
    simulated: float | None
    tolerance: float = 0.0
    z: float | None = None
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the figure lies within its tolerance."""
        return (
            self.expected is not None
            and self.simulated is not None
            and abs(self.simulated - self.expected) <= self.tolerance
        )


def own_cases() -> Path:
    """Return the cases that ship with bidsim."""
    return FOLDER / "truths.json"


def load_cases(file: Path) -> list[Case]:
    """Read a file of cases: ``{"cases": [{"id", "check", "params", "expected", ...}]}`` or the list alone.

    Raises:
        UsageError: The file cannot be read, or a case lacks a field; the message names file, case and field.

    """
    try:
        loaded = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{file}: cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}"
        ) from None
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 0)
        raise UsageError(
            f"{file}{f':{line}' if line else ''}: not valid JSON: {getattr(error, 'msg', 'nested too deeply')}"
        ) from None
    listed = loaded.get("cases") if isinstance(loaded, dict) else loaded
    if not isinstance(listed, list) or not listed:
        raise UsageError(f'{file}: cases: there is no list of cases; write {{"cases": [...]}}')
    return [_case(file, number, raw) for number, raw in enumerate(listed)]


def _case(file: Path, number: int, raw: Any) -> Case:
    name = str(raw.get("id", f"number {number + 1}")) if isinstance(raw, dict) else f"number {number + 1}"

    def fail(key: str, message: str) -> UsageError:
        return UsageError(f"{file}: case {cut(name, 60)}: {key}: {message}")

    if not isinstance(raw, dict):
        raise fail("case", "is not a table")
    for key in ("id", "check"):
        if not isinstance(raw.get(key), str) or not raw[key]:
            raise fail(key, "is missing; add it")
    for key in _TABLES:
        if not isinstance(raw.get(key), dict):
            raise fail(key, "is missing or not a table")
    tolerance = raw.get("tolerance", {})
    tables = {
        "expected": raw["expected"],
        "se_per_auction": raw.get("se_per_auction", {}),
        "tolerance.abs": tolerance.get("abs", {}) if isinstance(tolerance, dict) else None,
        "expected_se": raw.get("expected_se", {}),
    }
    for key, table in tables.items():
        wrong = _not_figures(table)
        if wrong is not None:
            raise fail(*((key, wrong[1]) if wrong[0] is None else (f"{key}.{wrong[0]}", wrong[1])))
    return Case(
        id=raw["id"],
        check=raw["check"],
        params=raw["params"],
        expected=raw["expected"],
        sd=tables["se_per_auction"],
        slack=tables["tolerance.abs"],
        expected_se=tables["expected_se"],
        source=str(raw.get("source", "")),
    )


def _not_figures(table: Any) -> tuple[str | None, str] | None:
    """Where a table of figures is none: (metric or None, what is wrong)."""
    if not isinstance(table, dict):
        return None, "is not a table"
    for metric, figure in table.items():
        if isinstance(figure, bool) or not isinstance(figure, int | float) or not math.isfinite(figure):
            return metric, f"{figure!r} is not a finite number"
    return None


def grade(case: Case, component: str, estimates: Mapping[str, Estimate]) -> list[Verdict]:
    """Compare every expected figure with its estimate.

    A figure holds if it is within ``slack + 4 sqrt(sd^2 / units + expected_se^2) + 1e-9 max(1, |expected|)``.
    """
    found = []
    for metric, expected in case.expected.items():
        estimate = estimates.get(metric)
        if estimate is None:
            found.append(
                Verdict(
                    case.id, case.check, component, metric, expected, None, note="no such metric in this kind of check"
                )
            )
            continue
        error = math.hypot(case.sd.get(metric, 0.0) / math.sqrt(estimate.units), case.expected_se.get(metric, 0.0))
        tolerance = case.slack.get(metric, 0.0) + SIGMAS * error + _ROUNDING * max(1.0, abs(expected))
        z = (estimate.value - expected) / error if error > 0 else None
        found.append(Verdict(case.id, case.check, component, metric, expected, estimate.value, tolerance, z))
    return found
