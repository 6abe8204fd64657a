"""Health of the model, slice by slice, over some windows: what an operator looks at when no alarm says where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, gammainc, gammaincinv, gammaln

from bidsim.core.units import NANOS_PER_UNIT
from bidsim.monitoring.arrivals import development
from bidsim.monitoring.signals import MISSING

if TYPE_CHECKING:
    from bidsim.core.result import Result
    from bidsim.monitoring.monitor import Watch

FEWEST_CONVERSIONS = 20
"""Conversions below which neither normalised entropy nor AUC is told."""
RIPE = 0.95
"""Part of the reports that must be due before normalised entropy is told."""
_TAIL = 0.025
_BROKEN = 0.02
"""Part of the slices that may be anywhere (exponential about what is normal): drawn to normal, an outage would look
like half of one."""
_HALVINGS = 40


def slice_table(result: Result, watch: Watch, first: int, last: int) -> dict[str, Any]:
    """Figures of every slice over windows ``first`` to before ``last``, by window of the impression.

    Returns:
        Columns of equal length: ``slice``; ``kind``, as `bidsim.monitoring.cells` counts them; ``impressions``,
        ``share`` of all impressions; ``win_rate``, of its requests (NaN where requests are not counted by it); ``cpm``,
        paid for 1,000; ``ctr``; ``predicted``, conversions; ``due``, those whose report should have come by the end;
        ``converted``; ``ratio`` of converted to due, drawn to what is normal as far as chance may explain it, with
        ``low`` and ``high`` (95%); ``normal``, what the ratio of reports to those due is in windows without alarm;
        ``ripe``, due over predicted; ``normalised_entropy`` (He et al. 2014) and ``auc``, NaN where they mean nothing;
        ``true_rate``, mean, which only a simulation knows; where all rows were counted ``offers``, campaigns that were
        eligible, ``offered_rate``, what was predicted for them, and ``won_rate``, for
        impressions: what is won is what was predicted high.

    """
    cells, slicing = watch.cells, watch.slicing
    curve, _ = development(result, cells, watch.quiet)
    columns = {name: slicing.total(values[first:last]).sum(axis=0) for name, values in cells.columns.items()}
    ripe = _ripeness(curve, cells.windows)[first:last]
    due = slicing.total(cells.columns["pcvr_sum"][first:last] * ripe[:, None, :]).sum(axis=0)
    wins, converted = columns["wins"], columns["converted"]
    level, low, high = _shrunk(watch, due, converted)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "slice": [s.name for s in slicing.slices],
            "kind": slicing.kind,
            "impressions": wins.astype(np.int64),
            "share": wins / wins[0],
            "win_rate": wins / _requests(watch, first, last),
            "cpm": columns["payment_nanos"] / wins * 1000 / NANOS_PER_UNIT,
            "ctr": columns["clicks"] / wins,
            "predicted": columns["pcvr_sum"],
            "due": due,
            "converted": converted.astype(np.int64),
            "ratio": level,
            "low": low,
            "high": high,
            "normal": watch.detectors["conversions"].baseline.level()[0],
            "ripe": due / columns["pcvr_sum"],
            "normalised_entropy": _entropy(columns, due),
            "auc": _auc(result, watch, first, last),
            "true_rate": columns["true_rate_sum"] / wins,
            **_selection(columns, wins),
        }


def _selection(columns: dict[str, NDArray[np.float64]], wins: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    if "offers" not in columns:
        return {}
    return {
        "offers": columns["offers"].astype(np.int64),
        "offered_rate": columns["offered_pcvr_sum"] / columns["offers"],
        "won_rate": columns["pcvr_sum"] / wins,
    }


def missing_rates(result: Result, watch: Watch, first: int, last: int) -> dict[str, dict[str, float | None]]:
    """Share of missing values by feature, of requests and of impressions.

    It is over windows ``first`` to before ``last``, None where none is counted.
    """
    table = result.tables["population"]
    rows = (np.asarray(table["start_us"]) // watch.cells.window >= first) & (
        np.asarray(table["start_us"]) // watch.cells.window < last
    )
    features, feature = result.coded("population", "feature")
    levels, level = result.coded("population", "level")
    missing = level == levels.index(MISSING) if MISSING in levels else np.zeros(len(level), np.bool_)
    found: dict[str, dict[str, float | None]] = {}
    for f, name in enumerate(features):
        mine = rows & (feature == f)
        whole = {of: float(np.asarray(table[of])[mine].sum()) for of in ("requests", "wins")}
        found[name] = {
            of: float(np.asarray(table[of])[mine & missing].sum()) / total if total else None
            for of, total in whole.items()
        }
    return found


def _ripeness(curve: NDArray[np.float64], windows: int) -> NDArray[np.float64]:
    """Part of a window's reports that are due by the end of the run, float64[windows, groups]."""
    known = np.cumsum(curve, axis=1)
    lag = np.minimum(np.arange(windows - 1, -1, -1), curve.shape[1] - 1)
    return np.asarray(known[:, lag].T)


