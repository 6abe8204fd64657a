"""`monitor`: from a run to the pages that an operator on call reads; one incident is one page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bidsim.core.errors import UsageError
from bidsim.core.units import DAY
from bidsim.monitoring.baseline import SURE, fit_baseline
from bidsim.monitoring.cells import Cells, Slicing, read_cells, slicing_of
from bidsim.monitoring.detector import Detector
from bidsim.monitoring.pages import NoticedIncident, Sounded, pages_of
from bidsim.monitoring.planned import Planned, cause_of, planned_changes
from bidsim.monitoring.replay import replay_threshold
from bidsim.monitoring.signals import CONVERSIONS, SHARES, Signal, signals_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from bidsim.core.result import Result

FEWEST_WINDOWS = 6
"""A run with fewer windows is not watched."""
_FEWEST_QUIET = 4


@dataclass(frozen=True)
class Watch:
    """What was watched and found.

    Attributes:
        cells: Counts.
        slicing: Slices.
        quiet: Windows at the start that were taken for normal.
        signals: What was watched.
        detectors: Their statistics, by kind of signal.
        pages: Incidents, the first one first.
        planned: Flights that begin or end while the run is watched, and what followed from them.

    """

    cells: Cells
    slicing: Slicing
    quiet: int
    signals: dict[str, Signal]
    detectors: dict[str, Detector]
    pages: list[NoticedIncident]
    planned: list[Planned]

    @property
    def open(self) -> list[NoticedIncident]:
        """Incidents that are not over."""
        return [page for page in self.pages if page.until is None]


def monitor(
    result: Result,
    quiet: int | None = None,
    *,
    replay: bool = True,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Watch:
    """Watch a run, window after window, as if it were going on.

    Args:
        result: The run.
        quiet: Windows at its start that are known to be normal; by default what the scenario says, or a third.
        replay: Whether the threshold for conversions is found by replaying quiet traffic; else it is the higher one
            that theory promises.
        progress: Called with (stage, done since the last call, total).

    Raises:
        UsageError: The run has no slices, or too few windows.

    Example:
        >>> import bidsim
        >>> from bidsim.monitoring.monitor import monitor
        >>> tiny = {"requests": 3_000, "history.requests": 20_000, "seats.main.model": "oracle"}
        >>> watch = monitor(bidsim.run(bidsim.load_scenario("quickstart", tiny)), replay=False)
        >>> isinstance(watch.pages, list)
        True

    """
    cells = read_cells(result)
    if quiet is not None and not 2 <= quiet < cells.windows:  # noqa: PLR2004
        raise UsageError(
            f"--quiet {quiet}: the run has {cells.windows} windows, so 2 to {cells.windows - 1} of them can be taken "
            "for normal"
        )
    quiet = _quiet_windows(result, cells) if quiet is None else quiet
    if cells.windows < FEWEST_WINDOWS or not 2 <= quiet < cells.windows:  # noqa: PLR2004
        raise UsageError(
            f"{cells.windows} windows, {quiet} of them taken for normal, are too few to watch; shorten "
            f"monitoring.window so that there are {FEWEST_WINDOWS} or more"
        )
    slicing = slicing_of(cells)
    signals = {signal.kind: signal for signal in signals_of(result, cells, slicing, quiet)}
    rate = result.facts.false_alarms / 1000.0
    detectors, sounded, planned = {}, [], planned_changes(result, cells.window, quiet)
    for signal in signals.values():
        detector = _detector(signal, cells, slicing, quiet, rate * SHARES[signal.kind], replay=replay)
        sounded += _sounded(signal, detector, quiet, planned)
        detectors[signal.kind] = detector
        progress("signals", 1, len(signals))
    return Watch(cells, slicing, quiet, signals, detectors, pages_of(sounded, detectors, quiet, cells.windows), planned)


def _sounded(signal: Signal, detector: Detector, quiet: int, planned: list[Planned]) -> list[Sounded]:
    """Watch one signal; what follows from the plan becomes normal, and is told with the plan instead."""
    found = []
    for k in range(quiet, len(signal.base)):
        for alarm in detector.watch(signal.base[k], signal.came[k]):
            shifted = replace(alarm, window=alarm.window + quiet, since=alarm.since + quiet)
            cause = cause_of(planned, signal, shifted)
            if cause is None:
                found.append((alarm, shifted))
            else:
                cause.followed.append((signal, shifted))
                since = slice(max(shifted.since, cause.seen), k + 1)
                detector.accept(
                    alarm, float(signal.base[since, alarm.slice].sum()), float(signal.came[since, alarm.slice].sum())
                )
    over = {(alarm.slice, alarm.window): back + quiet for alarm, back in detector.ended}
    return [Sounded(signal, shifted, over.get((alarm.slice, alarm.window))) for alarm, shifted in found]


def _quiet_windows(result: Result, cells: Cells) -> int:
    told = result.facts.watch_baseline_us
    return max(told // cells.window, 2) if told is not None else max(cells.windows // 3, _FEWEST_QUIET)


def _detector(signal: Signal, cells: Cells, slicing: Slicing, quiet: int, rate: float, *, replay: bool) -> Detector:
    """Learn what is normal, and find the threshold.

    By replay for conversions, elsewhere the one that theory promises.
    """
    conversions = signal.kind == CONVERSIONS
    apart = quiet - 1 if conversions else max(round(quiet * cells.window / max(DAY, cells.window)), 2) - 1
    baseline = fit_baseline(
        signal.base[:quiet],
        signal.came[:quiet],
        signal.family,
        half_life=signal.half_life,
        gap=signal.gap,
        independent=apart,
        sure=SURE if conversions else 0.95,
    )
    known = Signal(
        signal.kind,
        signal.slices,
        signal.base[:quiet],
        signal.came[:quiet],
        signal.family,
        signal.half_life,
        signal.gap,
    )
    threshold = 1.0 / rate
    if replay and conversions and signal.came[:quiet].any():
        fields = [
            np.flatnonzero([f == name for f, _ in cells.levels]) for name in dict.fromkeys(f for f, _ in cells.levels)
        ]
        mean = cells.columns["pcvr_sum"][:quiet].mean(axis=0)
        threshold = replay_threshold(baseline, known.weight, mean, fields, slicing, rate, seed=0)
    return Detector(baseline, known.weight, threshold)
