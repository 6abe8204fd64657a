"""The notebooks run from top to bottom, say what they say, and are text that Jupyter opens as notebooks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook__runs(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook__is_percent_format_with_prose_and_references(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ---\n# jupyter:\n#   jupytext:\n#     formats: py:percent\n")
    cells = re.split(r"^# %%", text, flags=re.MULTILINE)[1:]
    prose = [c for c in cells if c.startswith(" [markdown]")]
    assert len(prose) >= 4
    assert len(cells) - len(prose) >= 4
    assert all(line.startswith("#") or not line for c in prose for line in c.split("\n")[1:])
    assert prose[0].lstrip(" [markdown]\n").startswith("# # ")


def test_notebooks__lead_to_each_other() -> None:
    assert len(NOTEBOOKS) == 8
    for this, following in pairwise(NOTEBOOKS):
        assert f"]({following.name})" in this.read_text()
