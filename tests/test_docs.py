"""What the documents show is run: the policy of CONTRIBUTING.md, the how-to pages, the README."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bidsim
from bidsim.cli import main
from tests.conftest import ROOT, SMALL


def _block(text: str, marker: str) -> str:
    found = re.search(rf"<!-- example: {marker} -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1]


def test_contributing__a_policy_is_one_file_and_one_test(tmp_path: Path) -> None:
    """In a copy of the checkout: two files are added, nothing else is touched, and the suite that finds plug-ins passes."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for part in ("bidsim", "tests", "scenarios"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "bidsim/policies/ceiling.py").write_text(_block(text, "policy"))
    (tmp_path / "tests/test_ceiling.py").write_text(_block(text, "test"))
    (tmp_path / "s.toml").write_text(SMALL.replace('policy = "truthful"', 'policy = { name = "ceiling", most_cpm = 30 }'))
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_ceiling.py", "tests/conformance/test_bidders.py", "-k", "ceiling"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout
    assert "passed" in tested.stdout
    ran = subprocess.run([sys.executable, "-m", "bidsim", "run", "s.toml", "--out", "run"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert bidsim.load_result(tmp_path / "run").bids.query("campaign == 'soap-everyone'")["bid_nanos"].max() == 30_000_000


@pytest.mark.parametrize("page", sorted((ROOT / "docs/howto").glob("*.md")), ids=lambda p: p.stem)
def test_howto__code_runs(page: Path, tmp_path: Path) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
    if not code:
        return
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT), "HOME": str(Path.home()), "PATH": "/usr/bin:/bin"}
    )
    assert done.returncode == 0, done.stderr
    if page.stem == "move-a-lever":
        for name in ("realised difference", "expected direct effect", "expected total effect"):
            assert name in done.stdout


def test_readme__commands_are_those_of_the_makefile(capsys: pytest.CaptureFixture[str]) -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for command in ("make demo", "make test"):
        assert command in readme
        assert f"\n{command.split()[1]}:" in makefile
    for line in re.findall(r"^\.venv/bin/bidsim (run|check) (scenarios/\S+)(.*?)(?:#.*)?$", readme, re.MULTILINE):
        sets = line[2].split()
        assert main(["check", str(ROOT / line[1]), *sets]) == 0
    capsys.readouterr()


def test_lock__has_hashes_and_no_address() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        assert "http" not in text
        assert "--index-url" not in text
        packages = re.findall(r"^\S+==\S+", text, re.MULTILINE)
        assert len(packages) > 30
        assert text.count("--hash=sha256:") >= len(packages)
