"""A log's file, read column by column: what it is shows in its first bytes, and no byte of it reaches a message raw."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bidsim.core.errors import cut, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_HEAD = 64 * 1024
_CODECS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
_OTHERS = (
    (b"PK\x03\x04", "this is a spreadsheet, or another zip archive; save it as CSV"),
    (b"\xd0\xcf\x11\xe0", "this is a spreadsheet; save it as CSV"),
    (b"\xff\xfe", "this is text in UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "this is text in UTF-16; save it as UTF-8"),
    (b"{", "this is JSON; save it as CSV or Parquet"),
    (b"[", "this is JSON; save it as CSV or Parquet"),
    (b"SQLite format 3", "this is an SQLite database; save the table as CSV"),
    (b"ARROW1", "this is an Arrow file; save it as Parquet"),
)
_SPREADSHEETS = (b"[Content_Types].xml", b"xl/", b"opendocument.spreadsheet")
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
_MOST = 200


class LogFile(NamedTuple):
    """Columns that were asked for, as pyarrow arrays by name, and which line, or row, the first of their rows is."""

    columns: dict[str, Any]
    first: int


def read_columns(file: Path, needed: Sequence[str], optional: Sequence[str]) -> LogFile:
    """Read some columns of a Parquet or CSV file; others are not looked at.

    Args:
        file: The file; its first bytes say what it is, not its name.
        needed: Names of columns that there must be.
        optional: Names of columns that there may be.

    Raises:
        ValueError: The file cannot be read, is of another kind, or lacks a column, or has it twice.

    """
    import pyarrow as pa  # noqa: PLC0415  (only replays and audits read logs)

    try:
        if not file.is_file():
            raise ValueError(f"{file}: no such file")
        with file.open("rb") as stream:
            start = stream.read(16)
        read = _parquet if start.startswith(b"PAR1") else _csv
        return read(file, needed, optional)
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file} cannot be read: {_told(str(error))}") from None


def _told(text: str) -> str:
    """Show what a file holds, or another library says of it, on one line."""
    return cut(one_line(" ".join(text.split())), _MOST)


def _chosen(file: Path, names: Sequence[str], needed: Sequence[str], optional: Sequence[str]) -> dict[str, int]:
    """Return the place of each column that is wanted."""
    found = {}
    for name in (*needed, *optional):
        count = names.count(name)
        if count > 1:
            raise ValueError(f"{file}: the column {name!r} is there {count} times; leave one, or rename the others")
        if count:
            found[name] = names.index(name)
        elif name in needed:
            listed = _told(", ".join(n or "(no name)" for n in names[:8]))
            raise ValueError(
                f"{file}: there is no column {name!r}; a log has the columns {', '.join(needed)} and, if wanted, "
                f"{', '.join(optional)}, not {listed}"
            )
    return found


def _parquet(file: Path, needed: Sequence[str], optional: Sequence[str]) -> LogFile:
    from pyarrow import parquet  # noqa: PLC0415

    source = parquet.ParquetFile(file)
    chosen = _chosen(file, source.schema_arrow.names, needed, optional)
    table = source.read(columns=list(chosen))
    return LogFile({name: table[name] for name in chosen}, 1)


def _csv(file: Path, needed: Sequence[str], optional: Sequence[str]) -> LogFile:
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import csv as arrow_csv  # noqa: PLC0415

    with _stream(file) as stream:
        head = stream.read(_HEAD)
    _refuse_others(file, head)
    line, names = _header(file, head, needed)
    chosen = _chosen(file, names, needed, optional)
    places = {place: name for name, place in chosen.items()}

    def read(threads: bool) -> Any:
        with _stream(file) as stream:
            return arrow_csv.read_csv(
                stream,
                arrow_csv.ReadOptions(
                    column_names=[places.get(k, f"_{k}") for k in range(len(names))],
                    skip_rows=line,
                    use_threads=threads,
                ),
                convert_options=arrow_csv.ConvertOptions(include_columns=list(chosen), strings_can_be_null=True),
            )

    try:
        table = read(True)
    except pa.ArrowInvalid:
        table = read(False)  # which says where
    return LogFile({name: table[name] for name in chosen}, line + 1)


def _stream(file: Path) -> Any:
    """Open a file, unpacked where it is packed."""
    import pyarrow as pa  # noqa: PLC0415

    with file.open("rb") as stream:
        start = stream.read(4)
    codec = next((name for magic, name in _CODECS.items() if start.startswith(magic)), None)
    opened = pa.OSFile(str(file), "rb")
    return opened if codec is None else pa.CompressedInputStream(opened, codec)


def _refuse_others(file: Path, head: bytes) -> None:
    if not head.strip():
        raise ValueError(f"{file} cannot be read: the log is empty")
    if head.startswith(b"PK\x03\x04") and any(mark in head for mark in _SPREADSHEETS):
        raise ValueError(f"{file}: this is a spreadsheet; save it as CSV")
    for magic, message in _OTHERS:
        if head.lstrip().startswith(magic):
            raise ValueError(f"{file}: {message}")
    if b"\x00" in head:
        raise ValueError(f"{file}: this cannot be read: it is neither Parquet nor text; save the log as CSV or Parquet")


def _header(file: Path, head: bytes, needed: Sequence[str]) -> tuple[int, list[str]]:
    """Return on which line the names stand, counted from 1, and the names.

    Raises:
        ValueError: The names are separated by something else than commas.

    """
    lines = head.decode("utf-8-sig", errors="replace").splitlines()
    at = next(k for k, text in enumerate(lines) if text.strip())
    names = _split(lines[at], ",")
    for separator, word in _SEPARATORS.items():
        if set(needed) & set(_split(lines[at], separator)) and not set(needed) <= set(names):
            raise ValueError(
                f"{file}:{at + 1}: its columns seem to be separated by {word} ({separator!r}); write commas between "
                f"columns, and points in numbers"
            )
    return at + 1, names


def _split(line: str, separator: str) -> list[str]:
    return [name.strip() for name in next(csv.reader(io.StringIO(line), delimiter=separator), [])]


def as_numbers(file: Path, name: str, column: Any, first: int) -> NDArray[np.float64]:
    """Numbers of a column, NaN where a row has none.

    Raises:
        ValueError: A value is no number; the message names file, line and column.

    """
    values = column.to_pandas()
    try:
        return np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan), np.float64)
    except (ValueError, TypeError):
        wrong = next(k for k, v in enumerate(values) if not _is_number(v))
    text = str(values.iloc[wrong])
    comma = "; write decimals with a point" if _is_number(text.replace(",", ".", 1)) else ""
    raise ValueError(f"{file}:{first + wrong}: {name}: '{cut(one_line(text), 60)}' is not a number{comma}")


def _is_number(value: Any) -> bool:
    if value is None:
        return True
    try:
        float(value)
    except (ValueError, TypeError):
        return False
    return True
