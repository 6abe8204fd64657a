"""The disk cache: nothing is compiled twice, and an edit anywhere below a kernel is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from bidsim.core import kernel as kernels
from tests.conftest import ROOT, SMALL
from tests.core.test_registry import POLICY

RUN = """
import bidsim, sys
from bidsim.core.kernel import compilations
bidsim.run(bidsim.load_scenario(sys.argv[1], allow_code=True), progress=lambda *a: None)
print(*compilations())
"""


def _compilations(path: Path) -> tuple[int, int]:
    done = subprocess.run([sys.executable, "-c", RUN, str(path)], capture_output=True, text=True, check=True, cwd=ROOT)
    hits, misses = done.stdout.split()
    return int(hits), int(misses)


def test_cache__second_process_compiles_nothing_even_with_other_plugins(tmp_path: Path) -> None:
    """In the cache that all tests share, where a policy that nobody has seen before stands for other plug-ins."""
    first = tmp_path / "first.toml"
    first.write_text(SMALL.replace("requests = 4_000", "requests = 200"))
    _compilations(first)
    hits, misses = _compilations(first)
    assert hits > 10
    assert misses == 0
    other = tmp_path / "other.toml"
    other.write_text(first.read_text().replace('{ name = "shaded", factor = 0.8 }', '"mine:Flat"'))
    (tmp_path / "mine.py").write_text(f"{POLICY}\n# {uuid4()}\n")
    # the policy is compiled, on its own; the loop is not
    _, misses = _compilations(other)
    assert misses == 1
    _, misses = _compilations(other)
    assert misses == 0


HELPER = "from bidsim.core.kernel import kernel\n\n@kernel()\ndef add(x):\n    return x + {amount}\n"
MAIN = "from helper import add\nfrom bidsim.core.kernel import kernel\n\n@kernel()\ndef twice(x):\n    return 2 * add(x)\n\nif __name__ == '__main__':\n    print(twice(1))\n"


def test_cache__edit_of_a_helper_in_another_file_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(MAIN)
    answers = []
    for amount in (1, 10):
        (tmp_path / "helper.py").write_text(HELPER.format(amount=amount))
        done = subprocess.run(
            [sys.executable, str(tmp_path / "main.py")],
            capture_output=True, text=True, check=True, env={"BIDSIM_CACHE": str(tmp_path / "cache"), "PYTHONPATH": f"{ROOT}", "HOME": str(tmp_path)},
        )  # fmt: skip
        answers.append(int(done.stdout))
    assert answers == [4, 22]


def test_source_digest__covers_indirect_imports() -> None:
    loop = ROOT / "bidsim/engine/loop.py"
    closure: set[Path] = set()
    waiting = [loop]
    while waiting:
        current = waiting.pop()
        if current not in closure:
            closure.add(current)
            waiting.extend(kernels._imported(current))
    names = {str(p.relative_to(ROOT)) for p in closure}
    assert {"bidsim/response/truth.py", "bidsim/kernels/normal.py", "bidsim/engine/settlement.py"} <= names
    assert "bidsim/policies/shaded.py" not in names


def test_cache_root__falls_back_where_it_cannot_write(monkeypatch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("BIDSIM_CACHE", str(blocked / "below"))
    assert kernels.cache_root().is_dir()


def test_cache__one_file_under_two_names(tmp_path: Path) -> None:
    """As a plug-in is loaded beside a scenario, and by the test of whoever wrote it."""
    (tmp_path / "mine.py").write_text(POLICY)
    outside = "import sys, pathlib\nfrom bidsim.core.registry import find\nprint(find('policy', 'mine:Flat', pathlib.Path('.')).__name__)\n"
    plain = "from mine import Flat\nprint(Flat.__name__)\n"
    for text in (outside, plain, outside, plain):
        done = subprocess.run(
            [sys.executable, "-c", text],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "BIDSIM_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == "Flat\n", done.stderr
