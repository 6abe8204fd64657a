"""The wheel, built, installed where nothing but its dependencies is, and used there."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from bidsim.core.kernel import cache_root
from bidsim.version import VERSION
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the files that are kept."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    kept = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    wanted = [
        name
        for name in kept or ["."]
        if name.startswith(("bidsim", "scenarios", "pyproject.toml", "README.md", "LICENSE"))
    ]
    if not wanted:
        pytest.skip("not a checkout: there is no list of the files that are kept")
    source.mkdir()
    subprocess.run(f"tar -c {' '.join(wanted)} | tar -x -C {source}", shell=True, cwd=ROOT, check=True)  # noqa: S602  (names are git's)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        str(folder),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_wheel__holds_all_that_is_used(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert f"bidsim-{VERSION}" in wheel.name
    for part in ("bidsim", "scenarios"):
        for file in (ROOT / part).rglob("*"):
            if (
                file.is_file()
                and file.suffix in (".py", ".toml", ".html", ".json", ".typed")
                and "__pycache__" not in file.parts
            ):
                name = file.relative_to(ROOT).as_posix()
                assert (f"bidsim/{name}" if part == "scenarios" else name) in names, (
                    f"the wheel is made of what git knows: git add {name}"
                )
    assert not any(name.startswith(("tests", "bench", "docs", "notebooks")) for name in names)


def test_wheel__works_where_it_is_installed(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "environment"
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index", str(wheel)],
        check=True,
        capture_output=True,
    )
    site = next(place.glob("lib/python*/site-packages"))
    # its dependencies are those of this environment; a path that is added so brings no editable packages along
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "BIDSIM_CACHE": str(cache_root())}

    def said(*arguments: str) -> str:
        done = subprocess.run(
            [str(place / "bin/bidsim"), *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert VERSION in said("--version")
    assert "incidents/bots" in said("scenarios")
    where = subprocess.run(
        [str(python), "-c", "import bidsim; print(bidsim.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    ).stdout
    assert where.startswith(str(place))
    assert "by-the-price" in said("run", "tight_budgets", "--set", "requests=2000", "--out", "run")
    said("report", "run")
    assert (tmp_path / "run/report.html").is_file()
    assert "fine" in said("check", "incidents/tracker_outage")
