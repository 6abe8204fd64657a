"""The watch: false alarms and delays at scale beside the usual rules, on engine runs, and what it costs."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, gammaincinv

from bench.figures import Figure, Report, measured
from bench.watched import LEARNED, Fault, World, delay_and_name, false_alarms, learned, make_world, struck, usual_rules
from bidsim.experiments.run import run
from bidsim.experiments.worlds import run_all, share_models
from bidsim.monitoring.arrivals import expected_arrivals
from bidsim.monitoring.baseline import Family, fit_baseline
from bidsim.monitoring.detector import Detector
from bidsim.monitoring.monitor import monitor
from bidsim.monitoring.pages import BOTS, FEWER, LATE, MORE, OUTAGE, SHIFT, STUCK
from bidsim.monitoring.worst import search
from bidsim.scenario.load import Scenario, load_scenario

if TYPE_CHECKING:
    from argparse import Namespace

SCENARIOS = Path(__file__).resolve().parent.parent / "scenarios"
_PEERS = Path(__file__).resolve().parent / "peers"
_LEVELS = [5, 36, 3, 3, 4, 20, 7, 6, 60]
_MANY_LEVELS = [6, 90, 4, 4, 8, 24, 8, 8, 92]
_CONVERSIONS, _IMPRESSIONS = 4_000.0, 200_000.0
_FIRST_SEED = 301_000
"""Seeds that nothing was tuned on."""
_RUNS, _BEGUN = 10, 32
_GOAL_RATE, _GOAL_UPPER = "<= 1.0", "<= 1.3"
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


def measure(options: Namespace) -> Report:
    """Measure all of it; ``--quick`` with fewer windows, runs and repetitions."""
    report = Report("monitoring")
    dice = np.random.default_rng(options.seed + 17)
    with tempfile.TemporaryDirectory() as folder:
        common, own = _engine_runs(report, options, Path(folder))
        world = make_world(13, _LEVELS, _CONVERSIONS, common, own, dice)
        detector = learned(world, dice, options.seed)
        _at_scale(report, options, world, detector, dice)
        _share_shift(report, options, world, dice)
        _late(report, options, dice, common)
        _search(report, options, dice, Path(folder))
        curve = _usual(report, options, world, detector, dice, Path(folder))
        if options.out is not None:
            _draw(options.out, curve)
    _cost(report, options)
    return report


def _engine_runs(report: Report, options: Namespace, folder: Path) -> tuple[float, float]:
    """Quiet runs of the engine, and every incident on seeds of its own; return the overdispersion that all slices share, and owners' own."""
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
    report.add(Figure("engine_quiet_windows", windows, "windows out of full runs in which nothing is wrong", goal=">= 400"))
    report.add(Figure("engine_quiet_alarms", sum(len(f["pages"]) for f in quiet), "incidents in them, of all signals", goal="<= 2"))
    levels = [f["overdispersion"] for f in quiet]
    common, both = statistics.mean(a for a, _ in levels), statistics.mean(b for _, b in levels)
    report.add(Figure("engine_overdispersion", common, "relative variance of a window's mean, all slices together", (min(a for a, _ in levels), max(a for a, _ in levels))))
    report.add(Figure("engine_overdispersion_by_owner", both, "the same, by advertiser", (min(b for _, b in levels), max(b for _, b in levels))))
    for n, kind in enumerate(kinds):
        what, field, goal = _INCIDENTS[kind]
        mine = found[quiet_runs + n * runs : quiet_runs + (n + 1) * runs]
        delays, right = [], 0
        for one in mine:
            first = next((p for p in one["pages"] if p["noticed"] >= 0), None)
            delays.append(first["noticed"] - _BEGUN + 1 if first else one["windows"])
            right += first is not None and (first["what"], first["field"]) == (what, field)
        report.add(Figure(f"engine_{kind}_delay", statistics.median(delays), "windows, median", (min(delays), max(delays)), goal=f"<= {goal}"))
        report.add(Figure(f"engine_{kind}_named", right / len(mine), "of runs, the right thing named", goal=">= 0.8"))
    return common, max(both - common, 0.0)


