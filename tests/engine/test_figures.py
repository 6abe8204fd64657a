"""The same seed gives the same figures in every version, until a change of them is meant: then `python -m tests.engine.plain_worlds keep`, and a line in the changelog."""

from __future__ import annotations

import json

import pytest

from tests.engine.plain_worlds import FIGURES, figures, worlds

KEPT = json.loads(FIGURES.read_text())


def test_kept__of_every_world() -> None:
    assert list(KEPT) == list(worlds())


@pytest.mark.parametrize("name", worlds())
def test_figures__are_those_kept(name: str) -> None:
    found, kept = figures(worlds()[name]), KEPT[name]
    assert found["exact"] == kept["exact"]
    assert found["sums"] == pytest.approx(kept["sums"], rel=1e-9)
