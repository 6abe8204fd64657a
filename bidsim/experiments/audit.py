"""`audit`: payments of a run, or of a log from anywhere, held against the pricing rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.errors import UsageError
from bidsim.core.result import is_run_directory, load_result
from bidsim.metrics.audit import Finding, audit

if TYPE_CHECKING:
    from pathlib import Path

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
    bid, payment = (_numbers(path, columns, name) for name in ("bid", "payment"))
    least = _numbers(path, columns, "next_bid") if "next_bid" in columns else None
    whole = bool(np.all(payment == np.rint(payment)) and np.all(bid == np.rint(bid)))
    return audit(bid, payment, least, 0.5 if whole else max(_SMALLEST, 1e-9 * float(np.abs(bid).max(initial=0.0))))


def audit_run(result: Result) -> Finding:
    """Audit the won impressions of a run, prices per unit charged."""
    rows = result.tables["auctions"]
    bid, price, least = (
        np.asarray(rows[name], np.float64) for name in ("bid_nanos", "price_nanos", "minimum_bid_nanos")
    )
    return audit(bid, price, least)


def _read(path: Path) -> dict[str, Any]:
    import pyarrow as pa  # noqa: PLC0415  (only here)
    from pyarrow import csv, parquet  # noqa: PLC0415

    if not path.is_file():
        raise UsageError(f"{path}: no such run or log")
    try:
        table = parquet.read_table(path) if path.suffix == ".parquet" else csv.read_csv(path)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read as {'Parquet' if path.suffix == '.parquet' else 'CSV'}: "
            f"{' '.join(str(error).split())[:200]}"
        ) from None
    return {name: table[name] for name in table.column_names}


def _numbers(path: Path, columns: dict[str, Any], name: str) -> Any:
    if name not in columns:
        raise UsageError(
            f"{path}: there is no column {name!r}; a log has the columns bid and payment and, if known, next_bid, not "
            f"{', '.join(list(columns)[:8])}"
        )
    try:
        values = columns[name].to_pandas().to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError):
        raise UsageError(f"{path}: {name}: not all values are numbers") from None
    wrong = ~np.isfinite(values) | (values < 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UsageError(
            f"{path}:{row + (1 if path.suffix == '.parquet' else 2)}: {name}: {values[row]:g} is not an amount of 0 "
            "or more"
        )
    return values
