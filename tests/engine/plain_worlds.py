"""Small worlds that touch most of the engine.

``python -m tests.engine.plain_worlds FOLDER`` writes each one's tables; ``python -m tests.engine.plain_worlds keep`` writes the figures that
later versions are held to, which is right only where results were meant to change.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import bidsim
from bidsim.core.registry import names
from bidsim.scenario import forecast
from bidsim.scenario.load import scenario_of
from tests.conftest import SMALL

EAGER = {"click_rate": 0.8, "conversion_rate": 0.6, "buyers": 0.9, "delay": "20m"}
_POLICIES = (
    ("bandit", "best_response", "equilibrium", "exp_weights", "fixed_bid", "learned_shading"),
    ("lift", "linear", "logistic_shading", "max_ecpc", "ortb", "random_bid"),
    ("rlb", "shaded", "shrunk", "target_cpa", "target_roas", "thompson"),
    ("truthful", "ucb", "value_maximiser"),
)
_PACERS = ("adaptive", "even", "none", "pid", "throttle")
"""Who shares a world; whoever comes later has one alone, so that figures kept of the others stay as they are."""
FIGURES = Path(__file__).with_name("figures.json")
INCIDENTS: list[dict[str, Any]] = [
    {"kind": "feature_outage", "feature": "engagement", "start": "4h"},
    {"kind": "traffic_shift", "to": {"geo": ["CA"]}, "share": 0.5, "start": "8h"},
    {"kind": "price_shift", "factor": 2.0, "start": "12h", "end": "20h"},
    {"kind": "bots", "share": 0.3, "clicks": 0.5, "start": "6h"},
    {"kind": "tracker_outage", "advertiser": "clean", "share": 0.5, "start": "4h"},
    {"kind": "late_labels", "delay": "3h", "start": "5h"},
    {"kind": "conversion_drop", "left": 0.5, "start": "3h"},
    {"kind": "faulty_model", "factor": 3.0, "start": "16h"},
    {"kind": "budget_change", "advertiser": "bright", "factor": 2.0, "start": "9h"},
    {"kind": "new_site", "site": "brand-new", "share": 0.2, "left": 0.5, "start": "7h"},
]


_FORECAST = 500
"""Requests of a forecast, of which plain Python has most of the work."""


def _laid_over(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    for key, value in changes.items():
        base[key] = (
            _laid_over(base.get(key, {}), value)
            if isinstance(value, dict) and isinstance(base.get(key, {}), dict)
            else value
        )
    return base


def _market(requests: int, **changes: Any) -> dict[str, Any]:
    base = tomllib.loads(SMALL)
    common = {
        "requests": requests,
        "history": {"requests": 100},
        "traffic": {"users": 40},
        "products": {"soap": EAGER, "lamp": EAGER},
        "log": {"wins": 10_000, "decisions": 10_000},
    }
    return _laid_over(_laid_over(base, common), changes)


def _drawn(campaigns: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    base = {
        "name": "d",
        "requests": 70,
        "count": "exact",
        "duration": "1d",
        "values": {"kind": "independent"},
        "market": {"kind": "distribution"},
    }
    return _laid_over(
        base, {"campaigns": {f"c{k}": {"budget": 4.0, **one} for k, one in enumerate(campaigns)}, **changes}
    )


def worlds() -> dict[str, dict[str, Any]]:
    """Worlds by name."""
    found = {
        "market": _market(180),
        "positions, clicks, hold-out, exploration": _market(
            120, auction={"format": "gsp", "positions": [1.0, 0.6], "charge": "click", "reserve_cpm": 0.1}, holdout={"share": 0.3}, exploration={"share": 0.6},
            monitoring={"window": "6h", "rows": "all", "pairs": [["geo", "device"]]},
        ),
        "deadline": _market(90, deadline={"tmax": "100ms", "network": "40ms", "volume": 90_000}, seats={"main": {"internal_auction": True, "decision": {"fixed": "55ms", "workers": 2}}}),
        "incidents": _market(150, incidents=INCIDENTS, monitoring={"window": "6h"}),
    }  # fmt: skip
    for name in names("auction"):
        positions = (
            {"positions": [1.0, 0.5]}
            if name in ("gsp", "vcg", "laddered")
            else {"soft_floor_cpm": 600}
            if name == "soft_floor"
            else {}
        )
        found[f"format {name}"] = _drawn(
            [{"policy": "truthful"}, {"policy": {"name": "shaded", "factor": 0.7}}, {}],
            auction={"format": name, "reserve_cpm": 100, "fee": 0.07, **positions},
        )
    found["pacers"] = _drawn(
        [{"pacing": name, "policy": "truthful"} for name in _PACERS], auction={"format": "second_price"}
    )
    for name in names("pacing"):
        if name not in _PACERS:
            found[f"pacer {name}"] = _drawn(
                [{"pacing": name, "policy": "truthful"}], auction={"format": "second_price"}
            )
    told: dict[str, dict[str, Any]] = {
        "equilibrium": {"bidders": 3},
        "ortb": {"c_cpm": 300.0, "form": 2},
        "max_ecpc": {"max_ecpc": 0.5},
        "fixed_bid": {"bid_cpm": 400.0},
    }
    later = [(name,) for name in names("policy") if not any(name in group for group in _POLICIES)]
    for group in (*_POLICIES, *later):
        found[f"policies from {group[0]} on"] = _drawn(
            [{"policy": {"name": name, **told.get(name, {})}} for name in group]
        )
    found["drawn, by click"] = _drawn(
        [{"policy": "truthful"}, {"policy": "truthful"}, {"policy": "truthful"}],
        values={"kind": "independent", "quality": {"c0": 0.5, "c1": 0.8}}, auction={"format": "gsp", "charge": "click", "positions": [1.0, 0.5], "reserve_cpm": 100, "fee": 0.1},
    )  # fmt: skip
    found["positions in turn"] = _drawn(
        [{"policy": "truthful"}] * 4,
        auction={"format": "second_price", "positions": [1.0, 0.6, 0.25], "fee": 0.2},
        log={"landscape_every": 3},
    )
    for who in ("some", "poisson", "rotate"):
        values = {
            "kind": "independent",
            "participants": who,
            "count": 2,
            "noise": 0.1,
            "common": who == "poisson",
            "distribution": {"type": "lognormal"},
        }
        found[f"participants {who}"] = _drawn([{"policy": "truthful"}] * 4, values=values)
    found["values of types"] = _drawn([{}, {}], values={"kind": "types", "worth": {"c0": [1.0, 0.2], "c1": [0.3, 0.9]}})
    found["values of AuctionGym"] = _drawn(
        [{}, {}, {}], requests=15, values={"kind": "auctiongym", "participants": 2}, market={"kind": "none"}
    )
    found["prices of iPinYou"] = _market(60)
    found["prices of iPinYou"]["market"] = {"kind": "ipinyou", "win_rate": 0.3}
    found["a line for a model"] = _market(
        100, seats={"main": {"model": {"name": "logistic"}}}, history={"requests": 250}
    )
    return found


def columns_of(world: dict[str, Any]) -> dict[str, Any]:
    """Run a world: all columns of its tables but measured times, by ``table/column``."""
    with patch.object(forecast, "_REQUESTS", _FORECAST):
        result = bidsim.run(scenario_of(world), progress=lambda stage, done, total: None)
    return {
        f"{table}/{name}": np.asarray(values)
        for table, columns in result.tables.items()
        if table not in ("latency", "learned")
        for name, values in columns.items()
    }


def tables(folder: Path) -> None:
    """Run every world, and write its tables to ``folder/<number>.npz``."""
    for k, world in enumerate(worlds().values()):
        np.savez(folder / f"{k}.npz", **columns_of(world))


def figures(world: dict[str, Any]) -> dict[str, Any]:
    """A run in few figures: by table a digest of all that is no fraction, by column of fractions a sum in which every row has its own weight."""
    exact: dict[str, Any] = {}
    sums: dict[str, float] = {}
    for column, values in columns_of(world).items():
        if values.dtype.kind == "f":
            known = np.nan_to_num(values.ravel().astype(np.float64))
            sums[column] = float(f"{(known * (1 + np.arange(known.size) % 7)).sum():.12g}")
        else:
            exact.setdefault(column.split("/")[0], hashlib.sha256()).update(repr((column, values.tolist())).encode())
    return {
        "exact": {table: digest.hexdigest()[:16] for table, digest in exact.items()},
        "sums": {column: total for column, total in sums.items() if total},
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # plain integers of 64 bits warn where they wrap
    if sys.argv[1] == "keep":
        FIGURES.write_text(json.dumps({name: figures(world) for name, world in worlds().items()}, indent=1) + "\n")
    else:
        tables(Path(sys.argv[1]))
