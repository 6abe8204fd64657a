"""How long seats took to answer, and how many answers came too late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bidsim.core.buckets import RATIO

if TYPE_CHECKING:
    from bidsim.core.result import Result

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


def answer_times(result: Result) -> dict[str, Any]:
    """By seat: decisions, those late and those dropped unworked, and quantiles of response times in milliseconds.

    Empty where the scenario has no deadline. Quantiles are of the answers that were worked on, interpolated in buckets
    of a histogram, 2.2% wide; how many came in time is known, so a quantile is beyond the deadline exactly where the
    counts say so.
    """
    counts, histogram = result.tables["seats"], result.tables["latency"]
    tmax = result.facts.tmax_us or 0.0
    found = {}
    for k, seat in enumerate(counts["seat"]):
        mine = np.array([s == seat for s in histogram["seat"]], np.bool_)
        bounds, responses = np.asarray(histogram["upper_us"])[mine], np.asarray(histogram["responses"])[mine]
        decisions, late, shed = (int(counts[name][k]) for name in ("decisions", "late", "shed"))
        parts = _split(bounds, responses, tmax, decisions - late)
        quantiles = {f"{name}_ms": _quantile(*parts, q) for name, q in QUANTILES.items()}
        found[seat] = {
            "decisions": decisions,
            "late": late,
            "shed": shed,
            "late_share": late / decisions if decisions else None,
            **quantiles,
        }
    return found


def _split(
    upper: NDArray[np.float64], counts: NDArray[np.int64], tmax: float, in_time: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Lower and upper bounds, and counts, of the buckets, the one that holds the deadline cut there; microseconds."""
    lower = upper / RATIO
    cut = np.flatnonzero((lower < tmax) & (tmax < upper))
    if not len(cut):
        return lower, upper, counts
    k = int(cut[0])
    before = min(max(in_time - int(counts[:k].sum()), 0), int(counts[k]))
    return (
        np.insert(lower, k + 1, tmax),
        np.insert(upper, k, tmax),
        np.concatenate([counts[:k], [before, counts[k] - before], counts[k + 1 :]]),
    )


def _quantile(
    lower: NDArray[np.float64], upper: NDArray[np.float64], counts: NDArray[np.int64], q: float
) -> float | None:
    """q-quantile in milliseconds, as if the answers of a bucket were spread evenly over the logarithm of time."""
    total = counts.sum()
    if total == 0:
        return None
    rank = min(int(np.ceil(q * total)), total)  # the least answer that a share of q does not exceed
    k = int(np.searchsorted(np.cumsum(counts), rank))
    part = (rank - (counts[:k].sum() + 0.5)) / counts[k]
    return float(lower[k] * (upper[k] / lower[k]) ** part / 1e3)


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
