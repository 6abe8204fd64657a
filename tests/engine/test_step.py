"""Steps, snapshots and kills change no bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bidsim
from bidsim.core.errors import BidsimError, UsageError
from bidsim.core.units import HOUR
from tests.conftest import ROOT, fingerprint

BUSY: dict[str, Any] = {
    "requests": 3_000,
    "holdout.share": 0.2,
    "exploration.share": 0.4,
    "auction.positions": [1.0, 0.5],
    "log.decisions": 3_000,
    "monitoring.window": "6h",
    "incidents": [
        {"kind": "feature_outage", "feature": "engagement", "start": "4h"},
        {"kind": "bots", "share": 0.3, "clicks": 0.5, "start": "6h"},
        {"kind": "budget_change", "advertiser": "clean", "factor": 2.0, "start": "9h"},
    ],
}
"""Changes of the small market that keep all parts of the state busy."""
KILLS = int(os.environ.get("BIDSIM_KILLS", "4"))
LATE = {"notices": {"delay": "20m", "lost": 0.1, "expire": "1h"}, "purchases": {"delay": "3h"}}


def _scenario(small: Path, **more: Any) -> bidsim.Scenario:
    return bidsim.load_scenario(small, {**BUSY, **more})


@pytest.mark.parametrize("late", [{}, LATE], ids=["at once", "late"])
@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_step__of_any_size_gives_the_same_bits(small: Path, size: int, late: dict[str, Any]) -> None:
    scenario = _scenario(small, **late)
    simulation = bidsim.Simulation(scenario, chunk=512)
    while simulation.step(requests=size):
        pass
    assert fingerprint(simulation.finish()) == fingerprint(bidsim.run(scenario, progress=lambda *told: None))


def test_step__until_a_time_stops_before_it(small: Path) -> None:
    scenario = _scenario(small)
    simulation = bidsim.Simulation(scenario, chunk=300)
    whole = bidsim.run(scenario, progress=lambda *told: None)
    hours = 0
    while simulation.done < simulation.total:
        hours += 1
        simulation.step(until=hours * HOUR)
        seen = simulation.look().tables["requests"]["time_us"]
        assert (seen < hours * HOUR).all()
        assert len(seen) == (whole.tables["requests"]["time_us"] < hours * HOUR).sum()
    assert 40 < hours <= 48
    assert fingerprint(simulation.finish()) == fingerprint(whole)


@pytest.mark.parametrize("late", [{}, LATE], ids=["at once", "late"])
def test_restore__goes_on_as_if_nothing_had_happened(small: Path, late: dict[str, Any], tmp_path: Path) -> None:
    """At 20 random places: in the same simulation, and from a file in another one."""
    scenario, dice = _scenario(small, **late), np.random.default_rng(7)
    whole = fingerprint(bidsim.run(scenario, progress=lambda *told: None))
    first, second = bidsim.Simulation(scenario, chunk=700), bidsim.Simulation(scenario)
    for place in sorted(dice.integers(1, first.total, 20)):
        first.reset()
        first.step(requests=int(place))
        kept = first.snapshot()
        first.save(tmp_path / "kept")
        first.step(requests=400)
        first.restore(kept)
        assert first.done == place
        second.load(tmp_path / "kept")
        assert second.done == place
        assert fingerprint(second.finish()) == whole
    assert fingerprint(first.finish()) == whole


def test_reset__of_another_seed_is_another_world_and_the_same_one_again(small: Path) -> None:
    simulation = bidsim.Simulation(_scenario(small))
    first = fingerprint(simulation.finish())
    simulation.reset(99)
    other = fingerprint(simulation.finish())
    simulation.reset(3)
    again = fingerprint(simulation.finish())
    assert first == again
    assert first != other


def test_snapshot__of_another_world_or_version_is_refused_in_one_line(small: Path, tmp_path: Path) -> None:
    simulation = bidsim.Simulation(_scenario(small))
    simulation.step(requests=100)
    simulation.save(tmp_path / "kept")
    for changes in ({"seed": 5}, {"campaigns.lamp.budget": 3.0}):
        other = bidsim.Simulation(_scenario(small, **changes))
        with pytest.raises(BidsimError, match="another scenario or seed") as told:
            other.load(tmp_path / "kept")
        assert "\n" not in str(told.value)
    bits = bytearray((tmp_path / "kept").read_bytes())
    bits[len(bits) // 2] ^= 8
    (tmp_path / "damaged").write_bytes(bits)
    (tmp_path / "cut").write_bytes(bits[: len(bits) // 3])
    (tmp_path / "empty").write_bytes(b"")
    for name in ("damaged", "cut", "empty"):
        with pytest.raises(BidsimError, match=f"{name} is damaged"):
            simulation.load(tmp_path / name)
    with pytest.raises(BidsimError, match="there is no snapshot"):
        simulation.load(tmp_path / "nothing")
    assert simulation.step(requests=50) == 50


def test_snapshot__of_an_older_version_is_refused(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = bidsim.Simulation(_scenario(small))
    monkeypatch.setattr("bidsim.engine.snapshot.VERSION", "0.0.1")
    simulation.save(tmp_path / "kept")
    monkeypatch.undo()
    with pytest.raises(BidsimError, match=r"written by bidsim 0\.0\.1"):
        simulation.load(tmp_path / "kept")


@pytest.mark.parametrize("given", [{}, {"requests": 1, "until": "1h"}, {"requests": -1}, {"until": "soon"}])
def test_step__says_what_it_takes(small: Path, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="step"):
        bidsim.Simulation(_scenario(small)).step(**given)


def test_generate__past_the_end_is_one_line(small: Path) -> None:
    engine = bidsim.Simulation(_scenario(small))._engine
    with pytest.raises(BidsimError, match="are not all among"):
        engine.generate(engine.total - 1, engine.total + 1)


def _command(small: Path, out: Path, *more: str) -> list[str]:
    changes = {"requests": 1_500_000, "log.decisions": 2_000}
    sets = [f"--set={key}={value}" for key, value in changes.items()]
    return [sys.executable, "-m", "bidsim", "run", str(small), *sets, "--out", str(out), "--json", *more]


def _killed(command: list[str], snapshot: Path, after: float) -> bool:
    """Kill a run some time after it has taken another snapshot; whether it had not ended by then."""
    taken = snapshot.stat().st_mtime_ns if snapshot.exists() else 0
    started = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while started.poll() is None and not (snapshot.exists() and snapshot.stat().st_mtime_ns > taken):
        time.sleep(0.01)
    time.sleep(after)
    lives = started.poll() is None
    started.kill()
    started.wait()
    return lives


def test_resume__after_kills_gives_the_same_bits(small: Path, tmp_path: Path) -> None:
    """``KILLS`` says how often the run is killed, at random moments."""
    whole, out, dice = tmp_path / "whole", tmp_path / "killed", np.random.default_rng(11)
    subprocess.run(_command(small, whole), cwd=ROOT, check=True, capture_output=True)
    command = _command(small, out, "--resume", "--snapshot-every", "20ms")
    lived = [_killed(command, tmp_path / ".killed.snapshot", dice.exponential(0.05)) for _ in range(KILLS)]
    assert sum(lived) >= KILLS / 2
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == json.loads((whole / "summary.json").read_text())
    assert fingerprint(bidsim.load_result(out)) == fingerprint(bidsim.load_result(whole))
    assert not (tmp_path / ".killed.snapshot").exists()