def _shrunk(
    watch: Watch, due: NDArray[np.float64], converted: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Posterior mean and 95% interval of converted over due.

    Before it, a slice is what is normal for it, give or take its kind's spread, or broken.
    """
    baseline = watch.detectors["conversions"].baseline
    normal, left = baseline.level()
    parent = baseline.family.parent
    left = left + np.where(
        parent == np.arange(len(parent)), 0.0, left[parent]
    )  # a part is known no better than what it is part of
    sound, broken = (_Gamma(shape, shape / normal) for shape in (1.0 / (baseline.spread + left), np.ones_like(normal)))
    odds = np.log(_BROKEN / (1.0 - _BROKEN)) + broken.evidence(due, converted) - sound.evidence(due, converted)
    weight, sound, broken = expit(odds), sound.after(due, converted), broken.after(due, converted)

    def between(p: float) -> NDArray[np.float64]:
        below, above = np.sort([sound.quantile(p), broken.quantile(p)], axis=0)
        for _ in range(_HALVINGS):
            middle = 0.5 * (below + above)
            high = (1.0 - weight) * sound.below(middle) + weight * broken.below(middle) > p
            below, above = np.where(high, below, middle), np.where(high, middle, above)
        return np.asarray(0.5 * (below + above))

    return (1.0 - weight) * sound.mean + weight * broken.mean, between(_TAIL), between(1.0 - _TAIL)


@dataclass(frozen=True)
class _Gamma:
    """What is believed of a rate before and after counts that are Poisson."""

    shape: NDArray[np.float64]
    rate: NDArray[np.float64]

    @property
    def mean(self) -> NDArray[np.float64]:
        return self.shape / self.rate

    def after(self, exposure: NDArray[np.float64], count: NDArray[np.float64]) -> _Gamma:
        return _Gamma(self.shape + count, self.rate + exposure)

    def evidence(self, exposure: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithm of the counts' probability (negative binomial), less what all beliefs have in common."""
        seen = gammaln(self.shape + count) - (self.shape + count) * np.log(self.rate + exposure)
        return np.asarray(seen - gammaln(self.shape) + self.shape * np.log(self.rate))

    def below(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(gammainc(self.shape, self.rate * x))

    def quantile(self, p: float) -> NDArray[np.float64]:
        return np.asarray(gammaincinv(self.shape, p) / self.rate)


def _requests(watch: Watch, first: int, last: int) -> NDArray[np.float64]:
    """Requests of each slice; NaN where they are not counted by it."""
    found = np.full(len(watch.slicing.slices), np.nan)
    if "wins" in watch.signals:
        signal = watch.signals["wins"]
        asked = dict(zip(signal.slices, signal.base[first:last].sum(axis=0), strict=True))
        for k, one in enumerate(watch.slicing.slices):
            if not one.advertiser and not one.product and " x " not in one.field:
                found[k] = asked.get(one, np.nan)
    return found


def _entropy(columns: dict[str, NDArray[np.float64]], due: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean log-loss over that of the slice's own rate.

    Below 1 the predictions tell something (He et al., ADKDD 2014, eq. 3).
    """
    wins, converted = columns["wins"], columns["converted"]
    rate = np.clip(converted / np.maximum(wins, 1.0), 1e-12, 1 - 1e-12)
    own = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate)) * wins
    tells = (converted >= FEWEST_CONVERSIONS) & (converted < wins) & (due >= RIPE * columns["pcvr_sum"])
    return np.where(tells, -columns["log_likelihood_sum"] / np.maximum(own, 1e-300), np.nan)


def _auc(result: Result, watch: Watch, first: int, last: int) -> NDArray[np.float64]:
    """Chance that an impression that converted was given more than one that did not, ties counted half, from bins.

    Single fields only.
    """
    scores = score_bins(result, watch, first, last)
    found = np.full(len(watch.slicing.slices), np.nan)
    place = {(s.field, s.level): k for k, s in enumerate(watch.slicing.slices) if not s.advertiser and not s.product}
    for key, (wins, converted) in scores.items():
        lost = wins - converted
        if key in place and converted.sum() >= FEWEST_CONVERSIONS and lost.sum() > 0:
            below = np.cumsum(lost) - lost
            found[place[key]] = float((converted * (below + 0.5 * lost)).sum() / (converted.sum() * lost.sum()))
    return found


def score_bins(
    result: Result, watch: Watch, first: int, last: int
) -> dict[tuple[str, str], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Impressions and conversions by bin of the predicted rate, for levels of single fields.

    All traffic stands under ("", "").
    """
    table = result.tables["scores"]
    window = np.asarray(table["start_us"]) // watch.cells.window
    fields, field = result.coded("scores", "field")
    levels, level = result.coded("scores", "level")
    chosen = (window >= first) & (window < last)
    box, wins, converted = (np.asarray(table[name]) for name in ("bin", "wins", "converted"))
    bins = int(box.max()) + 1 if len(box) else 0
    found: dict[tuple[str, str], tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    for f, v in sorted(set(zip(field[chosen].tolist(), level[chosen].tolist(), strict=True))):
        rows = chosen & (field == f) & (level == v)
        found[fields[f], levels[v]] = (
            np.bincount(box[rows], wins[rows], bins).astype(np.float64),
            np.bincount(box[rows], converted[rows], bins).astype(np.float64),
        )
    first_field = [pair for key, pair in found.items() if key[0] == (fields[0] if fields else "")]
    if first_field:
        found["", ""] = (np.sum([w for w, _ in first_field], axis=0), np.sum([c for _, c in first_field], axis=0))
    return found
