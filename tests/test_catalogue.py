"""A hundred things that go wrong, each tried: one clear block, the right exit code, nothing lost, and the page says what is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bidsim.cli import main
from tests.catalogue import MISTAKES, Mistake, tried
from tests.conftest import ROOT, SMALL

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "small.toml").write_text(SMALL)
    assert main(["run", str(folder / "small.toml"), "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_catalogue__is_long_enough_and_says_nothing_twice() -> None:
    assert len(MISTAKES) >= 100
    assert len({m.title for m in MISTAKES}) == len(MISTAKES)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.title)
def test_mistake__ends_in_one_clear_block(mistake: Mistake, tmp_path: Path, finished: Path) -> None:
    code, told = tried(mistake, tmp_path, finished)
    assert code == mistake.code
    assert mistake.words in told
    assert "Traceback" not in told
    assert len(told.splitlines()) <= 6
    assert all(len(line) < 400 for line in told.splitlines())
    assert told in PAGE, "run: make reference"
    for name, text in (mistake.files or {}).items():
        kept = (tmp_path / name).read_bytes() if mistake.title != "no permission to read a scenario" else None
        assert kept in (None, text.encode() if isinstance(text, str) else text), "a file of the user's was touched"
