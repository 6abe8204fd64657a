"""Logs as people have them: columns twice, gaps, other kinds of files; each is read, or refused in one line."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import bidsim
from bidsim.core.errors import ScenarioError
from bidsim.reports.terminal import print_result
from bidsim.scenario.load import scenario_of

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 40
LOG = {
    "market_price": np.arange(ROWS) % 9,
    "pctr": np.full(ROWS, 0.01),
    "click": np.arange(ROWS) % 4 == 0,
    "conversion": np.arange(ROWS) % 8 == 0,
}


def _world(path: Path, **more: Any) -> dict[str, Any]:
    return {
        "name": "log",
        "duration": "1d",
        "market": {"kind": "replay", "path": str(path), **more.pop("market", {})},
        "auction": {"format": "second_price"},
        "campaigns": {"a": {"budget": 10, "policy": {"name": "fixed_bid", "bid_cpm": 5}}},
        **more,
    }


def _run(path: Path, **more: Any) -> bidsim.Result:
    return bidsim.run(scenario_of(_world(path, **more)))


def _refused(path: Path, **more: Any) -> str:
    with pytest.raises(ScenarioError) as caught:
        _run(path, **more)
    text = str(caught.value)
    assert "\n" not in text and text.isprintable()
    return text


def _text() -> str:
    return pd.DataFrame(LOG).astype({"click": int, "conversion": int}).to_csv(index=False)


def _counts(result: bidsim.Result) -> list[int]:
    return result.campaigns[["requests", "wins", "clicks", "conversions"]].iloc[0].tolist()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    file = tmp_path_factory.mktemp("plain") / "log.csv"
    file.write_text(_text())
    return _counts(_run(file))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", ",,\n"),
        lambda text: "\n".join(f"{line},{'bidid' if k == 0 else k},{'bidid' if k == 0 else k}" for k, line in enumerate(text.splitlines())),
        lambda text: "\n".join(f"bidid,{line},bidid" for line in text.splitlines()),
        lambda text: "\ufeff" + text,
        lambda text: "\n\n" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("market_price,pctr", " market_price , pctr", 1),
    ],
    ids=["trailing commas", "a name twice", "a name twice around", "BOM", "blank lines", "CRLF", "spaces"],
)  # fmt: skip
def test_log__columns_that_are_not_needed_are_not_looked_at(tmp_path: Path, plain: list[int], change: Any) -> None:
    (tmp_path / "log.csv").write_text(change(_text()), newline="")
    assert _counts(_run(tmp_path / "log.csv")) == plain


@pytest.mark.parametrize("name", ["log.parquet", "log.pq", "log", "log.csv"])
def test_log__is_parquet_by_its_first_bytes(tmp_path: Path, plain: list[int], name: str) -> None:
    pd.DataFrame(LOG).to_parquet(tmp_path / name)
    assert _counts(_run(tmp_path / name)) == plain


def test_log__parquet_of_names_that_are_not_needed_twice(tmp_path: Path, plain: list[int]) -> None:
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    columns = [*(pa.array(v) for v in LOG.values()), pa.array(np.arange(ROWS)), pa.array(np.arange(ROWS))]
    parquet.write_table(pa.Table.from_arrays(columns, [*LOG, "bidid", "bidid"]), tmp_path / "log.pq")
    assert _counts(_run(tmp_path / "log.pq")) == plain
    parquet.write_table(pa.Table.from_arrays(columns[:5], [*LOG, "pctr"]), tmp_path / "twice.pq")
    assert "the column 'pctr' is there 2 times" in _refused(tmp_path / "twice.pq")


def test_log__packed_by_gzip_is_read(tmp_path: Path, plain: list[int]) -> None:
    for name in ("log.csv.gz", "log.csv"):
        (tmp_path / name).write_bytes(gzip.compress(_text().encode()))
        assert _counts(_run(tmp_path / name)) == plain


def _spreadsheet() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_text().replace(",", ";").encode(), r"log.csv:1: its columns seem to be separated by semicolons \(';'\)"),
        (_text().replace(",", ";").replace(".", ",").encode(), r"separated by semicolons \(';'\).* points in numbers"),
        (_text().replace(",", "\t").encode(), r"separated by tabs \('\\t'\)"),
        (
            _text().replace("0.01", '"0,01"').encode(),
            "log.csv:2: pctr: '0,01' is not a number; write decimals with a p",
        ),
        (_text().replace("conversion", "pctr", 1).encode(), "the column 'pctr' is there 2 times; leave one"),
        (_spreadsheet(), "log.csv: this is a spreadsheet; save it as CSV"),
        (b"PK\x03\x04" + bytes(90), "another zip archive"),
        (b"\xd0\xcf\x11\xe0" + bytes(90), "this is a spreadsheet; save it as CSV"),
        (_text().encode("utf-16"), "this is text in UTF-16; save it as UTF-8"),
        (b'{"market_price": 1}', "this is JSON"),
        (b"\x00\x01\x1b[31m" * 40, "neither Parquet nor text"),
        (b"\x1b[31mred\x07\n1\n", r"no column 'market_price'.*not \\x1b\[31mred\\x07"),
        (_text().replace("0.01", "\x1b[31m", 1).encode(), r"log.csv:2: pctr: '\\x1b\[31m' is not a number"),
        (_text().encode() + b"1,2,\x1b[31m,4,5,6\n", r"cannot be read: .*#42.*\\x1b"),
        (b"PAR1" + bytes(90), "cannot be read"),
        (gzip.compress(_text().encode())[:-30], "cannot be read"),
        (b"", "the log is empty"),
        (b"\n \n", "the log is empty"),
        (b"market_price,pctr,click\n", "the log is empty"),
    ],
)
def test_log__of_another_kind_is_named_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "log.csv").write_bytes(content)
    text = _refused(tmp_path / "log.csv")
    assert re.search(message, text), text


def _with_gaps(folder: Path, column: str = "pctr") -> Path:
    table = pd.DataFrame(LOG).astype({"click": int, "conversion": int})
    table.loc[[3, 17, 20], column] = None
    table.to_csv(folder / "log.csv", index=False)
    return folder / "log.csv"


def test_missing_rates__are_counted_and_refused(tmp_path: Path) -> None:
    text = _refused(_with_gaps(tmp_path))
    assert "log.csv:5: pctr: 3 of 40 rows have no pctr" in text
    assert 'missing = "drop"' in text


def test_missing_rates__are_dropped_or_filled_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _with_gaps(tmp_path)
    dropped, filled = (_run(file, market={"missing": how}) for how in ("drop", 0.5))
    assert (_counts(dropped)[0], _counts(filled)[0]) == (37, 40)
    assert filled.campaigns["pcvr_sum"].iloc[0] > dropped.campaigns["pcvr_sum"].iloc[0] + 0.5
    assert dropped.manifest["notes"] == ["3 of 40 rows of the log lack a value and are left out"]
    print_result(filled)
    assert "Log              3 of 40 rows have no pctr; 0.5 is taken for them" in capsys.readouterr().out


@pytest.mark.parametrize("how", [-0.1, 1.5, "keep"])
def test_missing_rates__are_no_other_thing(tmp_path: Path, how: Any) -> None:
    assert "market.missing" in _refused(_with_gaps(tmp_path), market={"missing": how}).replace("replay.", "")


@pytest.mark.parametrize("column", ["market_price", "click", "conversion"])
def test_missing_values__of_other_columns_are_refused_or_dropped(tmp_path: Path, column: str) -> None:
    file = _with_gaps(tmp_path, column)
    for how in ("refuse", 0.1):
        assert f"log.csv:5: {column}: nan is not a finite number (3 such rows)" in _refused(
            file, market={"missing": how}
        )
    assert _counts(_run(file, market={"missing": "drop"}))[0] == 37


def test_episodes__share_of_the_budget_is_of_what_all_had(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.csv").write_text(_text())
    world = _world(tmp_path / "log.csv", episode=10)
    world["campaigns"]["a"]["budget"] = 0.012
    result = bidsim.run(scenario_of(world))
    row = result.summary["campaigns"]["a"]
    assert (row["episodes"], row["budget"]) == (4, 0.012)
    print_result(result)
    shown = capsys.readouterr().out
    assert f"{100 * row['spend'] / 0.048:.1f}%" in shown
    assert "clicks" in shown and "CPC" in shown and "conver" not in shown
