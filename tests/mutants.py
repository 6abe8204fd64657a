"""What the tests notice: small changes to the code, drawn at random, each in a copy of the project: ``python -m tests.mutants serving 30``.

Needs ``pip install cosmic-ray``, whose operators are used (it is in no lock, for all that it brings along). Kernels run as plain Python, so that
nothing is compiled anew for a mutant. Tests of twins come first; figures that are only held to what they were come last and are told apart.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
TWINS, FIGURES = "killed by twins", "killed by kept figures"
SURVIVED = "survived"


@dataclass(frozen=True)
class Part:
    """A part of the project: its files, the tests that should notice, those that only hold figures, and whether kernels run as plain Python.

    Attributes:
        of_all: Where tests name the file that they test: which other tests are run, too. Fewer notice than if all were run, and sooner.

    """

    files: str
    tests: tuple[str, ...]
    figures: tuple[str, ...] = ()
    plain: bool = True
    of_all: str = ""

    def chosen(self, file: Path) -> tuple[str, ...]:
        """What pytest is told to run for a change of a file, figures apart."""
        return (*self.tests, "-k", f"{file.stem} or {self.of_all}") if self.of_all else self.tests


REFERENCE = "tests/test_docs.py::test_generated_pages__are_those_of_the_code"
"""Holds names, bounds and defaults of all keys."""
PARTS = {
    "serving": Part(
        "bidsim/engine/serving.py", ("tests/engine/test_settlement.py",), ("tests/engine/test_figures.py",)
    ),
    "auctions": Part(
        "bidsim/auctions/*.py",
        ("tests/conformance/test_auctions.py", REFERENCE),
        of_all="single_item or joint_formats or generated_pages",
    ),
    "pacing": Part(
        "bidsim/pacing/*.py",
        (
            "tests/conformance/test_pacers.py",
            "tests/conformance/test_bidders.py::test_pacer__multiplier_is_between_nothing_and_the_full_value",
            REFERENCE,
        ),
    ),
    "effects": Part(
        "bidsim/explain/effects.py",
        ("tests/explain/test_effects_twin.py", "tests/explain/test_effects.py"),
        plain=False,
    ),
}
_LEFT_OUT = ("Variable", "variable", "Exception", "Decorator", "_Bit", "Shift", "_Is", "_Pow", "Pow_")
"""Operators that seldom make more than an error of types, which any test would notice."""
_NO_BEHAVIOUR = ("@", "if TYPE_CHECKING", "import ", "from ", "def ", "class ", '"""', "floats = ", "ints = ")


@dataclass(frozen=True)
class Mutant:
    """One changed file."""

    file: Path
    line: int
    operator: str
    text: str

    @property
    def changed(self) -> str:
        """The line as it is now."""
        return self.text.splitlines()[self.line - 1].strip()


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in getattr(node, "children", ()):
        yield from _nodes(child)


def _behaves(source: str, line: int) -> bool:
    """Whether a line can change what the program does: no docstring, hint, name or import."""
    text = (source + "\n ").splitlines()[line - 1]
    before = source.splitlines()[: line - 1]
    in_string = sum(one.count('"""') for one in before) % 2 == 1
    return (
        not in_string
        and not text.strip().startswith(_NO_BEHAVIOUR)
        and '"""' not in text
        and "NDArray" not in text
        and "->" not in text
    )


def _places(file: Path) -> list[tuple[str, int, int]]:
    """Every operator with each place where it can change the file: the number of a node, and which of its changes."""
    import parso  # type: ignore[import-not-found]  # noqa: PLC0415
    from cosmic_ray.plugins import get_operator, operator_names  # type: ignore[import-not-found]  # noqa: PLC0415

    source = file.read_text()
    nodes = list(_nodes(parso.parse(source)))
    names = [name for name in operator_names() if not any(word in name for word in _LEFT_OUT)]
    return [
        (name, k, j)
        for name in names
        for k, node in enumerate(nodes)
        if _behaves(source, node.start_pos[0])
        for j, _ in enumerate(get_operator(name)().mutation_positions(node))
    ]


def _mutant(file: Path, name: str, k: int, j: int) -> Mutant | None:
    """Make one change; None where it changes nothing, or can not be compiled."""
    import parso  # noqa: PLC0415
    from cosmic_ray.plugins import get_operator  # noqa: PLC0415

    source = file.read_text()
    tree = parso.parse(source)
    node = list(_nodes(tree))[k]
    line, changed = node.start_pos[0], get_operator(name)().mutate(node, j)
    if changed is not node:
        place = node.parent.children.index(node)
        node.parent.children[place : place + 1] = [] if changed is None else [changed]
    text = tree.get_code()
    try:
        compile(text, str(file), "exec")
    except SyntaxError:
        return None
    return Mutant(file, line, name.rsplit("/", maxsplit=1)[-1], text) if text != source else None


def _notices(copy: Path, tests: tuple[str, ...], plain: bool) -> bool:
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "pytest",
        "-x",
        "-q",
        "-n",
        "0",
        "-W",
        "ignore",
        "-p",
        "no:cacheprovider",
        *tests,
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_DISABLE_JIT": "1" if plain else "0",
    }
    try:
        return (
            subprocess.run(command, cwd=copy, env=environment, capture_output=True, timeout=400, check=False).returncode
            != 0
        )
    except subprocess.TimeoutExpired:
        return True


def fate(mutant: Mutant, part: Part, copy: Path) -> str:
    """Whether tests notice a mutant, put for the while into a copy of the project."""
    target = copy / mutant.file.relative_to(ROOT)
    target.write_text(mutant.text)
    try:
        return (
            TWINS
            if _notices(copy, part.chosen(mutant.file), part.plain)
            else FIGURES
            if part.figures and _notices(copy, part.figures, part.plain)
            else SURVIVED
        )
    finally:
        target.write_text(mutant.file.read_text())


def main() -> None:
    """Draw mutants of a part and count their fates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    part, console = PARTS[asked.part], Console(width=200)
    found = [(file, *place) for file in sorted(ROOT.glob(part.files)) for place in _places(file)]
    random.Random(asked.seed).shuffle(found)
    drawn = list(islice(filter(None, (_mutant(*one) for one in found)), asked.count))
    fates = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(
            ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(".git", ".venv", "runs", "build", "__pycache__")
        )
        if _notices(copy, (*part.tests, *part.figures), part.plain):
            console.print("the tests fail without any mutant")
            raise SystemExit(1)
        for mutant in track(drawn, console=Console(stderr=True), description=asked.part):
            fates.append(fate(mutant, part, copy))
            console.print(
                f"{fates[-1]}: {mutant.file.relative_to(ROOT)}:{mutant.line} {mutant.operator}: {mutant.changed}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    told = ", ".join(f"{fates.count(one)} {one}" for one in (TWINS, FIGURES, SURVIVED))
    console.print(f"{asked.part}: {len(drawn)} of {len(found)} mutants: {told}", highlight=False)


if __name__ == "__main__":
    main()
