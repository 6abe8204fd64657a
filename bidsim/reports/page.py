"""The page about a run: one self-contained HTML file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.units import DAY, HOUR, NANOS_PER_UNIT, format_duration
from bidsim.reports import charts
from bidsim.reports.files import write_page
from bidsim.reports.html import environment, whole_run

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bidsim.core.result import Result

_LABELS = {
    "won": "won",
    "outbid": "outbid",
    "below_floor": "below floor",
    "budget": "budget spent",
    "frequency_cap": "frequency cap",
    "paced": "held back by pacing",
    "no_bid": "no bid",
    "timeout": "too late",
    "internal": "own seat bid more",
}
_BINS = 12
_SURE = 1.96


def write_report(result: Result, path: Path) -> Path:
    """Write the page.

    Raises:
        UsageError: The place cannot be written.

    """
    beside = result.folder is not None and path.resolve().parent == result.folder.resolve()
    write_page(path, render_report(result, linked=beside and not _values_are_drawn(result)))
    return path


def render_report(result: Result, *, linked: bool = False) -> str:
    """Return the page as HTML; the same result gives the same bytes.

    Args:
        result: The run.
        linked: Whether the advertisers' pages lie beside it.

    Raises:
        RunDirectoryError: The run lacks what the page shows.

    """
    filters = {"money": _money, "whole": _whole, "percent": _percent}
    with whole_run(result):
        return str(environment(**filters).get_template("run.html").render(linked=linked, **_content(result)))


def _bucket(result: Result) -> str:
    length = result.facts.bucket_us
    return {HOUR: "hour", DAY: "day"}.get(length, f"period of {format_duration(length)}")


def _content(result: Result) -> dict[str, Any]:
    summary = result.summary
    pictures = [
        ("Spend over time", f"What all campaigns together paid in each {_bucket(result)}.", _spend_chart(result)),
        (
            "Where opportunities went",
            "Each bar is all requests that matched the campaign's targeting.",
            _loss_chart(summary["campaigns"]),
        ),
        _calibration(result),
    ]
    return {
        "summary": summary,
        "facts": result.facts,
        "campaigns": summary["campaigns"],
        "losses": {k: v for k, v in _LABELS.items() if k != "won"},
        "pictures": pictures,
        "landscape": _landscape_rows(result),
    }


def _money(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"


def _spend_chart(result: Result) -> str:
    timeline = result.tables["timeline"]
    starts = np.unique(timeline["start_us"])
    spend = timeline["payment_nanos"].reshape(-1, len(starts)).sum(axis=0) / NANOS_PER_UNIT
    return charts.lines_over_days(
        (1.0 + starts / DAY).tolist(), {"spend": spend.tolist()}, "spend", "Spend of all campaigns over time"
    )


def _loss_chart(campaigns: dict[str, Any]) -> str:
    targeted = {
        n: row["wins"] + sum(c for r, c in row["lost"].items() if r != "not_targeted") for n, row in campaigns.items()
    }
    shares = {}
    for reason, label in _LABELS.items():
        counts = [row["wins"] if reason == "won" else row["lost"][reason] for row in campaigns.values()]
        if any(counts):
            shares[label] = [100 * c / max(t, 1) for c, t in zip(counts, targeted.values(), strict=True)]
    return charts.stacked_shares(
        list(campaigns), shares, "Share of targeted requests won and lost, by campaign and reason"
    )


def _values_are_drawn(result: Result) -> bool:
    """Whether bidders believe values rather than rates: there are no users and no conversion model."""
    return result.facts.values_are_drawn


def _calibration(result: Result) -> tuple[str, str, str]:
    """Heading, words and picture of predictions beside the truth, of decisions that won and of those that did not."""
    what, who = ("value", "the bidder") if _values_are_drawn(result) else ("rate", "the model")
    found = _predicted_and_true(result)
    if found is None:
        return f"Predicted against true {what}", "", ""
    predicted, true, unit = found
    won = np.array(result.tables["bids"]["reason"], object) == "won"
    parts = {"won": won, "not won": ~won}
    if min(int(part.sum()) for part in parts.values()) < _BINS:
        parts = {"all": np.ones(len(won), np.bool_)}
    groups = {
        name: np.array_split(np.flatnonzero(part)[np.argsort(predicted[part], kind="stable")], _BINS)
        for name, part in parts.items()
    }
    series = {
        name: ([float(predicted[g].mean()) for g in drawn], [float(true[g].mean()) for g in drawn])
        for name, drawn in groups.items()
    }
    picture = charts.points_with_line(series, f"predicted {unit}", f"true {unit}", "Predicted against true")
    return (
        f"Predicted against true {what}",
        f"Sampled decisions in groups of equal size; on the line, {who} is "
        f"right.{_by_outcome(predicted, true, parts, who)}",
        picture,
    )


def _by_outcome(
    predicted: NDArray[np.float64], true: NDArray[np.float64], parts: dict[str, NDArray[np.bool_]], who: str
) -> str:
    """Predictions over truth where the bid won and where it did not, and why they differ."""
    if len(parts) == 1 or not all(true[part].sum() > 0 for part in parts.values()):
        return ""
    (won, won_error), (lost, lost_error) = (_over_truth(predicted[part], true[part]) for part in parts.values())
    told = f" In this sample predictions are {won:.2f} of the truth where the bid won, and {lost:.2f} where it did not"
    apart = _SURE * float(np.hypot(won_error, lost_error))
    if abs(won - lost) <= apart:
        return f"{told}, which is no more apart than chance explains."
    if won < lost:
        return f"{told}."
    learns = ", and a model learns only from what was won" if who == "the model" else ""
    return f"{told}: bids win where they think too well of an impression (the winner's curse){learns}."


def _over_truth(predicted: NDArray[np.float64], true: NDArray[np.float64]) -> tuple[float, float]:
    """Ratio of sums of a sample, and its standard error by linearisation."""
    ratio = float(predicted.sum() / true.sum())
    return ratio, float(np.sqrt(((predicted - ratio * true) ** 2).sum()) / true.sum())


def _predicted_and_true(result: Result) -> tuple[NDArray[np.float64], NDArray[np.float64], str] | None:
    """What was believed of each sampled decision, the truth, and their unit.

    None where rows do not tell it, or are too few.
    """
    bids = result.tables["bids"]
    predicted, true, unit = 100 * bids["pcvr"], 100 * bids["true_rate"], "rate, %"
    if _values_are_drawn(result):
        if result.facts.charge == "click":
            return None  # bids are for clicks, values of impressions are not in the rows
        campaigns = result.tables["campaigns"]
        worth = dict(zip(campaigns["campaign"], campaigns["conversion_value_nanos"].tolist(), strict=True))
        predicted, unit = bids["value_nanos"] / NANOS_PER_UNIT, "value of an impression"
        true = bids["true_rate"] * np.array([worth[name] for name in bids["campaign"]], np.float64) / NANOS_PER_UNIT
    return (predicted, true, unit) if len(predicted) >= _BINS else None


def _landscape_rows(result: Result) -> list[dict[str, Any]]:
    """What 0.8 and 1.2 times each campaign's bids would have bought, against its own, in percent."""
    table = result.tables["landscape"]
    rows: dict[str, dict[float, tuple[int, float]]] = {}
    for name, factor, wins, paid in zip(
        table["campaign"],
        table["bid_factor"].tolist(),
        table["wins"].tolist(),
        table["payment_nanos"].tolist(),
        strict=True,
    ):
        rows.setdefault(name, {})[factor] = (wins, paid / NANOS_PER_UNIT)
    found = []
    for name, by_factor in rows.items():
        own_wins, own_paid = by_factor[1.0]
        if own_wins:
            changes = {
                f: (by_factor[f][0] / own_wins - 1, by_factor[f][1] / own_paid - 1 if own_paid else 0.0)
                for f in (0.8, 1.2)
            }
            found.append({"campaign": name, "lower": changes[0.8], "higher": changes[1.2], "auctions": own_wins})
    return found