def watched_run(scenario: Scenario, seed: int) -> dict[str, Any]:
    """Run a world and watch it; what a figure needs of it."""
    changed = Scenario(scenario.settings.model_copy(update={"seed": seed}), scenario.folder)
    result = run(changed, progress=lambda *told: None)
    watch = monitor(result)
    baseline = watch.detectors["conversions"].baseline
    by_kind = [float(baseline.overdispersion[baseline.family.kind == k][0]) for k in (0, 2)]
    # a page that a false alarm opened just before counts from the first alarm that came with the incident
    noticed = [next((a.alarm.window for a in p.alarms if a.alarm.window >= _BEGUN), -1) for p in watch.pages]
    pages = [{"noticed": at, "what": p.what, "field": p.about.field, "name": p.about.name} for at, p in zip(noticed, watch.pages, strict=True)]
    return {"windows": watch.cells.windows - watch.quiet, "pages": pages, "overdispersion": (by_kind[0], by_kind[1])}


def _at_scale(report: Report, options: Namespace, world: World, detector: Detector, dice: np.random.Generator) -> None:
    windows = 2_000 if options.quick else 30_000
    slices = len(world.slicing.slices)
    report.add(Figure("slices", slices, "slices at once", goal=">= 2000"))
    report.add(Figure("overdispersion", world.common, "relative variance of a window's mean that all slices share"))
    report.add(Figure("overdispersion_by_owner", (1 + world.common) * (1 + world.own) - 1, "by advertiser"))
    report.add(Figure("windows_in_control", windows, "windows", goal=">= 20000"))
    alarms = false_alarms(world, detector, windows, dice)
    report.add(Figure("false_alarms", 1000 * alarms / windows, "in 1,000 windows, all slices together", goal=_GOAL_RATE))
    report.add(Figure("false_alarms_upper", 1000 * float(gammaincinv(alarms + 1, 0.95)) / windows, "upper 95% bound", goal=_GOAL_UPPER))
    goals = {"outage": "<= 2", "all_less_7": "<= 5", "30_half": "<= 4", "10_zero": "<= 3", "3_zero": "<= 10", "100_less_20": "<= 12"}
    right, total = 0, 0
    for fault in faults_of(world):
        found = [delay_and_name(world, detector, fault, dice) for _ in range(10 if options.quick else 100)]
        delays = [delay for delay, _, early in found if not early]
        report.add(measured(f"delay_{fault.name}", delays, "windows, median", goals[fault.name]))
        right, total = right + sum(name for _, name, early in found if not early), total + len(delays)
    report.add(Figure("named_first", right / max(total, 1), "of these faults, the broken slice is named first", goal=">= 0.95"))
    if not options.quick:
        _many(report, dice, world)


def _many(report: Report, dice: np.random.Generator, like: World) -> None:
    """Ten thousand slices at once."""
    world = make_world(40, _MANY_LEVELS, _CONVERSIONS, like.common, like.own, dice)
    detector = learned(world, dice, 1)
    windows = 4_000
    report.add(Figure("many_slices", len(world.slicing.slices), "slices at once", goal=">= 10000"))
    alarms = false_alarms(world, detector, windows, dice)
    report.add(
        Figure("many_false_alarms", 1000 * alarms / windows, f"in 1,000 windows; upper 95% bound {1000 * float(gammaincinv(alarms + 1, 0.95)) / windows:.2f}", goal=_GOAL_RATE)
    )


def faults_of(world: World) -> list[Fault]:
    """Faults, each of the slice whose expected conversions are nearest to the size that its name says."""
    mean, kind = world.slicing.total(world.mean[None])[0], world.slicing.kind

    def nearest(size: float, kinds: tuple[int, ...]) -> int:
        possible = np.flatnonzero(np.isin(kind, kinds))
        return int(possible[np.argmin(np.abs(mean[possible] - size))])

    biggest = int(np.flatnonzero(kind == 2)[np.argmax(mean[kind == 2])])
    return [
        Fault("outage", biggest, 0.0),
        Fault("all_less_7", 0, 0.93),
        Fault("30_half", nearest(30.0, (1, 3)), 0.5),
        Fault("10_zero", nearest(10.0, (1, 3)), 0.0),
        Fault("3_zero", nearest(3.0, (1, 3)), 0.0),
        Fault("100_less_20", nearest(100.0, (1, 2, 3)), 0.8),
    ]


