"""Every public function has an example in its docstring, and each example gives what it says."""

from __future__ import annotations

import doctest
import inspect
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

import bidsim
from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_LISTED = re.findall(
    r"^::: ([\w.]+)\.(\w+)$", (ROOT / "docs/reference/api.md").read_text(encoding="utf-8"), re.MULTILINE
)
PUBLIC: dict[str, Any] = {
    **{name: getattr(bidsim, name) for name in bidsim.__all__ if not name.startswith("_")},
    **{name: getattr(import_module(module), name) for module, name in _LISTED},
}
"""What ``import bidsim`` gives, and what the reference lists."""


def _examples(name: str) -> list[doctest.DocTest]:
    found = PUBLIC[name]
    finder = doctest.DocTestFinder(recurse=True, exclude_empty=True)
    return [one for one in finder.find(found, name, module=inspect.getmodule(found)) if one.examples]


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_example__gives_what_it_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tests = _examples(name)
    assert any(one.name == name for one in tests), f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    told: list[str] = []
    for one in tests:
        runner.run(one, out=told.append, clear_globs=False)
    assert not told, "".join(told)


@pytest.mark.parametrize("method", ["frame", "coded", "explain", "save"])
def test_example__of_every_method_of_results_is_run(method: str) -> None:
    assert f"Result.{method}" in {one.name for one in _examples("Result")}
    methods = {
        name for name, one in vars(bidsim.Result).items() if inspect.isfunction(one) and not name.startswith("_")
    }
    assert methods == {"frame", "coded", "explain", "save"}


def test_names__are_the_public_ones_and_only_they() -> None:
    assert dir(bidsim) == sorted(bidsim.__all__)
    assert {"run", "load_scenario", "Result", "load_result", "Simulation"} <= set(dir(bidsim))
    assert not {"Any", "TYPE_CHECKING", "importlib", "annotations"} & set(dir(bidsim))
    assert all(getattr(bidsim, name) is not None for name in dir(bidsim))
