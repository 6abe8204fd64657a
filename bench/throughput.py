"""Requests per second through the loop, seconds of a whole run, and memory as runs grow."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bidsim
from bench import auctiongym, clearing
from bench.figures import Figure, Report, measured
from bidsim.scenario.build import build

if TYPE_CHECKING:
    from argparse import Namespace

ROOT = Path(__file__).resolve().parent.parent
QUICKSTART = ROOT / "scenarios" / "quickstart.toml"
_REPEATS = 3
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""For the runs on one core."""
_SMALL, _LARGE = 500_000, 5_000_000


def measure(options: Namespace) -> Report:
    """Run quickstart in fresh processes with warm caches."""
    report = Report("throughput", quick=options.quick)
    size = {"history.requests": 300_000, "requests": 60_000} if options.quick else {}
    _child({"seed": options.seed, "requests": 2_000, "history.requests": 100_000})  # fills the kernels' cache
    runs = [_child({"seed": options.seed, **size}) for _ in range(1 if options.quick else _REPEATS)]
    report.add(
        measured(
            "quickstart_requests_per_second",
            [r["requests_per_second"] for r in runs],
            "requests/s",
            ">= 20000",
            note="two cores",
        )
    )
    one = [_child({"seed": options.seed, "pinned": True, **size}) for _ in range(1 if options.quick else _REPEATS)]
    report.add(
        measured(
            "quickstart_requests_per_second_one_core",
            [r["requests_per_second"] for r in one],
            "requests/s",
            ">= 200000",
            note="traffic included",
        )
    )
    report.add(
        measured(
            "quickstart_seconds", [r["seconds"] for r in runs], "s", "<= 30", note="training and start-up included"
        )
    )
    report.add(measured("quickstart_compilations_with_warm_cache", [r["compiled"] for r in runs], "kernels", "<= 0"))
    report.add(
        measured(
            "traffic_requests_per_second",
            [_traffic(options.seed) for _ in range(_REPEATS)],
            "requests/s",
            note="one core",
        )
    )
    oracle = [
        _child({"seed": options.seed, "seats.main.model": "oracle", "requests": 60_000 if options.quick else 300_000})
        for _ in range(1 if options.quick else _REPEATS)
    ]
    report.add(
        measured(
            "oracle_requests_per_second",
            [r["requests_per_second"] for r in oracle],
            "requests/s",
            note="no model to score",
        )
    )
    _steps(report, options)
    _before(report, options)
    _auctiongym(report, options)
    _clearing(report, options)
    report.add(_memory(options))
    return report


def _steps(report: Report, options: Namespace) -> None:
    """What a step of one request costs from Python over what the request itself takes, in one world."""
    overrides = {"seed": options.seed, "requests": 60_000, "history.requests": 100_000}
    simulation = bidsim.Simulation(bidsim.load_scenario(QUICKSTART, overrides))
    simulation.step(requests=20_000)  # the state has grown by then
    over = []
    for _ in range(_REPEATS if options.quick else 7):
        begun = time.perf_counter()
        for _ in range(2_000):
            simulation.step(requests=1)
        alone = (time.perf_counter() - begun) / 2_000
        begun = time.perf_counter()
        simulation.step(requests=2_000)
        over.append(1e6 * (alone - (time.perf_counter() - begun) / 2_000))
    report.add(measured("step_overhead_microseconds", over, "us", "<= 10", note="step(requests=1) over its decision"))


def _before(report: Report, options: Namespace) -> None:
    """The loop of another checkout, such as the code before a change, and this one in turn, each on one core."""
    if options.before is None:
        return
    size = {"requests": 200_000 if options.quick else 1_000_000, "history.requests": 300_000, "pinned": True}
    ratios = []
    for repeat in range(_REPEATS + 1 if options.quick else 8):
        ours, theirs = (
            _child({"seed": options.seed, **size}, folder)["requests_per_second"] for folder in (ROOT, options.before)
        )
        if repeat:  # the first of each fills caches
            ratios.append(ours / theirs)
    report.add(measured("ratio_to_before", ratios, "times", ">= 0.98", note="one core, this checkout over --before"))


