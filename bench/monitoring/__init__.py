"""The watch: false alarms and delays at scale beside the usual rules, on engine runs, and what it costs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.figures import Report
from bench.monitoring.cost import measure_cost
from bench.monitoring.engine import engine_runs
from bench.monitoring.page import watch_page
from bench.monitoring.rules import beside_usual_rules
from bench.monitoring.scale import at_scale, late_labels, share_shift, worlds_like
from bench.monitoring.search import measure_search

if TYPE_CHECKING:
    from argparse import Namespace


def measure(options: Namespace) -> Report:
    """Measure all of it; ``--quick`` with fewer windows, runs and repetitions."""
    report = Report("monitoring", quick=options.quick)
    dice = np.random.default_rng(options.seed + 17)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        common, own = engine_runs(report, options, folder)
        worlds = worlds_like(common, own, dice, quick=options.quick)
        at_scale(report, options, worlds, dice)
        share_shift(report, options, *worlds[0], dice)
        late_labels(report, options, dice, common)
        measure_search(report, options, dice, folder)
        curve = beside_usual_rules(report, options, *worlds[0], dice, folder)
    measure_cost(report, options)
    if options.out is not None:
        _draw(options.out, curve)
        (options.out / "watch.md").write_text(watch_page(report), encoding="utf-8")
    return report


def _draw(folder: Path, curve: dict[str, list[tuple[float, float]]]) -> None:
    """Draw false alarms against delay."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(figsize=(8, 4.6), layout="constrained")
    for name, points in curve.items():
        if points:
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
