"""From alarms to incidents: which alarms belong together, and which of them explains the others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bidsim.monitoring.detector import Alarm, Detector, deviance
from bidsim.monitoring.signals import (
    AT_ONCE,
    CLICKS,
    CONVERSIONS,
    DELAY,
    FULLEST,
    MISSING,
    PRICE,
    TRAFFIC,
    WINS,
    Signal,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bidsim.monitoring.cells import TrafficSlice

OUTAGE, STUCK, SHIFT, LATE, SOON, FEWER, MORE, BOTS = (
    "outage",
    "stuck",
    "shift",
    "late",
    "soon",
    "fewer",
    "more",
    "bots",
)
"""What an incident is: a feature that is missing, or hardly varies; levels that change their share; reports that come
later, or sooner; counts that fall or rise; bots."""
_NEAR = 2
_FAILED = 0.98
_SAME, _TOGETHER = 0.3, 3
_SOON = 6
_BEYOND = 1.3


@dataclass(frozen=True)
class Sounded:
    """An alarm with the signal it came from; windows are the run's.

    Attributes:
        signal: The signal.
        alarm: The alarm.
        until: First window after it; None where it is not over.

    """

    signal: Signal
    alarm: Alarm
    until: int | None

    @property
    def slice(self) -> TrafficSlice:
        """What it is about."""
        return self.signal.slices[self.alarm.slice]


@dataclass
class NoticedIncident:
    """One incident.

    Attributes:
        alarms: Its alarms, in the order in which they sounded.
        noticed: Window of the first one.
        signal: Signal that explains it.
        what: Kind of incident.
        slice: What it is about, as its number in the signal.
        since: First window of the change.
        until: First window after it; None where it is not over.
        multiplier: What came over what was expected from ``since`` on, with a 95% interval from ``low`` to ``high``.
        low: See there.
        high: See there.
        evidence: Log-likelihood ratio of this change against none.
        level: What was normal, as a part of what was expected beforehand (of conversions: of those that the model
            predicts).

    """

    alarms: list[Sounded]
    noticed: int
    signal: Signal
    what: str = ""
    slice: int = 0
    since: int = 0
    until: int | None = None
    multiplier: float = 1.0
    low: float = 1.0
    high: float = 1.0
    evidence: float = 0.0
    level: float = 1.0

    @property
    def about(self) -> TrafficSlice:
        """The slice."""
        return self.signal.slices[self.slice]

    @property
    def kinds(self) -> set[str]:
        """Signals that sounded."""
        return {a.signal.kind for a in self.alarms}

    def of(self, kind: str) -> list[Sounded]:
        """Alarms of one signal, the first one first."""
        return [a for a in self.alarms if a.signal.kind == kind]


@dataclass(frozen=True)
class _Known:
    """What detectors know of every window that was watched."""

    detectors: dict[str, Detector]
    quiet: int

    def counted(self, kind: str, since: int, until: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Counts expected and counted from one window to before another, float64[slices] each."""
        detector = self.detectors[kind]
        rows = slice(max(since - self.quiet, 0), max(until - self.quiet, 1))
        return np.array(detector.means[rows]).sum(axis=0), np.array(detector.came[rows]).sum(axis=0)


def pages_of(sounded: list[Sounded], detectors: dict[str, Detector], quiet: int, windows: int) -> list[NoticedIncident]:
    """Group alarms into incidents and say what each is.

    Args:
        sounded: All alarms.
        detectors: Detectors, by kind of signal.
        quiet: Windows before the first one that was watched.
        windows: Windows of the run.

    """
    known = _Known(detectors, quiet)
    pages: list[NoticedIncident] = []
    for one in sorted(sounded, key=lambda s: (s.alarm.window, -s.alarm.strength)):
        joined = next((page for page in pages if _belongs(one, page, known)), None)
        if joined is None:
            joined = NoticedIncident([], one.alarm.window, one.signal, since=one.alarm.since)
            pages.append(joined)
        joined.alarms.append(one)
    return [_explained(page, known, windows) for page in pages]


def _belongs(one: Sounded, page: NoticedIncident, known: _Known) -> bool:
    """Whether an alarm is part of an incident.

    It began with it, or its counts fit that it did, or it is about a part of what is in alarm.
    """
    begun = page.alarms[0].alarm.since
    if one.alarm.window <= page.noticed + _TOGETHER or begun - _NEAR <= one.alarm.since <= page.noticed + _NEAR:
        return True
    still = [a for a in page.alarms if a.until is None or a.until >= one.alarm.since - _NEAR]
    if not still:
        return False
    if any(a.signal.kind == DELAY for a in still) and one.signal.kind in (DELAY, CONVERSIONS):
        return True
    if one.signal.kind in (WINS, PRICE, CLICKS) and any(
        a.signal.kind == CONVERSIONS and _is_about(one.slice, a.slice) for a in still
    ):
        return True  # bids follow predictions
    return any(_is_part(one, other) for other in still) or (one.alarm.since < begun and _fits(one, begun, known))


def _fits(one: Sounded, begun: int, known: _Known) -> bool:
    own, other = (
        deviance(*known.counted(one.signal.kind, since, one.alarm.window + 1))[one.alarm.slice]
        for since in (one.alarm.since, begun)
    )
    return bool(other >= _SAME * own)


def _is_part(one: Sounded, other: Sounded) -> bool:
    same = one.signal.kind == other.signal.kind and (one.alarm.multiplier > 1.0) == (other.alarm.multiplier > 1.0)
    return same and _is_about(one.slice, other.slice)


def _is_about(a: TrafficSlice, b: TrafficSlice) -> bool:
    """Whether a slice is part of another, or is it."""
    return all(getattr(b, key) in ("", getattr(a, key)) for key in ("field", "level", "advertiser", "product"))