def _share_shift(report: Report, options: Namespace, world: World, dice: np.random.Generator) -> None:
    """A level whose share grows by a tenth: the population's alarm, and none of calibration, for conversions come along."""
    level_mean = world.mean.sum(axis=1)
    delays, calibration = [], 0
    repeats = 5 if options.quick else 60
    field = world.fields[-1]
    share = level_mean[field] / level_mean[field].sum()
    grown = int(np.argmin(np.abs(share - 0.05)))
    family = Family(np.arange(len(field)), np.zeros(len(field), np.int64))
    for _ in range(repeats):
        wobble = 1.0 + dice.normal(0.0, 0.003, (LEARNED + 40, len(field)))  # shares of the engine's levels vary by less
        shares = share * wobble
        shares[LEARNED + 10 :, grown] *= 1.1
        counts = np.array([dice.multinomial(int(_IMPRESSIONS), row / row.sum()) for row in shares]).astype(np.float64)
        base = np.repeat(counts.sum(axis=1, keepdims=True), len(field), axis=1)
        baseline = fit_baseline(base[:LEARNED], counts[:LEARNED], family, half_life=8.0, gap=3, independent=14)
        watching = Detector(baseline, np.full(len(field), 1.0 / len(field)), 5000.0)
        first = None
        for t in range(LEARNED, len(counts)):
            if watching.watch(base[t], counts[t]) and t >= LEARNED + 10 and first is None:
                first = t - LEARNED - 10 + 1
        delays.append(first or 40)
        calibration += _calibration_alarms(world, dice, field, grown)
    report.add(measured("delay_share_up_10", delays, "windows, of the population's alarm", "<= 2"))
    report.add(Figure("share_up_10_calibration_alarms", calibration, f"calibration alarms in {repeats} such shifts of 10 windows", goal="<= 1"))


_KNOWN: dict[int, Detector] = {}


def _calibration_alarms(world: World, dice: np.random.Generator, field: NDArray[np.int64], grown: int) -> int:
    """Alarms of conversions while a level grows: what is expected grows with it."""
    if id(world) not in _KNOWN:
        _KNOWN[id(world)] = learned(world, dice, 3)
    watching = deepcopy(_KNOWN[id(world)])
    mean = world.mean.copy()
    mean[field[grown]] *= 1.1
    mean[field] *= world.mean[field].sum(axis=0) / mean[field].sum(axis=0)  # a share grows at the cost of the others
    shifted = World(mean, world.fields, world.slicing, world.common, world.own, world.factor)
    return sum(len(watching.watch(e, c)) for e, c in shifted.quiet(10, dice))


