"""The worst slices of a run, found afterwards.

Conjunctions of up to three levels in which predictions are furthest off.

Residuals and not losses are searched, for a raw log-loss is label noise. Candidates are chosen on one half of the users
and tested on the other, so that the false-discovery rate among those that are told is the one promised (Benjamini and
Hochberg 1995; sample
splitting: Cox 1975).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from bidsim.core.random import name_id
from bidsim.core.requests import CATEGORIES

if TYPE_CHECKING:
    from bidsim.core.result import Result

_FEWEST = 200
"""Impressions that a slice must have in each half."""
_KEPT = 400
"""Candidates that are put to the test."""
_DEEPEST = 3
_REDUNDANT = 0.8


@dataclass(frozen=True)
class WorstSlice:
    """A slice in which predictions are off.

    Attributes:
        levels: (field, level) of each part of the conjunction.
        impressions: Rows, of both halves.
        predicted: Conversions predicted, at the level that is right for all rows together.
        converted: Conversions that came.
        ratio: Converted over predicted in the half on which the slice was not chosen.
        p_value: Of that half, two-sided, after Benjamini and Hochberg.

    """

    levels: tuple[tuple[str, str], ...]
    impressions: int
    predicted: float
    converted: int
    ratio: float
    p_value: float

    @property
    def name(self) -> str:
        """How it is called."""
        return ", ".join(f"{field} = {level}" for field, level in self.levels)


def worst_slices(result: Result, *, rate: float = 0.1, until: int | None = None) -> list[WorstSlice]:
    """Find the slices of the kept impressions in which the model is furthest off.

    Args:
        result: The run; impressions whose conversion may still come are left out.
        rate: False discoveries that are allowed among those told.
        until: Impressions before this time only, microseconds; by default those a whole attribution window before the
            end.

    Returns:
        Slices, the surest first; a slice that is nearly the same as one before is left out.

    Example:
        >>> import bidsim
        >>> from bidsim.monitoring.worst import worst_slices
        >>> tiny = {"requests": 3_000, "history.requests": 20_000, "seats.main.model": "oracle"}
        >>> worst_slices(bidsim.run(bidsim.load_scenario("quickstart", {**tiny, "attribution.window": "1d"})))
        []

    """
    facts, table = result.facts, result.tables["auctions"]
    end = facts.duration_us - facts.attribution_window_us if until is None else until
    rows = np.flatnonzero(np.asarray(table["time_us"]) < end)
    owner = dict(zip(result.tables["campaigns"]["campaign"], result.tables["campaigns"]["advertiser"], strict=True))
    coded = {field: result.coded("auctions", field) for field in CATEGORIES}
    fields = {field: (names, codes[rows]) for field, (names, codes) in coded.items()}
    campaigns, campaign = result.coded("auctions", "campaign")
    owners = sorted({owner[name] for name in campaigns})
    fields["advertiser"] = (
        owners,
        np.array([owners.index(owner[name]) for name in campaigns], np.int64)[campaign[rows]]
        if campaigns
        else campaign[rows],
    )
    return search(
        fields,
        np.asarray(table["pcvr"])[rows],
        np.asarray(table["converted"], np.float64)[rows],
        np.asarray(table["user"])[rows],
        rate,
    )


def search(
    fields: dict[str, tuple[list[str], NDArray[np.int64]]],
    pcvr: NDArray[np.float64],
    label: NDArray[np.float64],
    user: NDArray[np.int64],
    rate: float,
) -> list[WorstSlice]:
    """Search conjunctions.

    Args:
        fields: Name -> (levels, int64[rows] codes).
        pcvr: float64[rows], predicted rates.
        label: float64[rows], 1 where a conversion came.
        user: int64[rows]; a user's rows are all in one half.
        rate: False discoveries that are allowed among those told.

    """
    if not len(pcvr) or label.sum() == 0:
        return []
    predicted = pcvr * label.sum() / pcvr.sum()
    names, place = np.unique(user, return_inverse=True)
    half = np.array([name_id(f"half/{u}") & 1 for u in names.tolist()], np.bool_)[place.reshape(-1)]
    found: list[tuple[float, tuple[str, ...], tuple[int, ...], float]] = []
    for depth in range(1, _DEEPEST + 1):
        for chosen in combinations(fields, depth):
            found += _scored(fields, chosen, predicted, label, half)
    found.sort(key=lambda c: -abs(c[0]))
    tested = found[:_KEPT]
    p_values = _benjamini_hochberg(
        np.array([2.0 * float(ndtr(-abs(z))) if z * first > 0 else 1.0 for first, _, _, z in tested])
    )
    told: list[tuple[WorstSlice, NDArray[np.bool_]]] = []
    for (_, chosen, levels, _), p in zip(tested, p_values, strict=True):
        if p > rate:
            continue
        mask = np.all([fields[f][1] == v for f, v in zip(chosen, levels, strict=True)], axis=0)
        if any((mask & other).sum() > _REDUNDANT * (mask | other).sum() for _, other in told):
            continue
        fresh = mask & ~half
        told.append(
            (
                WorstSlice(
                    tuple((f, fields[f][0][v]) for f, v in zip(chosen, levels, strict=True)),
                    int(mask.sum()),
                    float(predicted[mask].sum()),
                    int(label[mask].sum()),
                    float(label[fresh].sum() / max(predicted[fresh].sum(), 1e-12)),
                    float(p),
                ),
                mask,
            )
        )
    return [one for one, _ in told]


def _scored(
    fields: dict[str, tuple[list[str], NDArray[np.int64]]],
    chosen: tuple[str, ...],
    predicted: NDArray[np.float64],
    label: NDArray[np.float64],
    half: NDArray[np.bool_],
) -> list[tuple[float, tuple[str, ...], tuple[int, ...], float]]:
    """(score on the first half, fields, levels, score on the other half) of every conjunction with rows enough."""
    sizes = [len(fields[f][0]) for f in chosen]
    cell = np.ravel_multi_index([fields[f][1] for f in chosen], sizes)
    total = int(np.prod(sizes))
    by_half = cell + np.where(half, 0, total)
    count, excess, scatter = (
        np.bincount(by_half, weight, 2 * total).reshape(2, total)
        for weight in (None, label - predicted, predicted * (1.0 - np.minimum(predicted, 1.0)))
    )
    enough = (count >= _FEWEST).all(axis=0) & (scatter > 0).all(axis=0)
    score = excess[:, enough] / np.sqrt(scatter[:, enough])
    levels = np.unravel_index(np.flatnonzero(enough), sizes)
    return [
        (float(score[0, k]), chosen, tuple(int(v[k]) for v in levels), float(score[1, k]))
        for k in range(score.shape[1])
    ]


def _benjamini_hochberg(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted p-values (Benjamini and Hochberg 1995)."""
    order = np.argsort(-p, kind="stable")
    ranks = len(p) - np.arange(len(p))
    found = np.empty_like(p)
    found[order] = np.minimum(np.minimum.accumulate(p[order] * len(p) / ranks), 1.0)
    return found
