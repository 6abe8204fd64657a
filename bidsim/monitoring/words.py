"""What an operator on call is told: one sentence for each incident, and what else moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bidsim.core.units import DAY, HOUR, MINUTE
from bidsim.monitoring.cells import ALL
from bidsim.monitoring.pages import BOTS, LATE, OUTAGE, SHIFT, SOON, STUCK
from bidsim.monitoring.signals import CLICKS, CONVERSIONS, DELAY, PRICE, TRAFFIC, WINS

if TYPE_CHECKING:
    from bidsim.monitoring.monitor import Watch
    from bidsim.monitoring.pages import NoticedIncident, Sounded
    from bidsim.monitoring.planned import Planned

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_NEW = 1e-3
_OTHERS = 4
_OFF = 0.25
"""How far what is normal may lie from what the model predicts, before it is told apart."""


def moment(window: int, length: int) -> str:
    """When a window begins: ``day 9 (Tue) 06:00``."""
    time = window * length
    day = time // DAY
    return f"day {day + 1} ({_DAYS[day % 7]}) {time % DAY // HOUR:02d}:{time % HOUR // MINUTE:02d}"


def headline(page: NoticedIncident, watch: Watch) -> str:
    """One sentence: what, where, since when, how big."""
    when = f"since {moment(page.since, watch.cells.window)}" + (
        f" until {moment(page.until, watch.cells.window)}" if page.until is not None else ""
    )
    return _TOLD.get(page.what, _counts)(page, when, *_shares(page, watch))


def _outage(page: NoticedIncident, when: str, before: float, now: float) -> str:
    return (
        f"Feature {page.about.field} is missing in {_percent(now)} of {_rows(page)} {when}, before in "
        f"{_percent(before)}."
    )


def _stuck(page: NoticedIncident, when: str, before: float, now: float) -> str:
    return (
        f"Feature {page.about.field} hardly varies {when}: {page.about.level} in {_percent(now)} of {_rows(page)}, "
        f"before in {_percent(before)}."
    )


def _shift(page: NoticedIncident, when: str, before: float, now: float) -> str:
    if before < _NEW < now:
        return f"{page.about.name} is new {when}: {_percent(now)} of {_rows(page)} have it."
    return f"{page.about.name} has {_percent(now)} of {_rows(page)} {when}, before {_percent(before)}."


def _late(page: NoticedIncident, when: str, before: float, now: float) -> str:
    owner = f" of {page.about.advertiser or page.about.product}" if page.about.advertiser or page.about.product else ""
    return (
        f"Conversions{owner} are reported {'later' if page.what == LATE else 'sooner'} {when}: {_percent(now)} of "
        f"reports come {page.about.level}, before {_percent(before)}."
    )


def _bots(page: NoticedIncident, when: str, before: float, now: float) -> str:
    rise = f"rose from {_percent(before)} to {_percent(now)} of impressions"
    return (
        f"Clicks on {page.about.name} {rise} {when} and conversions did not follow: bots click, or clicks are "
        "counted twice."
    )


def _counts(page: NoticedIncident, when: str, before: float, now: float) -> str:
    kind, range_ = page.signal.kind, f"{_percent(page.low)} to {_percent(page.high)}"
    where = "" if page.about.name == ALL else f" for {page.about.name}"
    if kind == CONVERSIONS:
        if _as_predicted(page):
            told, low, high = (_percent(x * page.level) for x in (page.multiplier, page.low, page.high))
            return f"Conversions{where} are {told} ({low} to {high}) of those that the model predicts {when}."
        return (
            f"Conversions{where} are {_percent(page.multiplier)} ({range_}) of normal {when}, which was "
            f"{_percent(page.level)} of those that the model predicts."
        )
    told = {WINS: "Auctions won", PRICE: "Prices paid", CLICKS: "Clicks for an impression", TRAFFIC: "Requests"}[kind]
    return f"{told}{where} are {_percent(page.multiplier)} ({range_}) of normal {when}."


_TOLD = {OUTAGE: _outage, STUCK: _stuck, SHIFT: _shift, LATE: _late, SOON: _late, BOTS: _bots}
_BROKEN = (
    "Look at what delivers {field}: predictions rest on a value that is not there, so bids are off wherever it matters."
)
_ADVICE = {
    OUTAGE: _BROKEN,
    STUCK: _BROKEN,
    SHIFT: "Other people come; see whether slices with a larger share are calibrated, and who sent the traffic.",
    LATE: "None is lost as far as can be told; do not retrain on labels of these days, and ask who reports "
    "conversions.",
    SOON: "Nothing is lost; labels are complete sooner than before, so see whether a backlog was worked off or the "
    "rule of reporting changed.",
    BOTS: "Do not pay for these clicks, and keep them out of the training rows.",
}

_ON_CLICKS = (
    "Conversions follow as far as can be told; look at the placements and creatives that are clicked, and at "
    "how clicks are counted."
)
_TOO_LITTLE = "The model predicts too little here: bids are too low until it is trained anew."
_UNSURE = "More come than used to; whether it is more than the model predicts cannot be told from chance yet."
_NOT_NORMAL = (
    "More come than used to, and no more than the model predicts: see whether the windows taken for normal "
    "were, as at a run's beginning they may not be."
)


def advice(page: NoticedIncident) -> str:
    """What to look at first."""
    if page.what in _ADVICE:
        return _ADVICE[page.what].format(field=page.about.field)
    if page.signal.kind == CONVERSIONS:
        return _advice_on_conversions(page)
    return (
        _ON_CLICKS
        if page.signal.kind == CLICKS
        else "Budgets, rivals' prices or bids changed; the model's calibration did not, or follows from it."
    )


def _advice_on_conversions(page: NoticedIncident) -> str:
    about = page.about
    if page.multiplier > 1.0:
        over = page.low * page.level > 1.0
        return _TOO_LITTLE if over else _NOT_NORMAL if page.multiplier * page.level <= 1.0 else _UNSURE
    if about.advertiser and not about.field:
        elsewhere = any(a.slice.advertiser != about.advertiser or a.signal.kind != CONVERSIONS for a in page.alarms)
        alone = "Other alarms sounded, too (below), but" if elsewhere else "No other alarm sounded, so"
        return f"{alone} ask this advertiser: its tracker, its checkout or its offer."
    if about.field:
        return f"{about.name} explains it best: look at what is particular to it before touching the model."
    return (
        "No part of the traffic explains it better than all of it: look at the last deployment of the model, or at "
        "what reports all conversions."
    )


def _as_predicted(page: NoticedIncident) -> bool:
    """Whether what was normal is nearly what the model predicts."""
    return abs(page.level - 1.0) < _OFF


def others(page: NoticedIncident, watch: Watch) -> list[str]:
    """What else moved, the surest first, other signals before more slices of the same; and what did not."""
    rest = [a for a in page.alarms if a.signal.kind != page.signal.kind or a.alarm.slice != page.slice]
    rest.sort(key=lambda a: (a.signal.kind == page.signal.kind, -a.alarm.strength))
    seen: dict[str, int] = {}
    told = []
    for one in rest:
        seen[one.signal.kind] = seen.get(one.signal.kind, 0) + 1
        if seen[one.signal.kind] <= _OTHERS:
            told.append(
                f"{_LABELS[one.signal.kind]}: {one.slice.name} at {_percent(one.alarm.multiplier)} when noticed, "
                f"{noticed(one, watch)}"
            )
    told += [f"{_LABELS[kind]}: {count - _OTHERS:,} more slices" for kind, count in seen.items() if count > _OTHERS]
    if not page.of(TRAFFIC) and TRAFFIC in watch.signals:
        told.append("No alarm on a feature, or on a level's share of the traffic.")
    return told


def as_planned(change: Planned, watch: Watch) -> str:
    """One sentence about a flight: that it began or ended, and what followed from it, the surest first."""
    told = (
        f"{change.campaign} {'begins' if change.begins else 'ends'} as planned, "
        f"{moment(change.window, watch.cells.window)}"
    )
    first: dict[str, str] = {}
    for signal, alarm in sorted(change.followed, key=lambda f: -f[1].strength):
        none = signal.share(alarm.slice, 0, min(alarm.since, change.window)) == 0.0
        now = "where there were none" if none else f"at {_percent(alarm.multiplier)} of before"
        first.setdefault(signal.kind, f"{_LABELS[signal.kind].lower()} ({signal.slices[alarm.slice].name}) {now}")
    return f"{told}; with it {', '.join(first.values())}." if first else f"{told}."


_LABELS = {
    CONVERSIONS: "Conversions",
    TRAFFIC: "Features and traffic",
    DELAY: "Delays",
    PRICE: "Prices paid",
    WINS: "Auctions won",
    CLICKS: "Clicks",
}


def label(kind: str) -> str:
    """Name of a signal."""
    return _LABELS[kind]


def noticed(one: Sounded, watch: Watch) -> str:
    """When an alarm sounded: at the end of the window that showed it."""
    return moment(one.alarm.window + 1, watch.cells.window)


def _rows(page: NoticedIncident) -> str:
    return (
        "impressions"
        if page.about.field in ("price", "frequency", "hours_since_seen", "days_since_purchase")
        else "requests"
    )


def _shares(page: NoticedIncident, watch: Watch) -> tuple[float, float]:
    """Part of the whole before and since; the window in which it began belongs to neither where another follows."""
    signal, end = page.signal, page.until or watch.cells.windows
    start = page.since + 1 if page.since + 1 < end else page.since

    before = (watch.quiet, page.since) if page.since > watch.quiet else (0, watch.quiet)
    return signal.share(page.slice, *before), signal.share(page.slice, start, end)


def _percent(share: float) -> str:
    if not np.isfinite(share):
        return "?"
    percent = 100 * share
    return f"{percent:,.0f}%" if percent >= 10 or percent == 0 else f"{percent:.1f}%"  # noqa: PLR2004
