from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import bidsim
from bidsim.core.errors import RunDirectoryError
from bidsim.core.result import is_run_directory, model_folders
from tests.conftest import ROOT, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable


def test_save__is_read_back_to_the_bit(run_small: Callable[..., bidsim.Result], tmp_path: Path) -> None:
    result = run_small()
    result.save(tmp_path / "run")
    again = bidsim.load_result(tmp_path / "run")
    assert fingerprint(again) == fingerprint(result)
    assert again.summary == result.summary
    assert {
        "manifest.json",
        "summary.json",
        "campaigns.parquet",
        "timeline.parquet",
        "slices.parquet",
        "auctions.parquet",
        "requests.parquet",
        "bids.parquet",
        "conversions.parquet",
    } <= {f.name for f in (tmp_path / "run").iterdir()}


def test_save__replaces_an_older_run_and_nothing_else(run_small: Callable[..., bidsim.Result], tmp_path: Path) -> None:
    result = run_small({"requests": 200})
    result.save(tmp_path / "run")
    result.save(tmp_path / "run")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work")
    with pytest.raises(RunDirectoryError, match="not a run directory"):
        result.save(tmp_path / "precious")
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years of work"
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "small.toml") == ["precious", "run"]


@pytest.mark.parametrize("damage", ["no folder", "empty", "no manifest", "bad json", "other format", "bad parquet"])
def test_load_result__says_what_is_wrong(run_small: Callable[..., bidsim.Result], tmp_path: Path, damage: str) -> None:
    run = tmp_path / "run"
    if damage == "empty":
        run.mkdir()
    elif damage != "no folder":
        run_small({"requests": 100}).save(run)
        manifest = run / "manifest.json"
        if damage == "no manifest":
            manifest.unlink()
        elif damage == "bad json":
            manifest.write_text("{")
        elif damage == "other format":
            manifest.write_text(re.sub(r'"format": \d+', '"format": 1', manifest.read_text()))
        else:
            (run / "campaigns.parquet").write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(RunDirectoryError, match=r"run"):
        bidsim.load_result(run)


def test_model_folders__no_name_leaves_the_run() -> None:
    folders = model_folders({"main": 1, "../../x": 1, "a/b": 1, "": 1, "ünï": 1})
    assert folders["main"] == "main"
    assert all("/" not in f and ".." not in f and f for f in folders.values())
    assert len(set(folders.values())) == 5
    taken = model_folders(["ö", "seat-0", "seat-1", "ü"])
    assert taken["seat-1"] == "seat-1"
    assert len(set(taken.values())) == 4


def _with_notes(run_small: Callable[..., bidsim.Result], out: Path) -> bidsim.Result:
    result = run_small({"requests": 100})
    result.save(out)
    (out / "notes.txt").write_text("mine")
    return result


def test_save__keeps_what_a_person_put_there_also_where_it_fails(
    run_small: Callable[..., bidsim.Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    result = _with_notes(run_small, out)
    rename = Path.rename

    def refuses(self: Path, target: Any) -> Path:
        if self.name.startswith(".part-") and not self.name.endswith("-old"):
            raise OSError(39, "Directory not empty")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuses)
    with pytest.raises(RunDirectoryError, match="Directory not empty"):
        result.save(out)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir() if p.name != "small.toml"] == ["run"]
    assert bidsim.load_result(out).summary == result.summary
    result.save(out)
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("renamed", [False, True])
def test_save__finishes_what_a_killed_one_had_begun(
    run_small: Callable[..., bidsim.Result], tmp_path: Path, *, renamed: bool
) -> None:
    """Killed after the older run stepped aside: before the new one took its place, or after."""
    out, gone = tmp_path / "run", subprocess.Popen(["true"])
    gone.wait()
    result = _with_notes(run_small, out)
    result.save(tmp_path / "other")
    out.rename(tmp_path / f".part-run-{gone.pid}-old")
    if renamed:
        (tmp_path / "other").rename(out)
    result.save(tmp_path / "next")
    assert (out / "notes.txt").read_text() == "mine"
    assert bidsim.load_result(out).summary == result.summary
    assert not list(tmp_path.glob(".part-*"))


def test_kill__leaves_nothing_that_reads_as_complete(small: Path, tmp_path: Path) -> None:
    """SIGKILL at 20 moments spread over a run's writing; whatever remains is a whole run or none, and the next run works."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "bidsim", "run", str(small), "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)  # fills the kernels' cache
    begun = time.monotonic()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    length = time.monotonic() - begun
    dice = random.Random(1)
    for attempt in range(20):
        if attempt % 4:
            shutil.rmtree(out, ignore_errors=True)
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        moment = dice.uniform(0.6, 1.05) if attempt % 2 else dice.uniform(0.0, 1.0)
        time.sleep(moment * length)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for folder in [p for p in out.parent.iterdir() if p.is_dir()]:
            if is_run_directory(folder) and not folder.name.startswith("."):
                bidsim.load_result(folder)
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert bidsim.load_result(out).summary["scenario"] == "small"
    assert [p.name for p in out.parent.iterdir() if p.name.startswith(".part-")] == []


def test_load_result__names_a_table_that_is_missing(run_small: Callable[..., bidsim.Result], tmp_path: Path) -> None:
    run_small({"requests": 100}).save(tmp_path / "run")
    (tmp_path / "run" / "slices.parquet").unlink()
    with pytest.raises(RunDirectoryError, match=r"slices\.parquet is missing"):
        bidsim.load_result(tmp_path / "run")
