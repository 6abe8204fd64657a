"""What counting by slice costs the loop."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.figures import Figure, Report
from bench.monitoring.engine import SCENARIOS
from bidsim.experiments.run import run
from bidsim.experiments.worlds import share_models
from bidsim.monitoring.cells import read_cells, slicing_of
from bidsim.scenario.load import load_scenario

if TYPE_CHECKING:
    from argparse import Namespace

    from bidsim.core.result import Result


def measure_cost(report: Report, options: Namespace) -> None:
    """The loop with and without counting, in turn: 2,000 slices of won rows, and 10,000 of all rows."""
    repeats = 2 if options.quick else 12
    requests = 200_000 if options.quick else 1_000_000
    base = {
        "requests": requests,
        "history.requests": 200_000,
        "history.duration": "30d",
        "seats.main.model": {"name": "lightgbm", "trees": 100},
    }
    pairs = [["geo", "device"], ["placement", "device"], ["segment", "age"]]
    cases = {
        "won_2000": ({"monitoring.pairs": pairs[:1], "monitoring.most": 100_000, "traffic.sites": 108}, "<= 0.03"),
        "all_10000": (
            {"monitoring.pairs": pairs, "monitoring.most": 100_000, "traffic.sites": 690, "monitoring.rows": "all"},
            "<= 0.12",
        ),
    }
    for name, (changes, goal) in cases.items():
        seconds: dict[bool, list[float]] = {True: [], False: []}
        slices = 0
        with tempfile.TemporaryDirectory() as folder:
            with_, without = (
                load_scenario(SCENARIOS / "quickstart.toml", {**base, **changes, **rows})
                for rows in ({}, {"monitoring.rows": "none"})
            )
            ready = dict(zip((True, False), share_models([with_, without], Path(folder), 0), strict=True))
            for k in range(2 * repeats + 2):
                on = bool((k + (k // 2)) % 2)
                result = run(ready[on], progress=lambda *told: None)
                if k >= 2:
                    seconds[on].append(result.manifest["seconds"]["loop"])
                slices = _slices(result) if on else slices
        ratios = [on / off - 1.0 for on, off in zip(seconds[True], seconds[False], strict=True)]
        report.add(Figure(f"cost_{name}_slices", slices, "slices"))
        low, middle, high = np.percentile(ratios, [25, 50, 75])
        report.add(
            Figure(
                f"cost_{name}",
                float(middle),
                "of the loop's time",
                (float(low), float(high)),
                goal=goal,
                note=f"on against off in turn; median of {repeats} pairs, middle half of them",
            )
        )


def _slices(result: Result) -> int:
    return len(slicing_of(read_cells(result)).slices)
