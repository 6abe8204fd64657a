"""A run that is looked at while it goes: advertisers so far, and incidents as soon as they are noticed."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.errors import UsageError
from bidsim.core.facts import shortened
from bidsim.core.units import NANOS_PER_UNIT
from bidsim.experiments.run import Kept, run
from bidsim.interrupt import stop_if_asked
from bidsim.monitoring.cells import Cells, read_cells
from bidsim.monitoring.monitor import FEWEST_WINDOWS, monitor
from bidsim.monitoring.words import headline, moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from bidsim.core.result import Result
    from bidsim.scenario.load import Scenario

_EVERY = 1.0
_PART = 0.1
"""Part of the time that looking may take."""


def run_watched(scenario: Scenario, keep: Kept | None = None) -> Result:
    """Run a scenario with a live view on standard error; where that is no terminal, it is run without."""
    if not sys.stderr.isatty():
        return run(scenario, keep=keep)
    from rich.console import Console  # noqa: PLC0415  (only on a terminal)
    from rich.live import Live  # noqa: PLC0415

    from bidsim.reports.watching import live_view  # noqa: PLC0415

    total = max(scenario.settings.requests, 1)
    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        looker = Looker(
            lambda done, rows, incidents, when: live.update(live_view(done, total, rows, incidents, when), refresh=True)
        )
        return run(scenario, progress=lambda *told: stop_if_asked(), look=looker, keep=keep)


class Looker:
    """Looks at a run now and then, and takes no more than a tenth of the time.

    Args:
        show: Called with the requests done, rows of advertisers, sentences about open incidents, and the time in the
            world.

    """

    def __init__(self, show: Callable[[int, list[dict[str, Any]], list[str], str], None]) -> None:
        self._show = show
        self._next = 0.0

    def __call__(self, done: int, so_far: Callable[[], Result]) -> None:
        """Look, if it is time."""
        begun = time.perf_counter()
        if begun < self._next:
            return
        result = so_far()
        try:
            cells = read_cells(result)
        except UsageError:
            return
        seen = whole_windows(cells)
        self._show(done, advertiser_rows(result, cells, seen), _incidents(result, seen), moment(seen, cells.window))
        took = time.perf_counter() - begun
        self._next = time.perf_counter() + max(_EVERY, took / _PART)


def whole_windows(cells: Cells) -> int:
    """Windows that are over: those before the last in which anything was won."""
    won = np.flatnonzero(cells.columns["wins"].sum(axis=(1, 2)))
    return int(won[-1]) if len(won) else 0


def advertiser_rows(result: Result, cells: Cells, seen: int) -> list[dict[str, Any]]:
    """What each advertiser (or product, where slices are by product) came to in the windows that are over."""
    whole = {name: values[:seen, cells.first_field()].sum(axis=1) for name, values in cells.columns.items()}
    rows = []
    for g, (advertiser, product) in enumerate(cells.groups):
        column = {name: values[:, g] for name, values in whole.items()}
        rows.append(
            {
                "advertiser": f"{advertiser} {product}".strip() or "all campaigns",
                "wins": int(column["wins"].sum()),
                "paid": float(column["payment_nanos"].sum()) / NANOS_PER_UNIT,
                "clicks": int(column["clicks"].sum()),
                "predicted": float(column["pcvr_sum"].sum()),
                "reported": int(column["arrived"].sum()),
                "by_window": column["arrived"].astype(np.int64).tolist(),
            }
        )
    return rows


def _incidents(result: Result, seen: int) -> list[str]:
    """Open incidents in the windows that are over."""
    if seen < FEWEST_WINDOWS:
        return []
    cut = until(result, seen)
    try:
        watch = monitor(cut, replay=False)
    except (UsageError, ValueError):
        return []
    return [headline(page, watch) for page in watch.open]


def until(result: Result, seen: int) -> Result:
    """The run as if it had ended with window ``seen``."""
    from bidsim.core.result import Result as Made  # noqa: PLC0415

    end = seen * result.facts.watch_window_us
    baseline = result.facts.watch_baseline_us or result.facts.duration_us // 3
    tables = dict(result.tables)
    for name in ("slices", "scores", "population"):
        rows = np.flatnonzero(np.asarray(tables[name]["start_us"]) < end)
        tables[name] = {
            key: [column[k] for k in rows] if isinstance(column, list) else column[rows]
            for key, column in tables[name].items()
        }
    reported = np.asarray(tables["conversions"]["reported_us"])
    rows = np.flatnonzero((reported >= 0) & (reported < end))
    tables["conversions"] = {
        key: [column[k] for k in rows] if isinstance(column, list) else column[rows]
        for key, column in tables["conversions"].items()
    }
    return Made(shortened(result.manifest, end, baseline), tables)
