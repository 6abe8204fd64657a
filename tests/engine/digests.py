"""Bits of many runs, to hold a redesign of the engine to: every column of every table of every shipped scenario, shortened.

``python -m tests.engine.digests keep`` writes them, which is right only where results were meant to change, and
``python -m tests.engine.digests`` prints each world with the tables that differ from what was kept.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import bidsim
from bidsim.core.registry import names
from tests.conftest import SCENARIOS

KEPT = Path(__file__).with_name("digests.json")
BRIEF = {"requests": 4_000, "history.requests": 20_000}
SMALL_MODEL = {"name": "lightgbm", "trees": 8, "leaves": 8}
EVERYTHING = {"log.wins": 100_000, "log.decisions": 100_000}
MIXES: dict[str, dict[str, Any]] = {
    "plain": {},
    "positions": {"auction.positions": [1.0, 0.6, 0.3]},
    "clicks charged": {"auction.charge": "click"},
    "positions sold together, clicks charged": {
        "auction.format": "gsp",
        "auction.positions": [1.0, 0.6],
        "auction.charge": "click",
    },
    "tmax": {
        "deadline": {"tmax": "100ms", "network": "60ms", "volume": 5_000},
        "seats.main.decision": {"fixed": "20ms", "workers": 2, "shed": True},
    },
    "internal auction": {"seats.main.internal_auction": True},
    "no hold-out, no exploration": {"holdout.share": 0.0, "exploration.share": 0.0},
    "half held out, all explored": {"holdout.share": 0.5, "exploration.share": 1.0},
    "all rows watched": {"monitoring.rows": "all", "monitoring.pairs": [["geo", "device"]]},
    "oracle": {"seats.main.model": "oracle"},
    "logistic": {"seats.main.model": "logistic"},
}
"""Changes of `quickstart` that send requests down every path of the loop."""


def worlds() -> dict[str, Any]:
    """Scenarios by name."""
    found = {}
    for file in sorted([*SCENARIOS.glob("*.toml"), *SCENARIOS.glob("incidents/*.toml")]):
        found[str(file.relative_to(SCENARIOS).with_suffix(""))] = _brief(file, {})
    for name, changes in MIXES.items():
        found[f"quickstart, {name}"] = _brief(SCENARIOS / "quickstart.toml", changes)
    for name in names("auction"):
        if name not in ("gsp", "second_price"):
            found[f"quickstart, sold by {name}"] = _brief(SCENARIOS / "quickstart.toml", {"auction.format": name})
    return found


def _brief(file: Path, changes: dict[str, Any]) -> Any:
    """A scenario with few requests and small models, every row of it kept."""
    whole = bidsim.load_scenario(file).settings
    shorter = {key: value for key, value in BRIEF.items() if key == "requests" or whole.values is None}
    for seat, settings in whole.seats.items():
        if settings.model.name == "lightgbm":
            shorter[f"seats.{seat}.model"] = SMALL_MODEL
    return bidsim.load_scenario(file, {**EVERYTHING, **shorter, **changes})


def digests(scenario: Any) -> dict[str, list[Any]]:
    """Run a scenario: for each ``table/column`` the digest of its bits, and of fractions a weighted sum beside it."""
    result = bidsim.run(scenario, progress=lambda stage, done, total: None)
    found: dict[str, list[Any]] = {}
    for table, columns in sorted(result.tables.items()):
        for column, values in columns.items():
            array = np.asarray(values)
            if array.dtype.kind == "f":
                known = np.nan_to_num(array.ravel().astype(np.float64))
                bits, total = array.tobytes(), float(f"{(known * (1 + np.arange(known.size) % 7)).sum():.12g}")
                found[f"{table}/{column}"] = [hashlib.sha256(bits).hexdigest()[:12], total]
            else:
                found[f"{table}/{column}"] = [hashlib.sha256(repr(array.tolist()).encode()).hexdigest()[:12]]
    return found


def main(keep: bool) -> None:
    """Keep the digests of all worlds, or print how they differ from those kept."""
    kept = {} if keep else json.loads(KEPT.read_text())
    for name, scenario in worlds().items():
        found = digests(scenario)
        if keep:
            kept[name] = found
            print(name, flush=True)
        else:
            before = kept.get(name, {})
            changed = sorted({c for c in set(found) | set(before) if found.get(c) != before.get(c)})
            print(f"{name}: {'the same' if not changed else ', '.join(changed)}", flush=True)
    if keep:
        KEPT.write_text(json.dumps(kept, indent=0) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:] == ["keep"])
