"""`audit`: payments of a run, or of a log from anywhere, held against the pricing rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bidsim.core.errors import UsageError
from bidsim.core.logs import as_numbers, read_columns
from bidsim.core.result import is_run_directory, load_result
from bidsim.metrics.audit import Finding, audit

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bidsim.core.result import Result

_SMALLEST = 1e-9


def audit_path(path: Path) -> Finding:
    """Audit a run directory, or a CSV or Parquet file.

    A file has the columns ``bid`` and ``payment`` and, if known, ``next_bid``.

    Raises:
        UsageError: It is neither, or a column is missing or holds no numbers.

    """
    if path.is_dir():
        if not is_run_directory(path):
            raise UsageError(f"{path} is a folder, but not a run directory; name a run or a log file")
        return audit_run(load_result(path))
    columns = _read(path)
    bid, payment, least = columns["bid"], columns["payment"], columns.get("next_bid")
    whole = bool(np.all(payment == np.rint(payment)) and np.all(bid == np.rint(bid)))
    return audit(bid, payment, least, 0.5 if whole else max(_SMALLEST, 1e-9 * float(np.abs(bid).max(initial=0.0))))


def audit_run(result: Result) -> Finding:
    """Audit the won impressions of a run, prices per unit charged."""
    rows = result.tables["auctions"]
    bid, price, least = (
        np.asarray(rows[name], np.float64) for name in ("bid_nanos", "price_nanos", "minimum_bid_nanos")
    )
    return audit(bid, price, least)


def _read(path: Path) -> dict[str, NDArray[np.float64]]:
    if not path.is_file():
        raise UsageError(f"{path}: no such run or log")
    try:
        log = read_columns(path, ("bid", "payment"), ("next_bid",))
        columns = {name: as_numbers(path, name, column, log.first) for name, column in log.columns.items()}
    except ValueError as error:
        raise UsageError(str(error)) from None
    for name, values in columns.items():
        wrong = ~np.isfinite(values) | (values < 0)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise UsageError(f"{path}:{row + log.first}: {name}: {values[row]:g} is not an amount of 0 or more")
    return columns
