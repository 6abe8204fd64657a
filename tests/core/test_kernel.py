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
    assert {"bidsim/response/truth.py", "bidsim/kernels/normal.py", "bidsim/engine/serving.py"} <= names
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


FULL = """import errno, sys
from numba.core import caching
first, every = sys.argv[1], len(sys.argv) > 2

def full(self, name, data, save=caching.IndexDataCacheFile._save_data):
    if every or self._cache_path.startswith(first):
        raise OSError(errno.ENOSPC, "No space left on device")
    save(self, name, data)

caching.IndexDataCacheFile._save_data = full
from main import twice
from bidsim.core.kernel import compilations
twice(1)
print(*compilations())
"""


def _on_a_full_disk(tmp_path: Path, *every: str) -> tuple[str, str]:
    """What a process says whose cache has no room (nor has any other folder), on standard output and error."""
    (tmp_path / "main.py").write_text(MAIN)
    (tmp_path / "helper.py").write_text(HELPER.format(amount=1))
    (tmp_path / "full.py").write_text(FULL)
    (tmp_path / "temporary").mkdir(exist_ok=True)
    cache = str(tmp_path / "cache")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "full.py"), cache, *every], capture_output=True, text=True, check=True, cwd=tmp_path,
        env={"BIDSIM_CACHE": cache, "PYTHONPATH": f"{ROOT}", "HOME": str(tmp_path), "TMPDIR": str(tmp_path / "temporary")},
    )  # fmt: skip
    return done.stdout.strip(), done.stderr


def test_cache__on_a_full_disk_another_folder_takes_its_place_and_is_named(tmp_path: Path) -> None:
    compiled, told = _on_a_full_disk(tmp_path)
    assert compiled.endswith(" 2")
    assert told.startswith(f"note: compiled kernels cannot be kept in {tmp_path / 'cache'} (No space left on device)")
    assert f"they go to {tmp_path / 'temporary'}/bidsim-" in told
    assert told.count("\n") == 1
    compiled, told = _on_a_full_disk(tmp_path)
    assert compiled.endswith(" 0")  # what was kept there is found again
    assert told == ""


def test_cache__without_room_anywhere_kernels_are_compiled_each_time(tmp_path: Path) -> None:
    for _ in range(2):
        compiled, told = _on_a_full_disk(tmp_path, "every")
        assert compiled.endswith(" 2")
        assert f"{tmp_path / 'cache'} (No space left on device); they are compiled again each time" in told
        assert told.count("\n") == 1


def test_cache__without_any_folder_kernels_are_compiled_each_time(tmp_path: Path) -> None:
    """Where even the folders cannot be made."""
    for name in ("cache", "temporary"):
        (tmp_path / name).write_text("a file is in the way")
    (tmp_path / "main.py").write_text(MAIN)
    (tmp_path / "helper.py").write_text(HELPER.format(amount=1))
    script = "import sys, tempfile\ntempfile.tempdir = sys.argv[1]\nfrom main import twice\nprint(twice(1))"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "temporary")], capture_output=True, text=True, check=True, cwd=tmp_path,
        env={"BIDSIM_CACHE": str(tmp_path / "cache"), "PYTHONPATH": f"{ROOT}:{tmp_path}", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.strip() == "4"
