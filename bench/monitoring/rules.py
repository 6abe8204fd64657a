"""The rules that are usually watched by, beside ours on the same fault."""

from __future__ import annotations

import json
import statistics
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, pdtr, pdtrc

from bench.figures import Figure, Report
from bench.monitoring.worlds import (
    CONVERSIONS,
    IMPRESSIONS,
    Fault,
    World,
    delay_and_name,
    false_alarms,
    faults_of,
    struck,
)

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from bidsim.monitoring.detector import Detector

_GLOBAL, _LOOKED = ("AUC of all traffic", "normalised entropy of all traffic"), 20
"""Rules on all traffic, and the windows in which they are looked for."""
_PEERS = Path(__file__).resolve().parent.parent / "peers"


def beside_usual_rules(
    report: Report, options: Namespace, world: World, detector: Detector, dice: np.random.Generator, folder: Path
) -> dict[str, list[tuple[float, float]]]:
    """False alarms and delay of the usual rules on one fault, beside ours.

    Points (false alarms in 1,000 windows, median delay).
    """
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
        ours.append(
            (
                1000 * alarms / windows,
                statistics.median(delay_and_name(world, changed, fault, dice)[0] for _ in range(repeats)),
            )
        )
    curve["e-detector"] = ours
    for name, points in curve.items():
        for k, (false, delay) in enumerate(points):
            figure = f"rule_{name.replace(' ', '_').replace('-', '_').lower()}_{k}"
            report.add(Figure(figure, false, "false alarms in 1,000 windows"))
            looked = _LOOKED if name in _GLOBAL else longest
            told = f"none within {looked}" if delay > looked else "median; 30 expected are halved"
            report.add(Figure(f"{figure}_delay", None if delay > looked else float(delay), "windows", note=told))
    report.add(
        Figure(
            "psi_growth",
            _noticed_by_psi(world),
            "times",
            note="what a level's share of 5% must grow by for a population stability index of 0.1",
        )
    )
    return curve


def _first(alarms: NDArray[np.bool_]) -> int:
    return int(np.argmax(alarms)) + 1 if alarms.any() else len(alarms) + 1


def _global_rules(
    world: World, expected: NDArray[np.float64], dice: np.random.Generator
) -> dict[str, list[tuple[float, float]]]:
    """AUC and normalised entropy of all traffic.

    What they are in quiet windows, and whether a fault leaves that range.
    """
    fault = next(f for f in faults_of(world) if f.name == "30_half")
    n = 20_000
    part = expected[fault.slice] / expected[0]

    def window(left: float) -> tuple[float, float]:
        log_odds = dice.normal(np.log(CONVERSIONS / IMPRESSIONS) - 0.5, 1.0, n * 5)
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
    struck_ = np.array([[window(fault.left) for _ in range(_LOOKED)] for _ in range(5)])
    found = {}
    for k, name in enumerate(_GLOBAL):
        points = []
        for z in (2.0, 3.0):
            low, high = calm[:, k].mean() - z * calm[:, k].std(), calm[:, k].mean() + z * calm[:, k].std()
            false = float(((calm[:, k] < low) | (calm[:, k] > high)).mean()) * 1000
            points.append((false, statistics.median(_first((row[:, k] < low) | (row[:, k] > high)) for row in struck_)))
        found[name] = points
    return found


def _noticed_by_psi(world: World) -> float:
    field = world.fields[-1]
    share = world.mean[field].sum(axis=1) / world.mean[field].sum()
    needed = 1.0
    grown = int(np.argmin(np.abs(share - 0.05)))
    while _psi(share, grown, needed) < 0.1 and needed < 20:
        needed += 0.05
    return needed


def _psi(share: NDArray[np.float64], grown: int, factor: float) -> float:
    """Population stability index of a level's share times ``factor``."""
    new = share.copy()
    new[grown] *= factor
    new /= new.sum()
    return float(((new - share) * np.log(new / share)).sum())


def _river(
    expected: NDArray[np.float64],
    quiet: NDArray[np.float64],
    broken: list[NDArray[np.float64]],
    fault: Fault,
    folder: Path,
) -> dict[str, list[tuple[float, float]]]:
    """ADWIN and Page and Hinkley's test of river on each slice's ratio.

    Nothing where the peers' environment is missing.
    """
    python = _PEERS / ".venv" / "bin" / "python"
    if not python.exists():
        return {
            "ADWIN (not measured; see bench/peers/build.sh)": [],
            "Page-Hinkley (not measured; see bench/peers/build.sh)": [],
        }
    windows = min(len(quiet), 300)
    ratio = quiet[:windows] / np.maximum(expected[:windows], 1e-9)
    series = [
        np.concatenate([quiet[:60, fault.slice], b[:, fault.slice]]) / max(expected[0, fault.slice], 1e-9)
        for b in broken
    ]
    found: dict[str, list[tuple[float, float]]] = {"ADWIN": [], "Page-Hinkley": []}
    np.savez(folder / "all.npz", ratio=ratio)
    np.savez(folder / "one.npz", ratio=np.array(series).T)
    alarms = {}
    for name in ("all", "one"):
        subprocess.run(
            [str(python), str(_PEERS / "drift.py"), str(folder / f"{name}.npz"), str(folder / f"{name}.json")],
            check=True,
        )
        alarms[name] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    for told, name in (("ADWIN", "adwin"), ("Page-Hinkley", "page_hinkley")):
        for setting, rows in alarms["all"][name].items():
            false = 1000 * len({t for t, _ in rows}) / windows
            hits = alarms["one"][name][setting]
            delays = [
                min((t - 59 for t, s in hits if s == k and t >= 60), default=len(broken[0]) + 1)
                for k in range(len(series))
            ]
            found[told].append((false, statistics.median(delays)))
    return found


def usual_rules() -> dict[
    str, tuple[list[float], Callable[[NDArray[np.float64], NDArray[np.float64], float], NDArray[np.bool_]]]
]:
    """Rules by name: settings, and for counts expected and counted [windows, slices] which slices alarm."""
    return {
        "plus or minus a part": ([0.2, 0.5, 1.0], _part),
        "Bonferroni": ([1e-3, 1e-5, 1e-7], _bonferroni),
        "Benjamini-Hochberg": ([0.05, 1e-3, 1e-5], _hochberg),
    }


def _part(expected: NDArray[np.float64], came: NDArray[np.float64], setting: float) -> NDArray[np.bool_]:
    return (expected >= 10.0) & (np.abs(came / np.maximum(expected, 1e-9) - 1.0) > setting)


def two_sided(expected: NDArray[np.float64], came: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two-sided Poisson p-values."""
    low, high = pdtr(came, expected), np.where(came > 0, pdtrc(np.maximum(came - 1, 0), expected), 1.0)
    return np.minimum(2.0 * np.minimum(low, high), 1.0)


def _bonferroni(expected: NDArray[np.float64], came: NDArray[np.float64], setting: float) -> NDArray[np.bool_]:
    return two_sided(expected, came) < setting / expected.shape[1]


def _hochberg(expected: NDArray[np.float64], came: NDArray[np.float64], setting: float) -> NDArray[np.bool_]:
    p = two_sided(expected, came)
    ordered = np.sort(p, axis=1)
    passed = ordered <= setting * (1 + np.arange(p.shape[1])) / p.shape[1]
    last = np.where(passed.any(axis=1), p.shape[1] - 1 - np.argmax(passed[:, ::-1], axis=1), -1)
    bound = np.where(last >= 0, np.take_along_axis(ordered, np.maximum(last, 0)[:, None], axis=1)[:, 0], -1.0)
    return p <= bound[:, None]