def _late(report: Report, options: Namespace, dice: np.random.Generator, common: float) -> None:
    """Reports that come later by a declared curve, traffic that rises and falls by the hour; then a departure from the curve."""
    windows, slices = (1_500 if options.quick else 12_000), 300
    curve = np.array([0.45, 0.22, 0.13, 0.08, 0.05, 0.03, 0.02, 0.02])
    mean = dice.lognormal(2.0, 1.0, slices)
    family = Family(np.arange(slices), np.zeros(slices, np.int64))

    def drawn(count: int, lags: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        hours = 1.0 + 0.5 * np.sin(2 * np.pi * np.arange(count + len(curve)) / 4)
        predicted = hours[:, None] * mean * (1.0 + 0.3 * dice.standard_normal((count + len(curve), 1)).clip(-2, 2))
        expected = expected_arrivals(predicted[:, :, None], curve[None])[:, :, 0]
        wobble = dice.gamma(1 / common, common, (count + len(curve), 1)) if common > 0 else 1.0
        came = dice.poisson(expected_arrivals((predicted * wobble)[:, :, None], lags[None])[:, :, 0])
        return expected[len(curve) :], came[len(curve) :].astype(np.float64)

    def instant(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return drawn(count, curve)

    expected, came = instant(LEARNED)
    weight = np.full(slices, 1.0 / slices)
    detector = Detector(fit_baseline(expected, came, family, half_life=10.0, gap=4), weight, 2_000.0)
    watching = deepcopy(detector)
    alarms = sum(len(watching.watch(e, c)) for e, c in zip(*instant(windows), strict=True))
    report.add(Figure("late_labels_false_alarms", 1000 * alarms / windows, "in 1,000 windows where delays follow the declared curve", goal="<= 1.0"))
    later = np.concatenate([[0.0, 0.0], curve[:-2] / curve[:-2].sum()])
    delays = []
    for _ in range(5 if options.quick else 40):
        watching, first = deepcopy(detector), None
        for e, c in zip(*instant(8), strict=True):
            watching.watch(e, c)
        # the first windows after the curve changed lack what comes later
        e, c = instant(30)
        shifted = dice.binomial(c.astype(np.int64), np.minimum(np.cumsum(later)[np.minimum(np.arange(30), len(later) - 1)], 1.0)[:, None])
        for t in range(30):
            if watching.watch(e[t], shifted[t].astype(np.float64)) and first is None:
                first = t + 1
        delays.append(first or 31)
    report.add(measured("late_labels_departure_delay", delays, "windows until reports that come two windows later are noticed", "<= 3"))


def _usual(report: Report, options: Namespace, world: World, detector: Detector, dice: np.random.Generator, folder: Path) -> dict[str, list[tuple[float, float]]]:
    """False alarms and delay of the usual rules on one fault, beside ours; points (false alarms in 1,000 windows, median delay)."""
    windows, repeats, longest = (200, 5, 30) if options.quick else (1_000, 40, 40)
    fault = next(f for f in faults_of(world) if f.name == "30_half")
    level = detector.baseline.level()[0]
    quiet = np.array([c for _, c in world.quiet(windows, dice)])
    expected = np.repeat((level * world.expected)[None], windows, axis=0)
    broken = [np.array([struck(world, c, fault, dice) for _, c in world.quiet(longest, dice)]) for _ in range(repeats)]
    curve: dict[str, list[tuple[float, float]]] = {}
    for name, (settings, rule) in usual_rules().items():
        for setting in settings:
            false = float(rule(expected, quiet, setting).any(axis=1).mean()) * 1000
            delays = [_first(rule(expected[: len(b)], b, setting)[:, fault.slice]) for b in broken]
            curve.setdefault(name, []).append((false, statistics.median(delays)))
    curve.update(_global_rules(world, expected[0], dice))
    curve.update(_river(expected, quiet, broken, fault, folder))
    ours = []
    for factor in (0.01, 0.1, 1.0, 10.0):
        changed = deepcopy(detector)
        changed.threshold *= factor
        alarms = false_alarms(world, changed, windows, dice)
        ours.append((1000 * alarms / windows, statistics.median(delay_and_name(world, changed, fault, dice)[0] for _ in range(repeats))))
    curve["e-detector"] = ours
    for name, points in curve.items():
        for k, (false, delay) in enumerate(points):
            report.add(
                Figure(
                    f"rule_{name.replace(' ', '_').replace('-', '_').lower()}_{k}",
                    false,
                    f"false alarms in 1,000 windows; median delay {_told(delay, longest)} windows for 30 expected, halved",
                )
            )
    return curve


def _told(delay: float, longest: int) -> str:
    return "none within " + str(longest) if delay > longest else f"{delay:g}"


def _first(alarms: NDArray[np.bool_]) -> int:
    return int(np.argmax(alarms)) + 1 if alarms.any() else len(alarms) + 1


def _global_rules(world: World, expected: NDArray[np.float64], dice: np.random.Generator) -> dict[str, list[tuple[float, float]]]:
    """AUC and normalised entropy of all traffic: what they are in quiet windows, and whether a fault leaves that range; PSI of shares."""
    fault = next(f for f in faults_of(world) if f.name == "30_half")
    n = 20_000
    part = expected[fault.slice] / expected[0]

    def window(left: float) -> tuple[float, float]:
        log_odds = dice.normal(np.log(_CONVERSIONS / _IMPRESSIONS) - 0.5, 1.0, n * 5)
        p = expit(log_odds)
        inside = dice.random(len(p)) < part
        y = dice.random(len(p)) < np.where(inside, left * p, p)
        order = np.argsort(p)
        rank = np.empty(len(p))
        rank[order] = np.arange(len(p))
        ones = int(y.sum())
        auc = (rank[y].sum() - ones * (ones - 1) / 2) / max(ones * (len(p) - ones), 1)
        rate = y.mean()
        loss = -np.where(y, np.log(p), np.log1p(-p)).mean()
        return float(auc), float(loss / -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate)))

    calm = np.array([window(1.0) for _ in range(300)])
    struck_ = np.array([[window(fault.left) for _ in range(20)] for _ in range(5)])
    found = {}
    for k, name in enumerate(("AUC of all traffic", "normalised entropy of all traffic")):
        points = []
        for z in (2.0, 3.0):
            low, high = calm[:, k].mean() - z * calm[:, k].std(), calm[:, k].mean() + z * calm[:, k].std()
            false = float(((calm[:, k] < low) | (calm[:, k] > high)).mean()) * 1000
            points.append((false, statistics.median(_first((row[:, k] < low) | (row[:, k] > high)) for row in struck_)))
        found[name] = points
    field = world.fields[-1]
    share = world.mean[field].sum(axis=1) / world.mean[field].sum()
    needed = 1.0
    grown = int(np.argmin(np.abs(share - 0.05)))
    while _psi(share, grown, needed) < 0.1 and needed < 20:
        needed += 0.05
    found["PSI 0.1, growth of a 5% share that it notices"] = [(0.0, needed)]
    return found


