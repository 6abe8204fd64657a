"""Bidders without a world: from what a request shows and what notices say, in a process of its own, they bid the same."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import bidsim
from bidsim.bidder import decide
from bidsim.bidder.packed import pack
from bidsim.bidder.tables import PACER, POLICY
from bidsim.core.kernel import kernel
from bidsim.core.reference import hold
from bidsim.engine.loop import _dismiss, ready, settle
from bidsim.engine.rates import declare, look_up
from bidsim.engine.tables import Chunk, State
from tests.conftest import ROOT, SCENARIOS, fingerprint

if TYPE_CHECKING:
    from pathlib import Path

    from bidsim.engine.engine import Engine

REQUESTS = 20_000
NOTICE = ("won", "payment", "price", "minimum", "effect")
MODEL = {"name": "lightgbm", "trees": 20, "leaves": 16}


@kernel()
def _show(sim: State, chunk: Chunk, i: int) -> tuple[int, int, int]:
    """What the loop does up to the moment when the world has declared what bidders are told."""
    if not ready(sim, chunk, i):
        return 0, 0, 0
    count, watched = decide.consider(sim.bidder, chunk.requests, i, False)
    look_up(sim, chunk, i)
    declare(sim, chunk, i, watched, sim.world.rules.needs_truth != 0)
    return 1, count, watched


@kernel()
def _bid(sim: State, chunk: Chunk, i: int, count: int, watched: int) -> None:
    decide.see(sim.bidder, chunk.requests, i, watched, False)
    decide.judge(sim.bidder, chunk.requests.time[i], count, watched)
    decide.bid(sim.bidder, chunk.requests, i, count, watched, False)


@kernel()
def _settle(sim: State, chunk: Chunk, i: int, count: int, watched: int) -> None:
    settle(sim, chunk, i, count, watched, False, False, 0)
    _dismiss(sim)


def _step(engine: Engine, chunk: Any, held: Any, i: int, shown: dict[str, list[Any]]) -> None:
    while True:
        went, count, watched = _show(engine._state(), held, i)
        if went:
            break
        engine.grow()
    bidder = engine.state.bidder
    offers, desk = bidder.desk.offers, bidder.desk
    for name in ("offer", "bought", "rate", "lift"):
        shown[name].append(getattr(bidder.port, name).copy())
    _bid(engine._state(), held, i, count, watched)
    shown["count"].append(count)
    shown["campaign"].append(offers.campaign.copy())
    shown["bid"].append(offers.bid.copy())
    _settle(engine._state(), held, i, count, watched)
    for name in NOTICE:
        shown[name].append(getattr(offers, name).copy())
    shown["reason"].append(desk.reason.copy())


def _plugins(scenario: bidsim.Scenario, engine: Engine) -> dict[str, Any]:
    """Names of plug-ins in the order in which seats and groups count them."""
    bidder, settings = engine.state.bidder, scenario.settings
    found: dict[str, dict[int, str]] = {"model": {}, "policy": {}, "pacing": {}}
    for seat, chosen in enumerate(settings.seats.values()):
        found["model"][int(bidder.seats.scorer[seat])] = chosen.model.name
    for row, name in enumerate(engine.names.campaigns):
        group = bidder.groups[bidder.campaigns.group[row]]
        found["policy"][int(group[POLICY])] = settings.campaigns[name].policy.name
        found["pacing"][int(group[PACER])] = settings.campaigns[name].pacing.name
    return {f"plugins/{family}": np.array([names[k] for k in sorted(names)]) for family, names in found.items()}


def _recording(scenario: bidsim.Scenario) -> tuple[dict[str, Any], Engine]:
    """Step a scenario in halves: what each request showed, what was bid, what its notices said."""
    engine = bidsim.Simulation(scenario)._engine
    kept = {f"bidder/{name}": array for name, array in pack(engine.state.bidder).items()} | _plugins(scenario, engine)
    shown: dict[str, list[Any]] = {
        name: [] for name in ("offer", "bought", "rate", "lift", "count", "campaign", "bid", "reason", *NOTICE)
    }
    chunk = engine.generate(0, engine.total)
    held = hold(chunk)
    for i in range(engine.total):
        _step(engine, chunk, held, i, shown)
    engine.done = engine.total
    kept |= {f"shown/{name}": np.array(values) for name, values in shown.items()}
    return kept | {f"requests/{name}": getattr(chunk.requests, name) for name in chunk.requests._fields}, engine


SHORT = {"log.decisions": 0, "log.wins": 0, "history.requests": 60_000, "seats.main.model": MODEL}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "quickstart": ("quickstart", {"requests": REQUESTS, **SHORT}),
    "clicks charged, positions, tmax, faults": (
        "quickstart",
        {
            "requests": 4_000,
            **SHORT,
            "auction.charge": "click",
            "auction.positions": [1.0, 0.5],
            "deadline": {"tmax": "100ms", "network": "90ms"},
            "incidents": [
                {"kind": "feature_outage", "feature": "days_since_purchase", "start": "2d"},
                {"kind": "faulty_model", "factor": 3.0, "start": "4d"},
            ],
        },
    ),
    "oracle": ("tight_budgets", {"requests": 4_000, "log.decisions": 0, "log.wins": 0, "seats.main.model": "oracle"}),
}


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cache of kernels that no engine has used: an index of compiled types names the modules that they are from."""
    return str(tmp_path_factory.mktemp("kernels"))


@pytest.mark.parametrize("name", CASES)
def test_decide__without_a_world_makes_the_bids_of_the_run(name: str, tmp_path: Path, own_cache: str) -> None:
    file, changes = CASES[name]
    scenario = bidsim.load_scenario(SCENARIOS / f"{file}.toml", changes)
    kept, engine = _recording(scenario)
    np.savez(tmp_path / "kept.npz", **kept)
    halves, whole = engine.finish(), bidsim.run(scenario, progress=lambda *told: None)
    halves["learned"] = whole.tables["learned"]
    assert fingerprint(bidsim.Result({}, halves)) == fingerprint(whole)
    command = [sys.executable, "-m", "tests.bidder.alone", str(tmp_path / "kept.npz")]
    alone = {**os.environ, "BIDSIM_CACHE": own_cache}
    done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) == int(
        (kept["shown/bid"] > 0)[np.arange(kept["shown/bid"].shape[1]) < kept["shown/count"][:, None]].sum()
    )
    assert int(done.stdout) > 1_000
