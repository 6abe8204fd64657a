"""Explanations for scientists: `shap.Explanation` objects out of a run, for shap's own plots and cohorts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bidsim.core.errors import UsageError, did_you_mean
from bidsim.cvr.features import CATEGORICAL, FEATURES
from bidsim.explain.model_use import Explained, explained_model, feature_rows, meta_of
from bidsim.explain.pairs import against_background, interactions
from bidsim.metrics.advertiser import account_of

if TYPE_CHECKING:
    from bidsim.core.result import Result

Unit = Literal["log_odds", "conversions"]


def explain_result(
    result: Result,
    seat: str | None = None,
    *,
    advertiser: str | None = None,
    unit: Unit = "log_odds",
    background: NDArray[Any] | None = None,
    pairs: bool = False,
) -> Any:
    """Shapley values of a seat's model on the sampled (request, campaign) rows of a run.

    Args:
        result: The run.
        seat: Whose model; may be left out where there is only one.
        advertiser: Only rows of this advertiser's campaigns.
        unit: ``log_odds``, or ``conversions`` per 1,000 impressions; both add up to the prediction less
            ``base_values``.
        background: float[m, features]; then features left out take the values of these rows (interventional), and not
            those of the training rows that came the same way (path-dependent).
        pairs: Whether to give interactions, [rows, features, features].

    Returns:
        `shap.Explanation` with ``values`` [rows, features], ``base_values`` [rows], ``data``, and ``display_data`` in
        which categories have their names: ``explanation.cohorts(explanation[:, "segment"].display_data)`` splits it by
        segment.

    Raises:
        UsageError: There is no such seat or advertiser, or its model has no trees.

    Example:
        >>> import bidsim
        >>> tiny = {"requests": 500, "history.requests": 20_000, "seats.main.model.trees": 5}
        >>> use = bidsim.explain_result(bidsim.run(bidsim.load_scenario("quickstart", tiny)))
        >>> use.values.shape == use.data.shape
        True

    """
    import shap  # noqa: PLC0415  (slow to import)

    seat = _chosen(result, seat)
    model = explained_model(result, seat)
    if model is None:
        raise UsageError(f"seat {seat}: its model has no trees that could be taken apart; use model = 'lightgbm'")
    campaigns = (
        account_of(result, advertiser).campaigns
        if advertiser is not None
        else tuple(result.tables["campaigns"]["campaign"])
    )
    rows = feature_rows(result, campaigns, seat)
    values, base = _values(model, rows, unit, background, pairs=pairs)
    return shap.Explanation(
        values,
        base_values=np.full(len(rows), base),
        data=rows,
        display_data=_named(result, seat, rows),
        feature_names=list(FEATURES),
    )


def _chosen(result: Result, seat: str | None) -> str:
    seats = list(dict.fromkeys(result.tables["campaigns"]["seat"]))
    if seat is None and len(seats) == 1:
        return str(seats[0])
    if seat not in seats:
        raise UsageError(f"seat {seat}: say which of {', '.join(seats)}{did_you_mean(seat or '', seats)}")
    return str(seat)


def _values(
    model: Explained, rows: NDArray[np.float32], unit: Unit, background: NDArray[Any] | None, *, pairs: bool
) -> tuple[NDArray[np.float64], float]:
    if pairs:
        if background is not None or unit != "log_odds":
            raise UsageError("interactions are given in log-odds and without a background only")
        return interactions(model.attributor, rows.astype(np.float64)), model.expected
    if background is None:
        values, start = model.attributor(rows), model.expected
    else:
        values, mean = against_background(model.attributor, rows.astype(np.float64), np.asarray(background, np.float64))
        start = mean + model.offset
    if unit == "log_odds":
        return values, start
    return model.counted(values, start), float(model.per_thousand(start))


def _named(result: Result, seat: str, rows: NDArray[np.float32]) -> NDArray[Any]:
    """Rows with categories by name, as text."""
    vocabulary = meta_of(result, seat).vocabulary
    shown = rows.astype(object)
    for name in CATEGORICAL:
        j, levels = FEATURES.index(name), vocabulary.get(name, ())
        shown[:, j] = [levels[int(v)] if 0 <= v < len(levels) else "unknown" for v in rows[:, j]]
    return shown
