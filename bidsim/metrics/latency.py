"""How long seats took to answer, and how many answers came too late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bidsim.core.result import Result

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


def answer_times(result: Result) -> dict[str, Any]:
    """By seat: decisions, those late and those dropped unworked, and quantiles of response times in milliseconds.

    Empty where the scenario has no deadline. Quantiles are upper bounds of histogram buckets, 9% wide.
    """
    counts, histogram = result.tables["seats"], result.tables["latency"]
    found = {}
    for k, seat in enumerate(counts["seat"]):
        mine = np.array([s == seat for s in histogram["seat"]], np.bool_)
        bounds, responses = np.asarray(histogram["upper_us"])[mine], np.asarray(histogram["responses"])[mine]
        decisions, late, shed = (int(counts[name][k]) for name in ("decisions", "late", "shed"))
        quantiles = {f"{name}_ms": _quantile(bounds, responses, q) for name, q in QUANTILES.items()}
        found[seat] = {
            "decisions": decisions,
            "late": late,
            "shed": shed,
            "late_share": late / decisions if decisions else None,
            **quantiles,
        }
    return found


def _quantile(bounds: NDArray[np.float64], counts: NDArray[np.int64], q: float) -> float | None:
    """Upper bound, in milliseconds, of the bucket that the q-quantile falls into."""
    total = counts.sum()
    if total == 0:
        return None
    return float(bounds[np.searchsorted(np.cumsum(counts), q * total)] / 1e3)


def stage_times(nanoseconds: NDArray[np.float64], stages: tuple[str, ...], parts: tuple[str, ...]) -> dict[str, Any]:
    """Quantiles of the stages of a request, and of a decision; nanoseconds.

    Args:
        nanoseconds: float64[requests, stages].
        stages: Names of the columns.
        parts: Those that make up the decision.

    """
    if not len(nanoseconds):
        return {}
    decision = nanoseconds[:, [stages.index(p) for p in parts]].sum(axis=1)
    columns = {**{name: nanoseconds[:, j] for j, name in enumerate(stages)}, "decision": decision}
    found = {name: np.quantile(column, [*QUANTILES.values(), 1.0]) for name, column in columns.items()}
    return {
        name: dict(zip([*QUANTILES, "max"], (round(float(t)) for t in times), strict=True))
        for name, times in found.items()
    }
