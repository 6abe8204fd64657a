"""Full runs of the engine: quiet ones, and every incident on seeds of its own."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.figures import Figure, Report
from bidsim.experiments.run import run
from bidsim.experiments.worlds import run_all, share_models
from bidsim.monitoring.baseline import local_overdispersion
from bidsim.monitoring.monitor import monitor
from bidsim.monitoring.pages import BOTS, FEWER, LATE, MORE, OUTAGE, SHIFT, STUCK
from bidsim.monitoring.signals import CONVERSIONS
from bidsim.scenario.load import Scenario, load_scenario

if TYPE_CHECKING:
    from argparse import Namespace

SCENARIOS = Path(__file__).resolve().parent.parent.parent / "scenarios"
_FIRST_SEED = 301_000
"""Seeds that nothing was tuned on."""
_RUNS, _BEGUN = 10, 32
# kind -> what a page must say, and the most windows after the start by whose end half of the runs must have noticed
_INCIDENTS: dict[str, tuple[str, str, float]] = {
    "feature_outage": (OUTAGE, "days_since_purchase", 3.0),
    "stuck_feature": (STUCK, "engagement", 3.0),
    "traffic_shift": (SHIFT, "geo", 3.0),
    "new_site": (SHIFT, "site", 3.0),
    "budget_change": (MORE, "", 7.5),
    "price_shift": (FEWER, "", 7.5),
    "tracker_outage": (FEWER, "", 3.0),
    "late_labels": (LATE, "reported", 3.0),
    "conversion_drop": (FEWER, "geo", 6.0),
    "faulty_model": (FEWER, "", 7.5),
    "bots": (BOTS, "placement", 6.0),
}


def engine_runs(report: Report, options: Namespace, folder: Path) -> tuple[float, float]:
    """Quiet runs of the engine, and every incident on seeds of its own.

    Return the overdispersion that all slices share, and owners' own.
    """
    runs = 1 if options.quick else _RUNS
    kinds = list(_INCIDENTS)[:: 5 if options.quick else 1]
    files = [SCENARIOS / "quiet_market.toml", *((SCENARIOS / "incidents" / f"{kind}.toml") for kind in kinds)]
    ready = share_models([load_scenario(path, {"log.wins": 1_000}) for path in files], folder, seed=_FIRST_SEED - 1)
    quiet_runs = runs + (0 if options.quick else 4)
    jobs = [(ready[0], _FIRST_SEED + 100 + k) for k in range(quiet_runs)]
    jobs += [(scenario, _FIRST_SEED + k) for scenario in ready[1:] for k in range(runs)]
    found = run_all(watched_run, jobs, None, lambda stage, done, total: None)
    quiet = found[:quiet_runs]
    windows = sum(f["windows"] for f in quiet)
    report.add(
        Figure(
            "engine_quiet_windows", windows, "windows", goal=">= 400", note="out of full runs in which nothing is wrong"
        )
    )
    report.add(
        Figure(
            "engine_quiet_alarms",
            sum(len(f["pages"]) for f in quiet),
            "incidents",
            goal="<= 2",
            note="of all signals, in them",
        )
    )
    levels = [f["overdispersion"] for f in quiet]
    common, both = statistics.mean(a for a, _ in levels), statistics.mean(b for _, b in levels)
    report.add(
        Figure(
            "engine_overdispersion",
            common,
            "relative variance of a window's mean",
            (min(a for a, _ in levels), max(a for a, _ in levels)),
            note="all slices together",
        )
    )
    report.add(
        Figure(
            "engine_overdispersion_by_owner",
            both,
            "relative variance of a window's mean",
            (min(b for _, b in levels), max(b for _, b in levels)),
            note="by advertiser",
        )
    )
    for n, kind in enumerate(kinds):
        what, field, goal = _INCIDENTS[kind]
        mine = found[quiet_runs + n * runs : quiet_runs + (n + 1) * runs]
        delays, right = [], 0
        for one in mine:
            first = next((p for p in one["pages"] if p["noticed"] >= 0), None)
            delays.append(first["noticed"] - _BEGUN + 1 if first else one["windows"])
            right += first is not None and (first["what"], first["field"]) == (what, field)
        report.add(
            Figure(
                f"engine_{kind}_delay",
                statistics.median(delays),
                "windows",
                (min(delays), max(delays)),
                goal=f"<= {goal}",
                note="median",
            )
        )
        report.add(
            Figure(
                f"engine_{kind}_named", right / len(mine), "share of runs", goal=">= 0.8", note="the right thing named"
            )
        )
    return common, max(both - common, 0.0)


def watched_run(scenario: Scenario, seed: int) -> dict[str, Any]:
    """Run a world and watch it; what a figure needs of it."""
    changed = Scenario(scenario.settings.model_copy(update={"seed": seed}), scenario.folder)
    result = run(changed, progress=lambda *told: None)
    watch = monitor(result)
    signal, kind = watch.signals[CONVERSIONS], watch.slicing.kind
    by_kind = [local_overdispersion(signal.base[:, kind == k], signal.came[:, kind == k]) for k in (0, 2)]
    # a page that a false alarm opened just before counts from the first alarm that came with the incident
    noticed = [next((a.alarm.window for a in p.alarms if a.alarm.window >= _BEGUN), -1) for p in watch.pages]
    pages = [
        {"noticed": at, "what": p.what, "field": p.about.field, "name": p.about.name}
        for at, p in zip(noticed, watch.pages, strict=True)
    ]
    return {"windows": watch.cells.windows - watch.quiet, "pages": pages, "overdispersion": (by_kind[0], by_kind[1])}
