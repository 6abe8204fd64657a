"""Whether the model leans on other features than before.

Shapley values of sampled decisions before a moment and after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.cvr.features import FEATURES
from bidsim.explain.model_use import evenly, explained_model

if TYPE_CHECKING:
    from bidsim.core.result import Result

_LARGEST = 1_500
_FEWEST = 50


def attribution_shift(result: Result, moment: int) -> list[dict[str, Any]]:
    """Mean size of each feature's share in the predictions, before and after a moment.

    Args:
        result: The run; its sampled (request, campaign) rows are looked at, some 1,500 on each side.
        moment: Microseconds since the start.

    Returns:
        By seat and feature, the largest change first: ``seat``, ``feature``, ``before`` and ``after`` (mean absolute
        Shapley value, log-odds), ``change`` of its sign-keeping mean, and ``z``, that over its standard error. Empty
        where a seat has no trees or too few rows.

    """
    table = result.tables["requests"]
    if f"feature_{FEATURES[0]}" not in table:
        return []
    time, seat_of = (
        np.asarray(table["time_us"]),
        dict(zip(result.tables["campaigns"]["campaign"], result.tables["campaigns"]["seat"], strict=True)),
    )
    names, campaign = result.coded("requests", "campaign")
    found: list[dict[str, Any]] = []
    for seat in dict.fromkeys(seat_of.values()):
        model = explained_model(result, seat)
        mine = (
            np.array([seat_of[name] == seat for name in names], np.bool_)[campaign] if names else np.zeros(0, np.bool_)
        )
        sides = [evenly(np.flatnonzero(mine & side), _LARGEST) for side in (time < moment, time >= moment)]
        if model is None or min(len(rows) for rows in sides) < _FEWEST:
            continue
        before, after = (
            model.attributor(
                np.ascontiguousarray(np.column_stack([table[f"feature_{f}"][rows] for f in FEATURES]), np.float32)
            )
            for rows in sides
        )
        change = after.mean(axis=0) - before.mean(axis=0)
        error = np.sqrt(before.var(axis=0) / len(before) + after.var(axis=0) / len(after))
        z = np.divide(change, error, out=np.zeros_like(change), where=error > 0)
        sizes = [np.abs(values).mean(axis=0) for values in (before, after)]
        found += [
            {
                "seat": seat,
                "feature": FEATURES[k],
                "before": float(sizes[0][k]),
                "after": float(sizes[1][k]),
                "change": float(change[k]),
                "z": float(z[k]),
            }
            for k in range(len(FEATURES))
            if sizes[0][k] > 0 or sizes[1][k] > 0
        ]
    return sorted(found, key=lambda row: -abs(row["z"]))
