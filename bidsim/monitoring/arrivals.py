"""Conversions that should have been reported by now.

Predicted rates, spread over the windows in which their reports arrive.

How reports are spread (a development curve, as actuaries say) is known from traffic logged before the run; what the
quiet windows of the run show is laid over it. A report that is not there yet is then no missing conversion, and windows
once counted never change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bidsim.core.result import Result
    from bidsim.monitoring.cells import Cells

_PRIOR = 100.0
"""Conversions that the curve from before the run counts as."""


def expected_arrivals(predicted: NDArray[np.float64], curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Conversions expected to be reported in each window.

    Args:
        predicted: float64[windows, levels, groups], sums of predicted rates by window of the impression.
        curve: float64[groups, lags], part of the reports that come so many windows later.

    """
    found = np.zeros_like(predicted)
    for lag in range(min(curve.shape[1], len(predicted))):
        found[lag:] += predicted[: len(predicted) - lag] * curve[:, lag]
    return found


def lag_shares(delay: NDArray[np.float64], window: float, lags: int) -> NDArray[np.float64]:
    """Part of the reports that come 0, 1, ... windows after that of the impression, float64[lags].

    An impression falls anywhere in its window.

    Args:
        delay: Delays, each as likely as the others.
        window: Length of a window, in the same unit.
        lags: How many are told; what comes later is left out.

    """
    whole, part = np.divmod(np.asarray(delay, np.float64) / window, 1.0)
    shares = np.zeros(lags + 2)
    np.add.at(shares, np.minimum(whole.astype(np.int64), lags), (1.0 - part) / len(delay))
    np.add.at(shares, np.minimum(whole.astype(np.int64) + 1, lags + 1), part / len(delay))
    return shares[:lags]


def development(result: Result, cells: Cells, quiet: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Curve of each group, and what really was reported.

    Args:
        result: The run.
        cells: Its counts.
        quiet: Windows at the start from which the curve is learned.

    Returns:
        float64[groups, lags], and reported conversions float64[groups, windows, lags] by window of the impression and
        lag.

    """
    lags = min(-(-result.facts.attribution_window_us // cells.window) + 1, cells.windows)
    group = _group_of_campaigns(result, cells)
    reported = _triangle(result, cells, group, lags)
    known = _logged(result, cells, group, lags)
    predicted = cells.columns["pcvr_sum"][:, cells.first_field()].sum(axis=1).T
    curve = np.zeros((len(cells.groups), lags))
    everyone = _learned(predicted.sum(axis=0), reported.sum(axis=0), known.mean(axis=0), quiet)
    for g in range(len(cells.groups)):
        own = known[g] if known[g].sum() > 0 else everyone
        curve[g] = _learned(predicted[g], reported[g], own, quiet)
    return curve, reported


def _learned(
    predicted: NDArray[np.float64], reported: NDArray[np.float64], known: NDArray[np.float64], quiet: int
) -> NDArray[np.float64]:
    """A curve with what quiet windows show laid over it; lags that they cannot show stay."""
    lags = len(known)
    exposed = np.array([predicted[: max(quiet - lag, 0)].sum() for lag in range(lags)])
    came = np.array([reported[: max(quiet - lag, 0), lag].sum() for lag in range(lags)])
    level = came.sum() / max(float((exposed * known).sum()), 1e-12)
    if level <= 0.0:
        return known
    return np.asarray((came + _PRIOR * known) / (exposed * level + _PRIOR))


def _group_of_campaigns(result: Result, cells: Cells) -> dict[str, int]:
    table = result.tables["campaigns"]
    found = {}
    for campaign, advertiser, product in zip(table["campaign"], table["advertiser"], table["product"], strict=True):
        for told in ((advertiser, product), ("", product), ("", "")):
            if told in cells.groups:
                found[campaign] = cells.groups.index(told)
                break
    return found


def _triangle(result: Result, cells: Cells, group: dict[str, int], lags: int) -> NDArray[np.float64]:
    table = result.tables["conversions"]
    names, campaign = result.coded("conversions", "campaign")
    found = np.zeros((len(cells.groups), cells.windows, lags))
    rows = np.flatnonzero(
        np.asarray(table["observed"], np.bool_) & (np.asarray(table["reported_us"]) < cells.windows * cells.window)
    )
    rows = rows[np.array([name in group for name in names], np.bool_)[campaign[rows]]] if len(rows) else rows
    if len(rows):
        owner = np.array([group.get(name, 0) for name in names], np.int64)[campaign[rows]]
        credited, reported = (
            np.asarray(table[name])[rows] // cells.window for name in ("credit_time_us", "reported_us")
        )
        lag = reported - credited
        kept = (lag < lags) & (credited >= 0)
        np.add.at(found, (owner[kept], credited[kept], lag[kept]), 1.0)
    return found


def _logged(result: Result, cells: Cells, group: dict[str, int], lags: int) -> NDArray[np.float64]:
    """Curves from traffic logged before the run, the mean over the campaigns of a group.

    Zero where nothing was logged.
    """
    table = result.tables["delays"]
    found, count = np.zeros((len(cells.groups), lags)), np.zeros(len(cells.groups))
    names, campaign = result.coded("delays", "campaign")
    delay = np.asarray(table["delay_us"], np.float64)
    for k, name in enumerate(names):
        if name in group:
            found[group[name]] += lag_shares(delay[campaign == k], cells.window, lags)
            count[group[name]] += 1
    return found / np.maximum(count, 1)[:, None]
