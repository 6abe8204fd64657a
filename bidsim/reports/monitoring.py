"""The operator's page and table: incidents, slices over time, calibration, the log of alarms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.units import DAY, HOUR, SECOND
from bidsim.explain.drift import attribution_shift
from bidsim.monitoring.cells import LEVEL, OWNER, WHOLE
from bidsim.monitoring.signals import CLICKS, CONVERSIONS, DELAY, PRICE, TRAFFIC, WINS
from bidsim.monitoring.table import missing_rates, score_bins, slice_table
from bidsim.monitoring.words import advice, as_planned, headline, label, moment, noticed, others
from bidsim.monitoring.worst import worst_slices
from bidsim.reports import charts
from bidsim.reports.files import write_page
from bidsim.reports.html import environment, whole_run
from bidsim.reports.sentences import figure

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bidsim.core.result import Result
    from bidsim.monitoring.monitor import Watch
    from bidsim.monitoring.pages import NoticedIncident, Sounded

_ROWS, _HEAT, _SERIES, _LOG, _WORST, _FEATURES = 400, 48, 6, 200, 12, 8
_FEWEST = 20.0
"""Conversions below which a bin of the calibration plot is joined with the next."""

_DRAWN = {
    TRAFFIC: "share of the traffic",
    DELAY: "share of reports",
    PRICE: "price, of usual",
    WINS: "wins for a request",
    CLICKS: "clicks / impression",
}


def describe_watch(result: Result, watch: Watch) -> dict[str, Any]:
    """All that the page says, JSON-ready.

    Returns:
        ``run``; ``open``, how many incidents are; ``incidents``; ``planned``, a sentence for each flight that begins or
        ends; ``signals``; ``worst`` slices of the whole run; ``missing`` values by feature; ``attributions``, what the
        model leans on before and after the first incident (else before and since the watch began); ``slices``, columns
        over the watched windows; ``alarms``.

    """
    first, last = watch.quiet, watch.cells.windows
    return {
        "run": _run(result, watch),
        "open": len(watch.open),
        "incidents": [_incident(page, watch) for page in watch.pages],
        "planned": [as_planned(change, watch) for change in watch.planned],
        "signals": [_signal(kind, watch) for kind in watch.signals],
        "worst": [
            {
                "slice": w.name,
                "impressions": w.impressions,
                "predicted": w.predicted,
                "converted": w.converted,
                "ratio": w.ratio,
                "p_value": w.p_value,
            }
            for w in worst_slices(result)[:_WORST]
        ],
        "missing": _missing(result, watch),
        "attributions": attribution_shift(result, _moment(watch))[:_FEATURES],
        "slices": {
            name: [
                _told(v) if isinstance(v, float) else v
                for v in (column if isinstance(column, list) else column.tolist())
            ]
            for name, column in slice_table(result, watch, first, last).items()
        },
        "alarms": [_alarm(sounded, n + 1, watch) for n, page in enumerate(watch.pages) for sounded in page.alarms],
    }


def _run(result: Result, watch: Watch) -> dict[str, Any]:
    return {
        "scenario": result.facts.scenario,
        "seed": result.facts.seed,
        "hash": result.facts.scenario_hash,
        "windows": watch.cells.windows,
        "quiet": watch.quiet,
        "watched": watch.cells.windows - watch.quiet,
        "hours": watch.cells.window / HOUR,
        "from": moment(watch.quiet, watch.cells.window),
        "slices": len(watch.slicing.slices),
    }


def _incident(page: NoticedIncident, watch: Watch) -> dict[str, Any]:
    length = watch.cells.window
    return {
        "headline": headline(page, watch),
        "advice": advice(page),
        "others": others(page, watch),
        "kind": page.what,
        "signal": page.signal.kind,
        "slice": page.about.name,
        "since": moment(page.since, length),
        "since_seconds": page.since * length / SECOND,
        "noticed": moment(page.noticed + 1, length),
        "delay_windows": page.noticed + 1 - page.since,
        "until": None if page.until is None else moment(page.until, length),
        "multiplier": page.multiplier,
        "low": page.low,
        "high": page.high,
        "evidence": page.evidence,
        "likelier": _likelier(page.evidence),
        "alarms": len(page.alarms),
    }


def _likelier(evidence: float) -> str:
    """How much likelier, in words, from the logarithm."""
    return (
        "more than a million times likelier"
        if evidence > math.log(1e6)
        else f"{math.exp(evidence):,.0f} times likelier"
    )


def _signal(kind: str, watch: Watch) -> dict[str, Any]:
    detector, counted = watch.detectors[kind], kind == CONVERSIONS
    return {
        "signal": label(kind),
        "slices": len(watch.signals[kind].slices),
        "expected": _told(float(np.array(detector.means)[:, 0].sum())) if counted else None,
        "came": _told(float(np.array(detector.came)[:, 0].sum())) if counted else None,
        "overdispersion": _told(float(np.median(detector.baseline.overdispersion))),
        "threshold": detector.threshold,
        "alarms": sum(a.signal.kind == kind for page in watch.pages for a in page.alarms),
        "open": len(detector.open),
    }


def _missing(result: Result, watch: Watch) -> list[dict[str, Any]]:
    before = missing_rates(result, watch, 0, watch.quiet)
    return [
        {"feature": name, "quiet": _either(before[name]), "watched": _either(now)}
        for name, now in missing_rates(result, watch, watch.quiet, watch.cells.windows).items()
    ]


def _alarm(sounded: Sounded, incident: int, watch: Watch) -> dict[str, Any]:
    length = watch.cells.window
    return {
        "window": noticed(sounded, watch),
        "signal": label(sounded.signal.kind),
        "slice": sounded.slice.name,
        "since": moment(sounded.alarm.since, length),
        "multiplier": sounded.alarm.multiplier,
        "strength": sounded.alarm.strength,
        "until": None if sounded.until is None else moment(sounded.until, length),
        "incident": incident,
    }


def _either(rates: dict[str, float | None]) -> float | None:
    """Of requests, and of impressions where a feature belongs to user and campaign."""
    return rates["requests"] if rates["requests"] is not None else rates["wins"]


def _moment(watch: Watch) -> int:
    """Time that is looked at from both sides: when the first incident began, else when the watch did."""
    return (watch.pages[0].since if watch.pages else watch.quiet) * watch.cells.window


def _told(value: float) -> float | None:
    return value if math.isfinite(value) else None


def write_watch(content: dict[str, Any], result: Result, watch: Watch, path: Path) -> Path:
    """Write the operator's page from what `describe_watch` made.

    Raises:
        UsageError: The place cannot be written.

    """
    with whole_run(result):
        text = render_watch(content, result, watch)
    write_page(path, text)
    return path


def render_watch(content: dict[str, Any], result: Result, watch: Watch) -> str:
    """Return the page as HTML; the same run gives the same bytes."""
    table = content["slices"]
    order = _worst_first(watch, table)
    rows = [{name: column[k] for name, column in table.items()} for k in order[:_ROWS]]
    return str(
        environment(figure=figure, clip=charts.short)
        .get_template("monitor.html")
        .render(
            **{k: v for k, v in content.items() if k not in ("slices", "alarms")},
            rows=rows,
            all_rows=len(table["slice"]),
            alarms=content["alarms"][:_LOG],
            all_alarms=len(content["alarms"]),
            pictures={
                "incidents": [_of_incident(page, watch) if n < _SERIES else None for n, page in enumerate(watch.pages)],
                "overall": _series(watch, 0),
                "slices": [_series(watch, s) for s in _shown(watch, order)],
                "heat": _heat(watch),
                "calibration": _calibration(result, watch),
            },
        )
    )


def _worst_first(watch: Watch, table: dict[str, list[Any]]) -> list[int]:
    """Slices in the order in which an operator wants them: all traffic, then the furthest from normal."""
    detector = watch.detectors[CONVERSIONS]
    mean, came = np.array(detector.means).sum(axis=0), np.array(detector.came).sum(axis=0)
    scatter = np.sqrt(mean + detector.baseline.overdispersion * mean**2 / max(len(detector.means), 1) + 1e-9)
    far = np.abs(came - mean) / scatter
    far[0] = np.inf
    return [int(k) for k in np.argsort(-far, kind="stable") if table["impressions"][k]]


def _shown(watch: Watch, order: list[int]) -> list[int]:
    """Slices of which a picture is drawn.

    Those that incidents are about, then owners, then the furthest from normal.
    """
    kind = watch.slicing.kind
    about = [watch.slicing.slices.index(p.about) for p in watch.pages if p.about in watch.slicing.slices]
    owners = [k for k in order if kind[k] == 2]  # noqa: PLR2004
    return [k for k in dict.fromkeys([*about, *owners, *order]) if k != 0][:_SERIES]


def _days(watch: Watch) -> NDArray[np.float64]:
    """Middle of each watched window, as days are told: the first is day 1."""
    return 1.0 + (np.arange(watch.quiet, watch.cells.windows) + 0.5) * watch.cells.window / DAY


def _series(watch: Watch, s: int) -> str:
    """Conversions reported in each window beside those expected, with the band in which 95% of quiet windows lie."""
    detector, days = watch.detectors[CONVERSIONS], _days(watch)
    mean, came = np.array(detector.means)[:, s], np.array(detector.came)[:, s]
    half = 1.96 * np.sqrt(mean + detector.baseline.overdispersion[s] * mean**2)
    name = watch.slicing.slices[s].name
    since = [1.0 + p.since * watch.cells.window / DAY for p in watch.pages]
    return charts.band_over_days(
        days.tolist(),
        came.tolist(),
        mean.tolist(),
        half.tolist(),
        since,
        charts.short(name, 50),
        f"Conversions reported in each window: {name}",
    )


def _of_incident(page: NoticedIncident, watch: Watch) -> str | None:
    """What an incident is about, window by window, as a part of the whole.

    None where it is conversions, which are drawn anyway.
    """
    signal, detector, s = page.signal, watch.detectors[page.signal.kind], page.slice
    if signal.kind == CONVERSIONS:
        return None
    whole = np.maximum((signal.base if signal.whole is None else signal.whole)[watch.quiet :, s], 1e-9)
    came, mean = np.array(detector.came)[:, s], np.array(detector.means)[:, s]
    half = 1.96 * np.sqrt(mean + detector.baseline.overdispersion[s] * mean**2)
    if signal.seen is not None and not np.array_equal(signal.seen[:, s], signal.came[:, s]):
        # what is judged of features of user and campaign begins where nearly all are alike, so the share itself is
        # shown
        came, mean = signal.seen[watch.quiet :, s], signal.share(s, 0, watch.quiet) * whole
        half = 1.96 * np.sqrt(mean)
    begun, unit = [1.0 + page.since * watch.cells.window / DAY], _DRAWN[signal.kind]
    part, expected, band = ((counts / whole).tolist() for counts in (came, mean, half))
    return charts.band_over_days(
        _days(watch).tolist(),
        part,
        expected,
        band,
        begun,
        charts.short(page.about.name, 40),
        f"{unit}: {page.about.name}",
        unit,
    )


def _heat(watch: Watch) -> str:
    """How far counts of levels and owners are from normal, window by window."""
    detector, kind = watch.detectors[CONVERSIONS], watch.slicing.kind
    mean, came = np.array(detector.means), np.array(detector.came)
    score = (came - mean) / np.sqrt(mean + detector.baseline.overdispersion * mean**2 + 1e-9)
    plain = np.flatnonzero((kind < 3) & (mean.sum(axis=0) > 0))  # noqa: PLR2004
    chosen = np.sort(plain[np.argsort(-mean[:, plain].sum(axis=0), kind="stable")][:_HEAT])
    names = [charts.short(watch.slicing.slices[s].name, 34) for s in chosen]
    return charts.heat_map(
        names,
        _days(watch).tolist(),
        np.clip(score[:, chosen].T, -5, 5),
        "Standard deviations from normal, by slice and window",
    )


def _calibration(result: Result, watch: Watch) -> str:
    """Predicted and reported rates of all impressions, over bins of the predicted rate.

    They are of the time before the watch began, and since.
    """
    lines = {}
    for name, (first, last) in {"quiet": (0, watch.quiet), "watched": (watch.quiet, watch.cells.windows)}.items():
        wins, converted = score_bins(result, watch, first, last).get(("", ""), (np.zeros(0), np.zeros(0)))
        lines[name] = _joined(wins, converted)
    return charts.rates_by_bin(lines, "Conversions for an impression, by bin of the predicted rate")


def _joined(wins: NDArray[np.float64], converted: NDArray[np.float64]) -> list[tuple[float, float, float]]:
    """(middle of the predicted rates, rate, standard error) of bins with enough conversions, small ones joined."""
    found, n, c, weighted = [], 0.0, 0.0, 0.0
    for box in range(len(wins)):
        n, c, weighted = n + wins[box], c + converted[box], weighted + wins[box] * middle_of_bin(box)
        if c >= _FEWEST:
            found.append((weighted / n, c / n, math.sqrt(c) / n))
            n, c, weighted = 0.0, 0.0, 0.0
    return found


def middle_of_bin(box: int) -> float:
    """Predicted rate in the middle of a bin of odds, see `bidsim.observers.slices.score_bin`."""
    odds = float(2.0 ** ((box - 31 + 0.5) / 2.25))
    return odds / (1.0 + odds)


def prometheus(content: dict[str, Any]) -> str:
    """Figures as Prometheus reads them from a text file (exposition format 0.0.4)."""
    lines = []

    def metric(name: str, text: str, rows: list[tuple[dict[str, Any], float | None]]) -> None:
        lines.append(f"# HELP bidsim_{name} {text}")
        lines.append(f"# TYPE bidsim_{name} gauge")
        for labels, value in rows:
            told = ",".join(f'{key}="{_escaped(str(v))}"' for key, v in labels.items())
            lines.append(f"bidsim_{name}{{{told}}} {'NaN' if value is None else repr(float(value))}")

    run = {"scenario": content["run"]["scenario"], "seed": content["run"]["seed"]}
    metric("incidents_open", "Incidents that are not over.", [(run, content["open"])])
    metric(
        "incident_multiplier",
        "What came over what was expected since an incident began.",
        [
            (
                {
                    **run,
                    "incident": n + 1,
                    "kind": p["kind"],
                    "slice": p["slice"],
                    "open": str(p["until"] is None).lower(),
                },
                p["multiplier"],
            )
            for n, p in enumerate(content["incidents"])
        ],
    )
    metric(
        "incident_since_seconds",
        "When it began, in seconds since the run's start.",
        [({**run, "incident": n + 1}, p["since_seconds"]) for n, p in enumerate(content["incidents"])],
    )
    metric("alarms_open", "Slices in alarm.", [({**run, "signal": s["signal"]}, s["open"]) for s in content["signals"]])
    table = content["slices"]
    plain = [k for k, kind in enumerate(table["kind"]) if kind in (WHOLE, LEVEL, OWNER)]
    for name, text in (
        ("ratio", "Conversions over those due, drawn to normal as far as chance may explain it."),
        ("impressions", "Won impressions."),
        ("share", "Share of won impressions."),
        ("cpm", "Paid for 1,000."),
    ):
        metric(f"slice_{name}", text, [({**run, "slice": table["slice"][k]}, table[name][k]) for k in plain])
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
