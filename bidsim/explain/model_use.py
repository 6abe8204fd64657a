"""What a seat's model uses for one advertiser's impressions, and what it would predict were a lever different."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bidsim.cvr.binning import linked
from bidsim.cvr.features import FEATURES
from bidsim.cvr.lightgbm import MODEL_FILE
from bidsim.cvr.meta import META_FILE, Meta, read_meta
from bidsim.cvr.reading import read_ensemble
from bidsim.cvr.trees import compile_ensemble, predict
from bidsim.explain.attribution import Attributor, make_attributor, on_scale_of_predictions

if TYPE_CHECKING:
    from bidsim.core.result import Result
    from bidsim.core.scoring import ScorerTables

_LARGEST = 2_000
"""Rows that are attributed for a page."""


@dataclass(frozen=True)
class Explained:
    """A seat's trees, ready to be asked.

    Attributes:
        attributor: Shapley values of the trees.
        tables: The compiled trees.
        offset: Log-odds added to their sum, which undoes the thinning of training rows.

    """

    attributor: Attributor
    tables: ScorerTables
    offset: float

    @property
    def expected(self) -> float:
        """Log-odds that attributions start from."""
        return self.attributor.expected + self.offset

    def per_thousand(self, log_odds: Any) -> NDArray[np.float64]:
        """Conversions per 1,000 impressions at these log-odds, by the model's own link (a regression has none)."""
        return (
            np.array(
                [linked(self.tables.ints, self.tables.floats, float(z) - self.offset) for z in np.ravel(log_odds)]
            ).reshape(np.shape(log_odds))
            * 1000.0
        )

    def counted(self, attribution: NDArray[np.float64], start: float | None = None) -> NDArray[np.float64]:
        """Attributions float64[n, features] in log-odds as conversions per 1,000 impressions.

        ``start`` is where they start, else `expected`.
        """
        return on_scale_of_predictions(attribution, self.expected if start is None else start, self.per_thousand)


def explained_model(result: Result, seat: str) -> Explained | None:
    """Trees of a seat's model; None where it has none (an oracle, a logistic regression)."""
    files = result.models.get(seat, {})
    if MODEL_FILE not in files:
        return None
    return _explained(files[MODEL_FILE], float(meta_of(result, seat).offset))


def meta_of(result: Result, seat: str) -> Meta:
    """What a run keeps beside a seat's model.

    Raises:
        ModelError: It is missing or damaged.

    """
    place = f"model/{seat}/{META_FILE}"
    return read_meta(result.models[seat].get(META_FILE, ""), str(result.folder / place) if result.folder else place)


@lru_cache(maxsize=8)
def _explained(text: str, offset: float) -> Explained:
    ensemble, _ = read_ensemble(text, FEATURES)
    return Explained(make_attributor(ensemble), compile_ensemble(ensemble, offset), offset)


def feature_rows(result: Result, campaigns: tuple[str, ...], seat: str) -> NDArray[np.float32]:
    """What the model saw of sampled (request, campaign) rows, float32[rows, features].

    There are `_LARGEST` of them at most, evenly spread over the run.
    """
    table = result.tables["requests"]
    seats = dict(zip(result.tables["campaigns"]["campaign"], result.tables["campaigns"]["seat"], strict=True))
    mine = {name for name in campaigns if seats[name] == seat}
    names, campaign = result.coded("requests", "campaign")
    rows = (
        np.flatnonzero(np.array([name in mine for name in names], np.bool_)[campaign])
        if names
        else np.zeros(0, np.int64)
    )
    rows = evenly(rows, _LARGEST)
    if f"feature_{FEATURES[0]}" not in table:
        return np.zeros((0, len(FEATURES)), np.float32)
    return np.ascontiguousarray(np.column_stack([table[f"feature_{name}"][rows] for name in FEATURES]), np.float32)


def evenly(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many rows, evenly spread."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def feature_use(model: Explained, rows: NDArray[np.float32]) -> list[dict[str, Any]]:
    """Mean size and mean of each feature's share in the predictions, largest first.

    They are in log-odds and in conversions per 1,000 impressions.
    """
    found = model.attributor(rows)
    counted = model.counted(found)
    sizes = np.abs(found).mean(axis=0)
    return [
        {
            "feature": FEATURES[k],
            "size_log_odds": float(sizes[k]),
            "share": float(sizes[k] / max(sizes.sum(), 1e-300)),
            "size_per_thousand": float(np.abs(counted[:, k]).mean()),
            "mean_per_thousand": float(counted[:, k].mean()),
        }
        for k in np.argsort(-sizes, kind="stable")
        if sizes[k] > 0
    ]


def what_if(model: Explained, rows: NDArray[np.float32], lever: str, change: float) -> float | None:
    """Log-ratio of mean predictions with a lever moved: what the model would say of the action, as if it knew causes.

    None where a mean is not above 0, as that of a regression may be.
    """
    moved, column = rows.copy(), FEATURES.index(lever)
    moved[:, column] = moved[:, column] * (1.0 + change) if lever == "price" else moved[:, column] + change
    after, before = float(predict(model.tables, moved).mean()), float(predict(model.tables, rows).mean())
    return math.log(after / before) if after > 0.0 and before > 0.0 else None
