"""The same seed gives the same figures in every version, until a change of them is meant: then `python -m tests.engine.plain_worlds keep`, and a line in the changelog."""

from __future__ import annotations

import json

import pytest

from tests.engine.plain_worlds import FIGURES, figures, worlds

MEANT = "if results were meant to change: python -m tests.engine.plain_worlds keep, and say so in CHANGELOG.md"
KEPT = json.loads(FIGURES.read_text())


def test_kept__are_of_worlds_that_there_are() -> None:
    assert set(KEPT) <= set(worlds())


@pytest.mark.parametrize("name", KEPT)
def test_figures__are_those_kept(name: str) -> None:
    found, kept = figures(worlds()[name]), KEPT[name]
    assert found["exact"] == kept["exact"], MEANT
    assert found["sums"] == pytest.approx(kept["sums"], rel=1e-9)
