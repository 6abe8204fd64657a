"""Worker processes: they end when the one that started them ends, however that came, and what it left is cleared."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT, SMALL

if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE = 60.0


def _compare(folder: Path, replications: int = 5_000) -> subprocess.Popen[str]:
    """A comparison with two workers, in a session of its own, with far more worlds than anyone would wait for."""
    (folder / "small.toml").write_text(SMALL)
    (folder / "temporary").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "bidsim", "compare", "small.toml", "--set-last", "auction.fee=0.3", "--replications",
         str(replications), "--workers", "2"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "temporary")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )  # fmt: skip


def _wait_for(come: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE
    while not come():
        assert time.monotonic() < until
        time.sleep(0.05)


def _children(process: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("late", [False, True], ids=["while workers load", "while worlds run"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_workers__end_with_the_process_that_started_them(number: signal.Signals, late: bool, tmp_path: Path) -> None:
    process = _compare(tmp_path)
    _wait_for(lambda: len(_children(process.pid)) >= 3)  # two workers, and what keeps track of their semaphores
    time.sleep(2.0 if late else 0.0)
    children = _children(process.pid)
    process.send_signal(number)
    _, told = process.communicate(timeout=_PATIENCE)
    _wait_for(lambda: not any(_lives(child) for child in children))
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        (tmp_path / "temporary" / "bidsim-worlds-0").mkdir()
        assert len(list((tmp_path / "temporary").glob("bidsim-worlds-*"))) == 2
        again = _compare(tmp_path, replications=2)
        again.communicate(timeout=_PATIENCE)
        assert again.returncode == 0
        assert [p.name for p in (tmp_path / "temporary").iterdir()] == ["bidsim-worlds-0"]
    else:
        assert process.returncode == 3
        assert told.strip() == "error: stopped; nothing was written"
        assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=lambda n: n.name)
@pytest.mark.parametrize("to_all", [False, True])
def test_interrupt__ends_workers_at_once(number: signal.Signals, to_all: bool, tmp_path: Path) -> None:
    """A signal to the parent alone, as `kill` sends it, or twice to all, as an impatient terminal does."""
    process = _compare(tmp_path)
    _wait_for(lambda: bool(_children(process.pid)))
    time.sleep(1)
    for _ in range(2 if to_all else 1):
        (os.killpg if to_all else os.kill)(process.pid, number)
        time.sleep(0.02)
    _, told = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 3
    assert told.strip() == "error: stopped; nothing was written"


def test_interrupt__what_is_ignored_stays_ignored() -> None:
    """As `nohup` wants it: a terminal that closes does not end the command."""
    script = """import signal
from bidsim.interrupt import interruptible
with interruptible():
    signal.raise_signal(signal.SIGHUP)
print("went on")
"""
    command = ["nohup", sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "went on"
