"""A logged stream replayed: the market price, the predicted rate and what happened, request by request.

The log is a Parquet or CSV file with the columns ``market_price``, ``pctr`` and ``click``, and optionally
``conversion``; other columns are not read. A campaign wins where its bid reaches the market price, and pays by the
auction format; with ``second_price`` that is the market price. A price of 0 is a rival bid of nothing: the format and
the reserve decide what is paid, and a bid of 0 reaches it, too, also where no money is left. This is how bidders are
compared on the iPinYou log (Zhang et al., arXiv:1407.7073).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bidsim.core.contracts import Market, MarketBrief, Rivals
from bidsim.core.settings import Settings
from bidsim.core.units import NANOS_PER_CPM, NANOS_PER_UNIT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bidsim.core.requests import Latent, Requests

PRICE, RATE, CLICK, CONVERSION = "market_price", "pctr", "click", "conversion"
_NANOS = {"cpm": NANOS_PER_CPM, "currency": NANOS_PER_UNIT}
_HIGHEST = 2.0**60


class ReplayParams(Settings):
    """Which log, and its unit of money."""

    path: str
    """The log: a ``.parquet`` or ``.csv`` file, beside the scenario or from the working directory."""
    unit: Literal["cpm", "currency"] = "cpm"
    """Unit of ``market_price``: currency per thousand impressions, or per impression."""


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
        table = read_log(file if file.exists() else Path(params.path), _NANOS[params.unit])
        prices = table[PRICE].astype(np.int64)
        logged = np.ascontiguousarray(np.column_stack([table[RATE], table[CLICK], table[CONVERSION]]))
        return Rivals(partial(_fill_rivals, prices), 1, logged=logged, yields=True)


def _fill_rivals(prices: NDArray[np.int64], requests: Requests, latent: Latent, rivals: NDArray[np.int64]) -> None:
    rivals[:, 0] = prices[requests.number]


def read_log(file: Path, nanos: int) -> dict[str, NDArray[np.float64]]:
    """Read a log; prices come back in nanos.

    Args:
        file: A ``.parquet`` or ``.csv`` file.
        nanos: Nanos in one unit of ``market_price``.

    Raises:
        ValueError: As `Replay.prepare`; the message names file, line and column.

    """
    raw = _columns(file)
    for name in (PRICE, RATE, CLICK):
        if name not in raw:
            raise ValueError(
                f"{file}: there is no column {name!r}; a log has the columns market_price, pctr, click and, if "
                f"wanted, conversion, not {', '.join(list(raw)[:8])}"
            )
    if not len(raw[PRICE]):
        raise ValueError(f"{file}: the log is empty")
    table = {name: _numbers(file, name, raw[name]) for name in (PRICE, RATE, CLICK)}
    table[CONVERSION] = (
        _numbers(file, CONVERSION, raw[CONVERSION]) if CONVERSION in raw else np.zeros(len(table[PRICE]))
    )
    table[PRICE] = np.rint(table[PRICE] * nanos)
    _refuse(
        file, PRICE, table[PRICE] / nanos, (table[PRICE] < 0) | (table[PRICE] > _HIGHEST), "is not a price of 0 or more"
    )
    _refuse(file, RATE, table[RATE], (table[RATE] < 0) | (table[RATE] > 1), "is not a rate between 0 and 1")
    for name in (CLICK, CONVERSION):
        _refuse(file, name, table[name], (table[name] != 0) & (table[name] != 1), "is neither 0 nor 1")
    return table


def _columns(file: Path) -> dict[str, Any]:
    import pyarrow as pa  # noqa: PLC0415  (only replays read logs)
    from pyarrow import csv, parquet  # noqa: PLC0415

    try:
        if not file.is_file():
            raise ValueError(f"{file}: no such file")
        table = parquet.read_table(file) if file.suffix == ".parquet" else csv.read_csv(file)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read: {' '.join(str(error).split())[:200]}") from None
    return {name: table[name] for name in table.column_names}


def _numbers(file: Path, name: str, column: Any) -> NDArray[np.float64]:
    values = column.to_pandas()
    try:
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError):
        wrong = next(k for k, v in enumerate(values) if not _is_number(v))
        raise ValueError(
            f"{file}:{_line(file, wrong)}: {name}: {str(values.iloc[wrong])[:60]!r} is not a number"
        ) from None
    _refuse(file, name, numbers, ~np.isfinite(numbers), "is not a finite number")
    return np.asarray(numbers, np.float64)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (ValueError, TypeError):
        return False
    return True


def _line(file: Path, row: int) -> int:
    """Line of a row as an editor counts it: CSV files begin with a header, Parquet rows are counted from 1."""
    return row + (1 if file.suffix == ".parquet" else 2)


def _refuse(file: Path, name: str, values: NDArray[np.float64], wrong: NDArray[np.bool_], message: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"{file}:{_line(file, row)}: {name}: {values[row]:g} {message}")
