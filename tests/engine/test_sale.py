"""What a format may not do is told with the request, and no money moves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import bidsim

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = """
from pydantic import Field

from bidsim.core.contracts import CLEAR_SIGNATURE, AuctionFormat
from bidsim.core.kernel import kernel
from bidsim.core.settings import Settings
from bidsim.kernels.minima import minima_by_bid
from bidsim.kernels.ranking import best_and_next


class Wrongs(Settings):
    wrong: int = Field(0)


@kernel(CLEAR_SIGNATURE)
def clear(book, n, slots, params, outcome):
    wrong = int(params[0])
    first, below = best_and_next(book, n)
    for s in range(slots):
        outcome.winner[s] = -1
        outcome.payment[s] = 0
    outcome.winner[0] = first
    if first >= 0:
        outcome.payment[0] = book.bid[first]
        if wrong == 1:
            outcome.payment[0] = 3 * book.bid[first]
        if wrong == 2:
            outcome.payment[0] = book.reserve[first] - 1
        if wrong == 3:
            outcome.winner[0] = n
        if wrong == 5:
            outcome.winner[slots - 1] = first
            outcome.payment[slots - 1] = book.bid[first]
    if wrong == 4:
        for e in range(n):
            if book.bid[e] == 0:
                outcome.winner[0] = e
                outcome.payment[0] = book.reserve[e]


class Wrong(AuctionFormat):
    Params = Wrongs
    joint = True
    clear = clear
    minima = minima_by_bid

    @staticmethod
    def numbers(params):
        return (params.wrong,)
"""

SCENARIO = """
name = "wrong"
requests = 500
duration = "1d"

[auction]
format = "wrong_format:Wrong"
positions = [1.0, 0.5]
reserve_cpm = 0.01
charge = "impression"

[values]
kind = "independent"

[campaigns.one]
budget = 1e6
policy = "truthful"

[campaigns.two]
budget = 1e6
policy = { name = "shaded", factor = 0.5 }

[campaigns.three]
budget = 1e6
policy = { name = "shaded", factor = 1e-9 }

[log]
decisions = 1000
"""


def _run(tmp_path: Path, wrong: int) -> bidsim.Result:
    (tmp_path / "wrong_format.py").write_text(FORMAT)
    (tmp_path / "wrong.toml").write_text(SCENARIO)
    return bidsim.run(bidsim.load_scenario(tmp_path / "wrong.toml", {"auction.wrong": wrong}, allow_code=True))


def test_sale__that_every_format_may_make_goes_on(tmp_path: Path) -> None:
    result = _run(tmp_path, 0)
    assert result.campaigns["wins"].sum() > 400


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            1,
            r"position 0: was sold for [\d,]+ nanos to a bid of [\d,]+ nanos whose reserve is 10,000 nanos; a payment lies between reserve and bid",
        ),
        (2, r"position 0: was sold for 9,999 nanos to a bid of [\d,]+ nanos whose reserve is 10,000 nanos"),
        (3, r"position 0: entry 3 won, and the book's last is 2"),
        (4, r"position 0: entry \d won, whose bid is 0: it does not bid"),
        (5, r"position 1: entry \d won, which holds a position above"),
    ],
    ids=["above the bid", "below the reserve", "to nobody", "to one that does not bid", "twice to one"],
)
def test_sale__that_no_format_may_make_is_told(wrong: int, told: str, tmp_path: Path) -> None:
    with pytest.raises(bidsim.BidsimError) as raised:
        _run(tmp_path, wrong)
    assert re.match(r"auction format 'wrong_format:Wrong': request [\d,]+, " + told, str(raised.value))