def _psi(share: NDArray[np.float64], grown: int, factor: float) -> float:
    """Population stability index of a level's share times ``factor``."""
    new = share.copy()
    new[grown] *= factor
    new /= new.sum()
    return float(((new - share) * np.log(new / share)).sum())


def _river(expected: NDArray[np.float64], quiet: NDArray[np.float64], broken: list[NDArray[np.float64]], fault: Fault, folder: Path) -> dict[str, list[tuple[float, float]]]:
    """ADWIN and Page and Hinkley's test of river on each slice's ratio; nothing where the peers' environment is missing."""
    python = _PEERS / ".venv" / "bin" / "python"
    if not python.exists():
        return {"ADWIN (not measured; see bench/peers/build.sh)": [], "Page-Hinkley (not measured; see bench/peers/build.sh)": []}
    windows = min(len(quiet), 300)
    ratio = quiet[:windows] / np.maximum(expected[:windows], 1e-9)
    series = [np.concatenate([quiet[:60, fault.slice], b[:, fault.slice]]) / max(expected[0, fault.slice], 1e-9) for b in broken]
    found: dict[str, list[tuple[float, float]]] = {"ADWIN": [], "Page-Hinkley": []}
    np.savez(folder / "all.npz", ratio=ratio)
    np.savez(folder / "one.npz", ratio=np.array(series).T)
    alarms = {}
    for name in ("all", "one"):
        subprocess.run([str(python), str(_PEERS / "drift.py"), str(folder / f"{name}.npz"), str(folder / f"{name}.json")], check=True)
        alarms[name] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    for told, name in (("ADWIN", "adwin"), ("Page-Hinkley", "page_hinkley")):
        for setting, rows in alarms["all"][name].items():
            false = 1000 * len({t for t, _ in rows}) / windows
            hits = alarms["one"][name][setting]
            delays = [min((t - 59 for t, s in hits if s == k and t >= 60), default=len(broken[0]) + 1) for k in range(len(series))]
            found[told].append((false, statistics.median(delays)))
    return found


