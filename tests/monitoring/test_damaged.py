"""`monitor` on runs whose tables hold what no run writes, with hashes that fit: one line or a page, never a traceback."""

from __future__ import annotations

import random
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    import bidsim

_TURNS = 250
_READ = ("slices", "scores", "population", "delays", "campaigns", "conversions", "auctions", "requests", "bids")


def _spoilt(column: Any, dice: random.Random) -> Any:
    """A column with something in it that does not belong there."""
    how = dice.choice(["huge", "negative", "nan", "zero", "text", "none", "mixed", "reversed"])
    if isinstance(column, list):
        spoilt = list(column)
        for k in dice.sample(range(len(spoilt)), min(len(spoilt), 20)):
            spoilt[k] = {"none": None, "text": ""}.get(how, "\x1b[31m nobody")
        return spoilt
    values = np.array(column)
    rows = dice.sample(range(len(values)), min(len(values), dice.choice([1, 20, len(values)])))
    if how in ("nan", "none") and values.dtype.kind == "f":
        values[rows] = np.nan
    elif how == "text":
        return ["x"] * len(values)
    elif how == "reversed":
        return values[::-1].copy()
    elif values.dtype.kind == "b":
        values[rows] = ~values[rows]
    else:
        values[rows] = {"huge": np.asarray(2**40), "negative": -7}.get(how, 0)
    return values


def test_monitor__never_ends_in_a_traceback(
    run_small: Callable[..., bidsim.Result], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, dice = run_small({"requests": 3_000, "products.soap.conversion_rate": 0.5}), random.Random(11)
    codes = []
    for turn in range(_TURNS):
        table = dice.choice(_READ)
        columns = dict(whole.tables[table])
        name = dice.choice(list(columns))
        if turn % 5:
            columns[name] = _spoilt(columns[name], dice)
        else:
            del columns[name]
        replace(whole, tables={**whole.tables, table: columns}).save(tmp_path / "run")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            codes.append(main(["monitor", str(tmp_path / "run")]))
        told = capsys.readouterr().err
        assert codes[-1] in (0, 1, 2), (turn, table, name)
        assert told.count("\n") == (1 if codes[-1] == 2 else 0), (turn, table, name, told)
    assert 0 < codes.count(2) < _TURNS
