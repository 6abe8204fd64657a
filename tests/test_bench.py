from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.decisions import Runner, market_of, with_lightgbm
from bench.figures import Figure, Report, measured
from bench.realism import distance, variation
from bidsim.cvr.features import FIRST_CAMPAIGN, FIRST_PAIR
from bidsim.cvr.trees import score_trees
from bidsim.engine.deadline import STAGES
from tests.conftest import ROOT


def test_realism__every_goal_holds(tmp_path: Path) -> None:
    file = tmp_path / "realism.json"
    subprocess.run([sys.executable, "-m", "bench", "realism", "--quick", "--seed", "1", "--json", str(file)], cwd=ROOT, check=True, capture_output=True)
    found = json.loads(file.read_text())
    assert set(found) == {"name", "machine", "versions", "figures"}
    goals = [f for f in found["figures"] if f["goal"]]
    assert len(goals) == 6
    assert all(f["holds"] for f in goals), goals


def test_figure__says_whether_its_goal_holds() -> None:
    assert Figure("a", 3.0, "s", goal="<= 3").holds is True
    assert Figure("a", 3.1, "s", goal="<= 3").holds is False
    assert Figure("a", None, "s", goal=">= 3").holds is False
    assert Figure("a", 3.0, "s").holds is None
    assert measured("a", [3.0, 1.0, 2.0], "s").value == 2.0


def test_report__writes_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("x", [Figure("speed", 12_345.0, "per s", (1.0, 2.0), ">= 1"), Figure("other", None, "", goal="<= 1")])
    report.print()
    printed = capsys.readouterr().out
    assert "12,345" in printed and "not measured" in printed and "NO" in printed
    report.write(tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text())["figures"][1]["holds"] is False


def test_distances__by_hand() -> None:
    assert variation([1, 1], [0.9, 0.1]) == pytest.approx(0.4)
    assert distance(np.array([0.0, 0.0, 1.0, 1.0]), [0.0, 1.0], [0.75, 0.25]) == pytest.approx(0.25)


@pytest.mark.parametrize("campaigns", [9, 40])
def test_decisions__are_timed_in_the_loop_and_scored_alike_by_lightgbm(campaigns: int) -> None:
    requests = 300
    simulation = market_of(campaigns, 0, 2 * requests, 30_000)
    runner, theirs = Runner(simulation), with_lightgbm(simulation)
    stages = runner.stages(simulation.sim, requests)
    assert stages.shape == (requests, len(STAGES))
    assert (stages > 0).all()
    runner.stages(theirs, requests)
    rows = simulation.sim.scratch.features.copy()
    in_loop = simulation.sim.scratch.offers.pcvr.copy()
    static = simulation.sim.campaigns.static
    np.testing.assert_array_equal(rows[:, FIRST_CAMPAIGN:FIRST_PAIR], static)
    found = np.zeros(campaigns)
    tables = simulation.sim.tables
    score_trees(tables, np.arange(campaigns), rows, found, 0, campaigns, found)
    np.testing.assert_allclose(in_loop, found, rtol=0, atol=1e-12)


def test_open_loop__latency_grows_without_bound_beyond_capacity() -> None:
    requests = 800
    simulation = market_of(20, 0, 4 * requests, 30_000)
    runner = Runner(simulation)
    runner.stages(simulation.sim, requests)
    mean = float(runner.stages(simulation.sim, requests).sum(axis=1).mean())
    calm = runner.open_loop(simulation.sim, requests, 0.05e9 / mean, 1)
    flooded = runner.open_loop(simulation.sim, requests, 20e9 / mean, 1)
    assert np.median(flooded[-100:]) > 20 * np.median(calm)
    assert np.median(flooded[-100:]) > 3 * np.median(flooded[:100])