def _search(report: Report, options: Namespace, dice: np.random.Generator, folder: Path) -> None:
    """A planted slice, looked for afterwards: ours on residuals beside sliceline on log-loss, as it is used, and on residuals."""
    sizes, rows, worlds = (4, 3, 20, 6), 60_000, 2 if options.quick else 10
    hits: dict[str, list[bool]] = {"bidsim": [], "sliceline_log_loss": [], "sliceline_residuals": []}
    seconds: dict[str, list[float]] = {name: [] for name in hits}
    python = _PEERS / ".venv" / "bin" / "python"
    for _ in range(worlds):
        columns = np.column_stack([dice.integers(0, size, rows) for size in sizes])
        rate = np.exp(dice.normal(-3.5, 0.5, rows))
        planted = (columns[:, 0] == 2) & (columns[:, 1] == 1)
        label = (dice.random(rows) < np.where(planted, 0.4 * rate, rate)).astype(np.float64)
        fields = {f"f{k}": ([str(v) for v in range(size)], columns[:, k]) for k, size in enumerate(sizes)}
        begun = time.perf_counter()
        found = search(fields, rate, label, dice.integers(0, rows // 4, rows), 0.1)
        seconds["bidsim"].append(time.perf_counter() - begun)
        hits["bidsim"].append(bool(found) and set(found[0].levels) == {("f0", "2"), ("f1", "1")})
        for name, errors in (("sliceline_log_loss", -np.where(label > 0, np.log(rate), np.log1p(-rate))), ("sliceline_residuals", np.abs(label - rate))):
            if python.exists():
                np.savez(folder / "rows.npz", columns=columns, errors=errors)
                subprocess.run([str(python), str(_PEERS / "worst.py"), str(folder / "rows.npz"), str(folder / "worst.json")], check=True, capture_output=True)
                told = json.loads((folder / "worst.json").read_text(encoding="utf-8"))
                hits[name].append(sorted(map(tuple, told["slice"])) == [(0, 2), (1, 1)])
                seconds[name].append(told["seconds"])
    for name, right in hits.items():
        share = statistics.mean(right) if right else None
        report.add(Figure(f"worst_slice_{name}", share, "of worlds, the planted slice found first", goal=">= 0.9" if name == "bidsim" else ""))
        if seconds[name]:
            report.add(measured(f"worst_slice_{name}_seconds", seconds[name], f"s for {rows:,} rows"))


def _cost(report: Report, options: Namespace) -> None:
    """The loop with and without counting, in turn: 2,000 slices of won rows, and 10,000 of all rows."""
    repeats = 2 if options.quick else 5
    requests = 200_000 if options.quick else 1_000_000
    base = {"requests": requests, "history.requests": 200_000, "history.duration": "30d", "seats.main.model": {"name": "lightgbm", "trees": 100}}
    pairs = [["geo", "device"], ["placement", "device"], ["segment", "age"]]
    cases = {
        "won_2000": ({"monitoring.pairs": pairs[:1], "monitoring.most": 100_000, "traffic.sites": 108}, "<= 0.03"),
        "all_10000": ({"monitoring.pairs": pairs, "monitoring.most": 100_000, "traffic.sites": 690, "monitoring.rows": "all"}, "<= 0.12"),
    }
    for name, (changes, goal) in cases.items():
        seconds: dict[bool, list[float]] = {True: [], False: []}
        slices = 0
        with tempfile.TemporaryDirectory() as folder:
            with_, without = (load_scenario(SCENARIOS / "quickstart.toml", {**base, **changes, **rows}) for rows in ({}, {"monitoring.rows": "none"}))
            ready = dict(zip((True, False), share_models([with_, without], Path(folder), 0), strict=True))
            for k in range(2 * repeats + 2):
                on = bool((k + (k // 2)) % 2)
                result = run(ready[on], progress=lambda *told: None)
                if k >= 2:
                    seconds[on].append(result.manifest["seconds"]["loop"])
                if on and not slices:
                    slices = _slices(result)
        ratio = statistics.median(seconds[True]) / statistics.median(seconds[False]) - 1.0
        spread = (min(seconds[True]) / max(seconds[False]) - 1.0, max(seconds[True]) / min(seconds[False]) - 1.0)
        report.add(Figure(f"cost_{name}_slices", slices, "slices"))
        report.add(Figure(f"cost_{name}", ratio, "of the loop's time, on against off", spread, goal=goal))


def _slices(result: Any) -> int:
    from bidsim.monitoring.cells import read_cells, slicing_of  # noqa: PLC0415

    return len(slicing_of(read_cells(result)).slices)


def _draw(folder: Path, curve: dict[str, list[tuple[float, float]]]) -> None:
    """Draw false alarms against delay."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(figsize=(8, 4.6), layout="constrained")
    for name, points in curve.items():
        if points and not name.startswith("PSI"):
            x = [max(false, 0.3) for false, _ in points]
            ours = {"color": "#0b6e99", "lw": 3.0, "ms": 8} if name == "e-detector" else {"lw": 1.0, "ms": 5}
            axes.plot(x, [delay for _, delay in points], "o-", label=name, **ours)
    axes.axvline(1.0, color="#9aa5b1", lw=1, ls="--")
    axes.set_xscale("log")
    axes.set_xlabel("false alarms in 1,000 windows, all slices together (none is drawn at 0.3)")
    axes.set_ylabel("windows until the fault is noticed, median")
    axes.set_title("A slice of 30 expected conversions halves: delay against false alarms", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(folder / "alarms.png", dpi=110)