def _explained(page: NoticedIncident, known: _Known, windows: int) -> NoticedIncident:
    """Find what explains the others.

    Features first, then traffic, reports, conversions, and at last prices, wins and clicks.
    """
    failed = _failed_feature(page, known, windows)
    if failed is not None:
        return _told(page, known, windows, *failed)
    shifted = [a for a in page.of(TRAFFIC) if not _of_a_pair(a)]
    if shifted and min(a.alarm.since for a in shifted) <= page.noticed + _NEAR:
        return _told(page, known, windows, shifted, SHIFT)
    if page.of(DELAY):
        return _told(page, known, windows, page.of(DELAY), LATE if _come_later(page.of(DELAY)) else SOON)
    soon = [a for a in page.of(CONVERSIONS) if a.alarm.window <= page.noticed + _SOON]
    clicks = [a for a in page.of(CLICKS) if a.alarm.multiplier > 1.0]
    if soon and clicks and all(a.alarm.multiplier < 1.0 for a in soon):
        return _told(page, known, windows, clicks, BOTS)
    market = any(a.alarm.window <= page.noticed + 1 for kind in (WINS, PRICE) for a in page.of(kind))
    leads = soon and (not market or _conversions_lead(page, known, soon, windows))
    mine = (
        soon if leads else next(page.of(kind) for kind in (WINS, PRICE, CONVERSIONS, CLICKS, TRAFFIC) if page.of(kind))
    )
    return _told(page, known, windows, mine, "")


def _come_later(alarms: list[Sounded]) -> bool:
    """Whether the surest alarm says so: more reports that come late, or fewer that come at once."""
    first = max(alarms, key=lambda a: a.alarm.strength)
    return (first.slice.level == AT_ONCE) == (first.alarm.multiplier < 1.0)


def _of_a_pair(one: Sounded) -> bool:
    """Whether a feature is one of user and campaign, whose values follow from who wins."""
    return any(s.level == FULLEST and s.field == one.slice.field for s in one.signal.slices)


def _failed_feature(page: NoticedIncident, known: _Known, windows: int) -> tuple[list[Sounded], str] | None:
    """Features that are missing more often than before, or that hardly vary any more."""
    rising = [a for a in page.of(TRAFFIC) if a.alarm.multiplier > 1.0]
    for one in sorted(page.of(TRAFFIC), key=lambda a: (a.slice.level != MISSING, a.alarm.window)):
        share = _share_since(one, page, known, windows)
        if one.slice.level == MISSING and one.alarm.multiplier > 1.0 and (share > _FAILED or not _of_a_pair(one)):
            return [one], OUTAGE
        if one.slice.level != MISSING and one in rising and share > _FAILED:
            return [one], STUCK
    return None


def _share_since(one: Sounded, page: NoticedIncident, known: _Known, windows: int) -> float:
    """Part of requests (or impressions) that a level has since the alarm began; the first window may be hit in part."""
    end = one.until or windows
    start = min(one.alarm.window + 1, end - 1) if page.noticed == one.alarm.window else one.alarm.window
    return one.signal.share(one.alarm.slice, start, end)


def _conversions_lead(page: NoticedIncident, known: _Known, soon: list[Sounded], windows: int) -> bool:
    """Whether conversions changed by more than what changed prices can do by choosing other impressions."""
    best = max(soon, key=lambda a: a.alarm.strength)
    mean, came = known.counted(CONVERSIONS, page.noticed, best.until or windows)
    ratio = float(came[best.alarm.slice] / max(mean[best.alarm.slice], 1e-12))
    return not 1.0 / _BEYOND < ratio < _BEYOND


def _told(page: NoticedIncident, known: _Known, windows: int, mine: list[Sounded], what: str) -> NoticedIncident:
    """Complete a page: the slice that the change fits best, since when, how big, how sure."""
    first = min(mine, key=lambda a: a.alarm.window)
    signal, since = first.signal, _begun(first, page)
    end = max(a.until or windows for a in mine)
    mean, came = known.counted(signal.kind, since, end)
    evidence = deviance(mean, came)
    named = sorted({a.alarm.slice for a in mine if (a.alarm.multiplier > 1.0) or what not in (SHIFT, BOTS)}) or [
        a.alarm.slice for a in mine
    ]
    # where counts have parents the one that fits best may not have sounded itself
    chosen = int(np.argmax(evidence)) if signal.kind == CONVERSIONS else max(named, key=lambda s: float(evidence[s]))
    overdispersion = float(known.detectors[signal.kind].baseline.overdispersion[chosen])
    variance = came[chosen] + overdispersion * came[chosen] ** 2 / max(end - since, 1)
    half, told = 1.96 * float(np.sqrt(max(variance, 1.0))), max(float(mean[chosen]), 1e-12)
    multiplier = float(came[chosen]) / told
    return replace(
        page,
        signal=signal,
        what=what or (FEWER if multiplier < 1.0 else MORE),
        slice=chosen,
        since=since,
        until=None if any(a.until is None for a in mine) else end,
        multiplier=multiplier,
        low=max(float(came[chosen]) - half, 0.0) / told,
        high=(float(came[chosen]) + half) / told,
        evidence=float(evidence[chosen]),
        level=float(mean[chosen]) / max(float(signal.base[since:end, chosen].sum()), 1e-12),
    )


def _begun(first: Sounded, page: NoticedIncident) -> int:
    """When it began: as the alarm says, but what was noticed earlier by another alarm of the page counts, too."""
    return (
        max(first.alarm.since, min(a.alarm.since for a in page.alarms))
        if first.alarm.since <= page.noticed
        else min(first.alarm.since, page.noticed)
    )
