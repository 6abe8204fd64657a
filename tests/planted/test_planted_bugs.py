"""Bugs planted one at a time in a copy of the package: each must be caught by `validate`, by a part of it, or by the conformance suite.

The list is told in docs/reference/planted-bugs.md.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_NONE = "no bug"
_PYTEST = ("-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider")
_LONG = "tests/experiments/test_validate.py::test_long_case__holds_in_a_twentieth_of_its_time[{}]"
"""A case of `validate` that takes long, in a part of its time; that it passes without a bug is that test's own affair."""


@dataclass(frozen=True)
class Bug:
    """A bug: the line that is changed, and what must notice.

    Attributes:
        name: What is wrong.
        file: In which file of the package.
        right: Text that is there.
        wrong: Text that replaces it.
        cases: Cases of `validate` that must fail (any of them); empty where tests must.
        tests: Tests that must fail: of conformance, or of a long case in a part of its time.
        plain: Whether these run as plain Python, which takes less time than to compile everything anew.

    """

    name: str
    file: str
    right: str
    wrong: str
    cases: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    plain: bool = False


BUGS = [
    Bug("values 0.5% high", "values/independent.py", "floats[own], floats[own + 1], u) + shift", "floats[own], floats[own + 1], u) * 1.005 + shift", ("A1-sp-u01-n5",)),
    Bug("a rival lost in 5% of auctions", "values/independent.py", "        own, rank = _SHARED + _OWN * c, ints[1 + campaigns + c]\n", "        own, rank = _SHARED + _OWN * c, ints[1 + campaigns + c]\n        if c == 1 and uniform(key, request, 9, 9) < 0.05:\n            continue\n", ("A1-sp-u01-n2",)),
    Bug("a reserve compared with the wrong sign of equality", "kernels/ranking.py", "np.int64(bids[k] >= reserves[k])", "np.int64(bids[k] > reserves[k])", tests=("tests/conformance/test_auctions.py",), plain=True),
    Bug("price one rank off", "auctions/gsp.py", "outcome.winner[s + 1] if s + 1 < slots else loser", "outcome.winner[s + 2] if s + 2 < slots else loser", ("C1-eos",)),
    Bug("first price charged in second", "auctions/second_price.py", "max(book.reserve[first], plus)", "book.bid[first]", ("A1-sp-u01-n2",)),
    Bug("reserve not charged to a lone bidder", "auctions/second_price.py", "max(book.reserve[first], plus)", "max(book.reserve[first], plus) if below > 0 else 0", ("B1-sp-u01-n2-r.5",)),
    Bug("soft floor ignored", "auctions/soft_floor.py", "soft = int(params[0])", "soft = 0", ("B4-soft-truth-n2",)),
    Bug("GSP without quality", "auctions/gsp.py", "score(book, below) / book.quality[k]", "book.bid[below]", ("C3-q-pub",)),
    Bug("VCG externality of the wrong slot", "auctions/vcg.py", "s += 1 if present else 0", "s += 0", ("C1-eos",)),
    Bug("tie always to the first", "kernels/ranking.py", "(first < 0 or book.tie[k] > book.tie[first])", "first < 0", ("B8-tie-pub",)),
    Bug("multiplier applied twice", "policies/truthful.py", "offers.value[k] * offers.multiplier[k]", "offers.value[k] * offers.multiplier[k] * offers.multiplier[k]", ("D5-fppe-sym",)),
    Bug("budget checked after paying", "bidder/bidding.py", "offers.bid[k] = min(offers.bid[k], offers.cap[k])", "offers.bid[k] = offers.bid[k]", tests=("tests/conformance/test_budgets.py",), plain=True),
    Bug("spend counted twice at a day's end", "bidder/ledger.py", "        row[ACCOUNT.today] = 0\n", "        row[ACCOUNT.spent] += row[ACCOUNT.today]\n        row[ACCOUNT.today] = 0\n", tests=("tests/conformance/test_budgets.py",), plain=True),
    Bug("step size 10x", "pacing/adaptive.py", "float(params.step) / math.sqrt(count)", "10.0 * float(params.step) / math.sqrt(count)", tests=(_LONG.format("D8-regret-cold-pub"),)),
    Bug("arrivals an hour off", "traffic/arrivals.py", "hours.peak_hour * HOUR", "(hours.peak_hour + 1) * HOUR", tests=(_LONG.format("G1-arr-pub"),)),
    Bug("noise 2% wide", "values/independent.py", "belief += noise *", "belief += 1.02 * noise *", ("F1-common-n2",)),
    Bug("wins-only landscape", "kernels/shading.py", "at_risk += seen[b] + censored[b]", "at_risk += seen[b]", ("E3-km-uu",)),
    Bug("delayed labels taken as negatives", "cvr/delay.py", "survives = np.exp(-elapsed[b] / mean)", "survives = 0.0", ("F5-delay-pub",)),
]  # fmt: skip


def _copy(folder: Path) -> Path:
    shutil.copytree(ROOT / "bidsim", folder / "bidsim", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def _run(folder: Path, *command: str, plain: bool = False) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        **({"NUMBA_DISABLE_JIT": "1"} if plain else {}),
    }
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def _caught(folder: Path, bug: Bug | None, cases: tuple[str, ...], tests: tuple[str, ...]) -> str:
    """Plant a bug, run what must notice, take it out again; return what did not behave."""
    file = folder / "bidsim" / bug.file if bug else None
    before = file.read_text() if file else ""
    if bug and file:
        if before.count(bug.right) < 1:
            return f"{bug.name}: {bug.file} no longer says {bug.right!r}"
        file.write_text(before.replace(bug.right, bug.wrong))
    try:
        if cases:
            only = [word for case in cases for word in ("--only", case)]
            done = _run(folder, "-m", "bidsim", "validate", "--workers", "1", "--seed", "5", *only)
        else:
            done = _run(folder, *_PYTEST, *tests, plain=bug is not None and bug.plain)
    finally:
        if file:
            file.write_text(before)
    behaved = done.returncode == (1 if bug else 0)
    if bug and tests:
        # what fails must be what a test asserts, and not that it lies in a copy
        behaved = behaved and re.search(r"^(E|    \|) +(assert |AssertionError)", done.stdout, re.MULTILINE) is not None
    return (
        ""
        if behaved
        else f"{bug.name if bug else _NONE}: exit {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
    )


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What did not behave, by bug; tried one after the other in one copy of the package."""
    folder = _copy(tmp_path_factory.mktemp("copy"))
    found = {_NONE: _caught(folder, None, tuple(dict.fromkeys(c for bug in BUGS for c in bug.cases)), ())}
    tests = tuple(dict.fromkeys(t for bug in BUGS if bug.plain for t in bug.tests))
    found[_NONE] += (
        "" if _run(folder, *_PYTEST, *tests, plain=True).returncode == 0 else "plain tests fail without a bug"
    )
    return {**found, **{bug.name: _caught(folder, bug, bug.cases, bug.tests) for bug in BUGS}}


@pytest.mark.parametrize("name", [_NONE, *(bug.name for bug in BUGS)])
def test_planted_bug__is_caught(verdicts: dict[str, str], name: str) -> None:
    assert verdicts[name] == ""
