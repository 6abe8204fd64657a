"""A planted slice, looked for afterwards."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.figures import Figure, Report, measured
from bidsim.monitoring.worst import search

if TYPE_CHECKING:
    from argparse import Namespace

_PEERS = Path(__file__).resolve().parent.parent / "peers"


def measure_search(report: Report, options: Namespace, dice: np.random.Generator, folder: Path) -> None:
    """A planted slice, looked for afterwards.

    Ours on residuals beside sliceline on log-loss, as it is used, and on residuals.
    """
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
        for name, errors in (
            ("sliceline_log_loss", -np.where(label > 0, np.log(rate), np.log1p(-rate))),
            ("sliceline_residuals", np.abs(label - rate)),
        ):
            if python.exists():
                np.savez(folder / "rows.npz", columns=columns, errors=errors)
                subprocess.run(
                    [str(python), str(_PEERS / "worst.py"), str(folder / "rows.npz"), str(folder / "worst.json")],
                    check=True,
                    capture_output=True,
                )
                told = json.loads((folder / "worst.json").read_text(encoding="utf-8"))
                hits[name].append(sorted(map(tuple, told["slice"])) == [(0, 2), (1, 1)])
                seconds[name].append(told["seconds"])
    for name, right in hits.items():
        share = statistics.mean(right) if right else None
        report.add(
            Figure(
                f"worst_slice_{name}",
                share,
                "share of worlds",
                goal=">= 0.9" if name == "bidsim" else "",
                note="the planted slice found first",
            )
        )
        if seconds[name]:
            report.add(measured(f"worst_slice_{name}_seconds", seconds[name], "s", note=f"for {rows:,} rows"))
