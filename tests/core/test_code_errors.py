"""What is wrong with code of one's own while it runs: compiled code cannot tell the line, plain Python does."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.conftest import ROOT, SMALL

if TYPE_CHECKING:
    from pathlib import Path


def test_wrong_index__in_plain_python_is_told_with_its_line(tmp_path: Path) -> None:
    lines = (
        (ROOT / "docs/examples/my_module.py")
        .read_text()
        .replace("offers.campaign[k], 0]", "offers.campaign[k], 7]")
        .splitlines()
    )
    (tmp_path / "mine.py").write_text("\n".join(lines))
    (tmp_path / "s.toml").write_text(SMALL.replace('"truthful"', '"mine:MyPolicy"'))
    command = [sys.executable, "-W", "ignore", "-m", "bidsim", "run", "s.toml", "--allow-code", "--set", "requests=50"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_DISABLE_JIT": "1"},
    )
    line = next(n for n, text in enumerate(lines, 1) if ", 7]" in text)
    assert done.returncode == 3
    assert done.stderr.startswith(
        f"error: a plug-in from outside the package failed at mine.py, line {line}: IndexError: index 7 is out of bounds"
    )