def _auctiongym(report: Report, options: Namespace) -> None:
    """AuctionGym's world: `bidsim run` of the scenario and plain vectorised numpy, in turn, each on one core."""
    repeats = 2 if options.quick else 7
    ours, theirs = [], []
    for repeat in range(repeats + 1):
        one = _child({"scenario": "auctiongym_sp_oracle", "seed": options.seed, "pinned": True})["requests_per_second"]
        other = _child({"numpy": 1_000_000, "seed": options.seed + repeat, "pinned": True})["auctions_per_second"]
        if repeat:  # the first of each fills caches
            ours.append(one)
            theirs.append(other)
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    report.add(measured("auctiongym_auctions_per_second", ours, "auctions/s", note="one core"))
    report.add(measured("auctiongym_numpy_auctions_per_second", theirs, "auctions/s", note="one core, the same world"))
    report.add(measured("auctiongym_ratio_to_numpy", ratios, "times", ">= 2"))


def _clearing(report: Report, options: Namespace) -> None:
    found = clearing.rates(3 if options.quick else 9)
    for name, values in found.items():
        report.add(
            measured(
                f"clearing_{name}_per_second",
                values,
                "second-price auctions/s",
                note=f"{clearing.BIDDERS} bidders drawn in the loop, one core",
            )
        )
    ratios = [a / b for a, b in zip(found["by_address"], found["inlined_branch_free"], strict=True)]
    report.add(measured("clearing_ratio_to_inlined_branch_free", ratios, "times", ">= 0.5"))


def _memory(options: Namespace) -> Figure:
    """Peak memory at 5 M requests over that at 500,000, users fixed and rows sampled."""
    if options.quick:
        return Figure("peak_memory_ratio_5M_to_500k", None, "ratio", goal="<= 1.1")
    small, large = (_child({"seed": options.seed, "requests": r})["peak_kilobytes"] for r in (_SMALL, _LARGE))
    return Figure(
        "peak_memory_ratio_5M_to_500k",
        large / small,
        "ratio",
        goal="<= 1.1",
        note=f"{large / 1024:.0f} MB to {small / 1024:.0f} MB",
    )


def _traffic(seed: int) -> float:
    simulation, _ = build(
        bidsim.load_scenario(QUICKSTART, {"seed": seed, "seats.main.model": "oracle", "history.requests": 1_000})
    )
    simulation.traffic.chunk(0, 1_000)
    begun = time.perf_counter()
    count = min(simulation.total, 200_000)
    simulation.traffic.chunk(0, count)
    return count / (time.perf_counter() - begun)


def _child(overrides: dict[str, Any], folder: Path = ROOT) -> dict[str, float]:
    """Run quickstart in a process of its own, with the code of a checkout, and return what it measured."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "bench.throughput", json.dumps(overrides)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(folder), **(_ONE_THREAD if overrides.get("pinned") else {})},
    )
    return {**json.loads(done.stdout), "seconds": time.perf_counter() - begun}


def _run(overrides: dict[str, Any]) -> None:
    from bidsim.core.kernel import compilations  # noqa: PLC0415

    if overrides.pop("pinned", False):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if "numpy" in overrides:
        print(json.dumps({"auctions_per_second": auctiongym.play(overrides["numpy"], overrides["seed"])[1]}))
        return
    path = ROOT / "scenarios" / f"{overrides.pop('scenario', 'quickstart')}.toml"
    result = bidsim.run(bidsim.load_scenario(path, overrides))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        json.dumps(
            {
                "requests_per_second": result.manifest["requests_per_second"],
                "compiled": compilations()[1],
                "peak_kilobytes": peak,
            }
        )
    )


if __name__ == "__main__":
    _run(json.loads(sys.argv[1]))
