"""Run directories: what is damaged is named, nothing of an older run survives, and nobody's work in progress is taken for a leftover."""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import bidsim
from bidsim.cli import main
from bidsim.core.errors import RunDirectoryError
from bidsim.core.folder import PAGE_MARK, TABLES

if TYPE_CHECKING:
    from collections.abc import Callable

PAGES = ("report.html", "consumables.html", "monitor.html", "advertisers/index.html", "advertisers/001-a.json")
_DEAD = 4_194_305
"""Above the largest process number that Linux gives."""


def _with_pages(result: bidsim.Result, out: Path) -> None:
    """A run, pages about it, one of them under a name of a person's own, and what a person put there."""
    result.save(out)
    (out / "advertisers").mkdir()
    for page in PAGES:
        (out / page).write_text("about the older run")
    (out / "softly.html").write_bytes(b"<!doctype html>\n" + PAGE_MARK)
    (out / "softly.json").write_text('{"advertiser": "softly", "headline": {}}')
    (out / ".report.html.part-77").write_text("half a page")
    (out / "notes.txt").write_text("mine")


def _kept(out: Path) -> set[str]:
    written = {f"{name}.parquet" for name in TABLES} | {"manifest.json", "summary.json", "model"}
    return {entry.name for entry in out.iterdir()} - written


@pytest.mark.parametrize("state", ["replaced", "-old without its manifest", "-gone"])
def test_replaced_run__leaves_nothing_but_what_a_person_put_there(
    run_small: Callable[..., bidsim.Result], tmp_path: Path, state: str
) -> None:
    """Also where the process was killed while it removed the older run."""
    older, newer, out = run_small({"requests": 100}), run_small({"requests": 100, "seed": 2}), tmp_path / "run"
    _with_pages(older, out)
    if state != "replaced":
        aside = tmp_path / f".part-run-{_DEAD}{state.split(maxsplit=1)[0]}"
        out.rename(aside)
        (aside / "manifest.json").unlink()
        newer.save(out)
        newer.save(tmp_path / "another")
    else:
        newer.save(out)
    assert _kept(out) == (set() if state == "-gone" else {"notes.txt"})
    assert bidsim.load_result(out).summary["seed"] == 2
    assert not list(tmp_path.glob(".part-*"))


def test_replaced_run__removal_that_is_cut_short_is_finished_by_the_next(
    run_small: Callable[..., bidsim.Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer, out = run_small({"requests": 100}), run_small({"requests": 100, "seed": 2}), tmp_path / "run"
    _with_pages(older, out)

    def killed(folder: Path, **how: Any) -> None:
        if folder.name.endswith("-gone"):
            (folder / "manifest.json").unlink()
            raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        newer.save(out)
    monkeypatch.undo()
    newer.save(tmp_path / "another")
    assert _kept(out) == {"notes.txt"}
    assert not list(tmp_path.glob(".part-*"))


def test_leftovers__of_a_process_that_lives_elsewhere_stay(
    run_small: Callable[..., bidsim.Result], tmp_path: Path
) -> None:
    """Its number means nothing here: in another container it may be anyone's, or nobody's."""
    for number in (_DEAD, os.getpid()):
        (tmp_path / f".part-other-{number}").mkdir()
    held = os.open(tmp_path / f".part-other-{_DEAD}", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    run_small({"requests": 100}).save(tmp_path / "run")
    assert [p.name for p in tmp_path.glob(".part-*")] == [f".part-other-{_DEAD}"]
    os.close(held)
    run_small({"requests": 100}).save(tmp_path / "run")
    assert not list(tmp_path.glob(".part-*"))


def test_leftovers__without_locks_go_by_age(
    run_small: Callable[..., bidsim.Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(handle: int, what: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    for name in ("new", "old"):
        (tmp_path / f".part-{name}-0123456789ab").mkdir()
    os.utime(tmp_path / ".part-old-0123456789ab", (0, 0))
    run_small({"requests": 100}).save(tmp_path / "run")
    assert [p.name for p in tmp_path.glob(".part-*")] == [".part-new-0123456789ab"]


def test_tables__are_all_known_by_name(run_small: Callable[..., bidsim.Result]) -> None:
    late = {"requests": 100, "notices.delay": "1m"}
    assert set(run_small(late).tables) == TABLES


def _flip(path: Path, dice: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(dice.choice([1, 1, 20])):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    path.write_bytes(bytes(content))


def test_load_result__names_the_file_in_which_a_bit_has_flipped(
    run_small: Callable[..., bidsim.Result], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the file; `monitor` and `report` end in one line, never in a traceback or a page."""
    logistic = {"seats.main.model": {"name": "logistic"}, "history.requests": 12_000, "requests": 500}
    run_small({**logistic, "products.soap.conversion_rate": 0.5}).save(tmp_path / "run")
    files = sorted(p.relative_to(tmp_path / "run") for p in (tmp_path / "run").rglob("*") if p.is_file())
    assert len(files) > len(TABLES) + 2  # a model is among them
    dice = random.Random(7)
    for turn in range(300):
        damaged, name = tmp_path / "damaged", files[turn % len(files)]
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.copytree(tmp_path / "run", damaged)
        _flip(damaged / name, dice)
        if (damaged / name).read_bytes() == (tmp_path / "run" / name).read_bytes():
            continue  # the same bit twice
        with pytest.raises(RunDirectoryError) as caught:
            bidsim.load_result(damaged)
        told = str(caught.value)
        assert name.as_posix() in told or "was written in format" in told, (turn, told)
        assert "\n" not in told
        if turn < 2 * len(files):
            assert main(["monitor" if turn % 2 else "report", str(damaged)]) == 2
            told = capsys.readouterr().err
            assert told.startswith("error: ")
            assert told.count("\n") == 1
            assert not (damaged / "report.html").exists()


@pytest.mark.parametrize("lost", ["files", "digest"])
def test_load_result__a_manifest_without_hashes_is_damaged(
    run_small: Callable[..., bidsim.Result], tmp_path: Path, lost: str
) -> None:
    run_small({"requests": 100}).save(tmp_path / "run")
    manifest = tmp_path / "run" / "manifest.json"
    manifest.write_text(json.dumps({k: v for k, v in json.loads(manifest.read_text()).items() if k != lost}))
    with pytest.raises(RunDirectoryError, match=r"manifest\.json"):
        bidsim.load_result(tmp_path / "run")
