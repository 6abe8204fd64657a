from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.figures import Figure, Report, measured
from bench.realism import distance, variation
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
