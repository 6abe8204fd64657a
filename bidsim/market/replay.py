"""A logged stream replayed: the market price, the predicted rate and what happened, request by request.

The log is a Parquet or CSV file with the columns ``market_price``, ``pctr`` and ``click``, and optionally
``conversion``; other columns are not looked at. A campaign wins where its bid reaches the market price, and pays by the
auction format; with ``second_price`` that is the market price. A price of 0 is a rival bid of nothing: the format and
the reserve decide what is paid, and a bid of 0 reaches it, too, also where no money is left. This is how bidders are
compared on the iPinYou log (Zhang et al., arXiv:1407.7073).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from bidsim.core.contracts import Market, MarketBrief, Rivals
from bidsim.core.logs import LogFile, as_numbers, read_columns
from bidsim.core.settings import Settings, Share
from bidsim.core.units import NANOS_PER_CPM, NANOS_PER_UNIT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bidsim.core.requests import Latent, Requests

PRICE, RATE, CLICK, CONVERSION = "market_price", "pctr", "click", "conversion"
_NANOS = {"cpm": NANOS_PER_CPM, "currency": NANOS_PER_UNIT}
_HIGHEST = 2.0**60


class ReplayParams(Settings):
    """Which log, its unit of money, and what to do where it has gaps."""

    path: str
    """The log: a Parquet or CSV file, beside the scenario or from the working directory."""
    unit: Literal["cpm", "currency"] = "cpm"
    """Unit of ``market_price``: currency per thousand impressions, or per impression."""
    missing: Literal["refuse", "drop"] | Share = "refuse"
    """What is done where ``pctr`` is missing: the log is refused, rows that lack any value are dropped, or a rate from
    0 to 1 is taken for what is missing. How many there were is told."""


class Replay(Market):
    """Assumes that the own bid moves no rival: prices and events are as they were logged."""

    Params = ReplayParams

    @classmethod
    def prepare(cls, params: ReplayParams, brief: MarketBrief) -> Rivals:
        """Return the log's prices as one rival that yields to equal bids.

        Raises:
            ValueError: The file cannot be read, lacks a column, or holds a value that is no price, rate or event.

        """
        file = (brief.folder or Path()) / params.path
        table, notes = read_log(
            file if file.exists() else Path(params.path), _NANOS[params.unit], missing=params.missing
        )
        prices = table[PRICE].astype(np.int64)
        logged = np.ascontiguousarray(np.column_stack([table[RATE], table[CLICK], table[CONVERSION]]))
        return Rivals(partial(_fill_rivals, prices), 1, logged=logged, yields=True, notes=notes)


def _fill_rivals(prices: NDArray[np.int64], requests: Requests, latent: Latent, rivals: NDArray[np.int64]) -> None:
    rivals[:, 0] = prices[requests.number]


def read_log(
    file: Path, nanos: int, missing: str | float = "refuse"
) -> tuple[dict[str, NDArray[np.float64]], tuple[str, ...]]:
    """Read a log; prices come back in nanos.

    Args:
        file: A Parquet or CSV file.
        nanos: Nanos in one unit of ``market_price``.
        missing: As `ReplayParams.missing`.

    Returns:
        Columns by name, float64[rows], and what is to be told of the log.

    Raises:
        ValueError: As `Replay.prepare`; the message names file, line and column.

    """
    log = read_columns(file, (PRICE, RATE, CLICK), (CONVERSION,))
    table = {name: as_numbers(file, name, column, log.first) for name, column in log.columns.items()}
    if not len(table[PRICE]):
        raise ValueError(f"{file}: the log is empty")
    places = np.arange(len(table[PRICE]))
    table, places, notes = _without_gaps(file, table, places, log, missing)
    table.setdefault(CONVERSION, np.zeros(len(places)))
    check = partial(_refuse, file, places + log.first)
    for name, values in table.items():
        check(name, values, ~np.isfinite(values), "is not a finite number")
    table[PRICE] = np.rint(table[PRICE] * nanos)
    check(PRICE, table[PRICE] / nanos, (table[PRICE] < 0) | (table[PRICE] > _HIGHEST), "is not a price of 0 or more")
    check(RATE, table[RATE], (table[RATE] < 0) | (table[RATE] > 1), "is not a rate between 0 and 1")
    for name in (CLICK, CONVERSION):
        check(name, table[name], (table[name] != 0) & (table[name] != 1), "is neither 0 nor 1")
    return table, notes


def _without_gaps(
    file: Path, table: dict[str, NDArray[np.float64]], places: NDArray[np.int64], log: LogFile, missing: str | float
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.int64], tuple[str, ...]]:
    """Refuse, drop or fill rows that lack a predicted rate; dropping takes rows that lack anything."""
    gaps, rows = np.isnan(table[RATE]), len(places)
    count = f"{int(gaps.sum()):,} of {rows:,} rows have no {RATE}"
    if missing == "drop":
        whole = ~np.any([np.isnan(values) for values in table.values()], axis=0)
        left_out = int(rows - whole.sum())
        if left_out == rows:
            raise ValueError(f"{file}: every row lacks a value, so that none is left")
        kept = {name: values[whole] for name, values in table.items()}
        note = f"{left_out:,} of {rows:,} rows of the log lack a value and are left out"
        return kept, places[whole], (note,) if left_out else ()
    if not gaps.any():
        return table, places, ()
    if missing == "refuse":
        raise ValueError(
            f"{file}:{log.first + int(np.argmax(gaps))}: {RATE}: {count}; say what to do with them in [market]: "
            f'missing = "drop" leaves them out, missing = 0.001 takes that rate'
        )
    filled = {**table, RATE: np.where(gaps, float(missing), table[RATE])}
    return filled, places, (f"{count}; {float(missing):g} is taken for them",)


def _refuse(
    file: Path,
    lines: NDArray[np.int64],
    name: str,
    values: NDArray[np.float64],
    wrong: NDArray[np.bool_],
    message: str,
) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        more = f" ({int(wrong.sum()):,} such rows)" if wrong.sum() > 1 else ""
        raise ValueError(f"{file}:{lines[row]}: {name}: {values[row]:g} {message}{more}")
