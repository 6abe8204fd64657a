"""`Result`: what a run leaves, in memory or as a run directory that is whole or not there at all."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bidsim.core.errors import BidsimError, RunDirectoryError, shown
from bidsim.core.facts import RunFacts, facts_of
from bidsim.core.folder import (
    MANIFEST,
    MODELS,
    SUMMARY,
    digest_of,
    digest_of_manifest,
    refuse_taken,
    write_folder,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import pandas as pd
    from numpy.typing import NDArray

Columns = dict[str, Any]
"""A table as columns of equal length: name -> numpy array or list of text."""

_FORMAT = 5
_LONGEST_FOLDER = 60


@dataclass(repr=False)
class Result:
    """A finished run.

    Attributes:
        manifest: Resolved scenario, seed, versions, machine, sampling shares.
        summary: Headline figures, what ``summary.json`` holds.
        tables: Name -> columns; the same names as the Parquet files.
        models: Seat -> file name -> text of its trained model.
        folder: Where the run is stored, None where it is only in memory.

    Example:
        >>> import bidsim
        >>> result = bidsim.run({"extends": "second_price_truthful", "requests": 500})
        >>> {"auctions", "campaigns", "timeline"} <= set(result.tables), result.folder
        (True, None)
        >>> bool((result.campaigns["wins"] <= result.campaigns["bids"]).all())
        True

    """

    explainer: ClassVar[Callable[..., Any] | None] = None
    """What `explain` calls; the front door of the package sets it, which knows where explanations are made."""
    manifest: dict[str, Any]
    tables: dict[str, Columns]
    summary: dict[str, Any] = field(default_factory=dict)
    models: dict[str, Mapping[str, str]] = field(default_factory=dict)
    folder: Path | None = None
    _frames: dict[str, pd.DataFrame] = field(default_factory=dict)
    _codes: dict[tuple[str, str], tuple[list[str], NDArray[np.int64]]] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Say what it holds, in two lines."""
        where = f" in {self.folder}" if self.folder is not None else ""
        rows = ", ".join(f"{name} ({len(next(iter(columns.values()), ()))})" for name, columns in self.tables.items())
        return (
            f"<Result of {self.summary.get('scenario', 'a run')}{where}: {self.manifest.get('requests', 0):,} "
            f"requests;\n tables and rows: {rows}>"
        )

    @cached_property
    def facts(self) -> RunFacts:
        """What the manifest says of the run, typed.

        Raises:
            RunDirectoryError: The manifest lacks a key, or one holds what it cannot.

        """
        return facts_of(self.manifest, str(self.folder or "the run"))

    def frame(self, name: str) -> pd.DataFrame:
        """Return a table as a pandas DataFrame.

        Raises:
            RunDirectoryError: The run has no such table.

        Example:
            >>> import bidsim
            >>> result = bidsim.run({"extends": "second_price_truthful", "requests": 500})
            >>> result.frame("timeline").columns[:2].tolist()
            ['campaign', 'start_us']

        """
        import pandas as pd  # noqa: PLC0415  (0.4 s: only when a table is looked at)

        if name not in self.tables:
            raise RunDirectoryError(f"the run has no table {name!r}; it has {', '.join(sorted(self.tables))}")
        if name not in self._frames:
            self._frames[name] = pd.DataFrame(self.tables[name])
        return self._frames[name]

    def coded(self, table: str, column: str) -> tuple[list[str], NDArray[np.int64]]:
        """Return a column of names as its distinct names, in order of appearance, and int64[rows] places among them.

        Example:
            >>> import bidsim
            >>> result = bidsim.run({"extends": "second_price_truthful", "requests": 500})
            >>> names, codes = result.coded("timeline", "campaign")
            >>> names[codes[0]] == result.timeline["campaign"][0]
            True

        """
        if (table, column) not in self._codes:
            places: dict[str, int] = {}
            codes = [places.setdefault(name, len(places)) for name in self.tables[table][column]]
            self._codes[table, column] = (list(places), np.array(codes, np.int64))
        return self._codes[table, column]

    @property
    def campaigns(self) -> pd.DataFrame:
        """One row a campaign."""
        return self.frame("campaigns")

    @property
    def timeline(self) -> pd.DataFrame:
        """Campaign x time bucket."""
        return self.frame("timeline")

    @property
    def slices(self) -> pd.DataFrame:
        """Won impressions by field, level and window."""
        return self.frame("slices")

    @property
    def auctions(self) -> pd.DataFrame:
        """Won impressions, all or the share that the manifest states."""
        return self.frame("auctions")

    @property
    def requests(self) -> pd.DataFrame:
        """Sampled (request, campaign) rows: what the model saw, float32, and the true rates."""
        return self.frame("requests")

    @property
    def bids(self) -> pd.DataFrame:
        """Decisions on the same rows."""
        return self.frame("bids")

    @property
    def conversions(self) -> pd.DataFrame:
        """Credited purchases, late ones included."""
        return self.frame("conversions")

    @property
    def landscape(self) -> pd.DataFrame:
        """What multiples of each campaign's bids would have bought."""
        return self.frame("landscape")

    @property
    def incrementality(self) -> pd.DataFrame:
        """Purchases that advertising caused, by product line: the truth, and the ghost-ad estimate."""
        return self.frame("incrementality")

    def explain(self, seat: str | None = None, **how: Any) -> Any:
        """Shapley values of a seat's model as a `shap.Explanation`; see `bidsim.explain_result` for the arguments.

        Example:
            >>> import bidsim
            >>> tiny = {"requests": 500, "history.requests": 20_000, "seats.main.model.trees": 5}
            >>> result = bidsim.run(bidsim.load_scenario("quickstart", tiny))
            >>> use = result.explain(unit="conversions")
            >>> use.values.shape[1] == len(use.feature_names)
            True

        """
        if Result.explainer is None:
            raise BidsimError("explanations need the whole package: import bidsim, and take runs from there")
        return Result.explainer(self, seat, **how)

    def save(self, path: str | Path) -> Path:
        """Write a run directory; it appears under its name only when it is complete.

        Raises:
            RunDirectoryError: The place is taken by something that is not a run, or cannot be written.

        Example:
            >>> import bidsim
            >>> result = bidsim.run({"extends": "second_price_truthful", "requests": 500})
            >>> result.save("runs/mine").name
            'mine'

        """
        target = Path(path).resolve()
        refuse_taken(target, is_run=is_run_directory(target))
        try:
            write_folder(target, lambda folder: _write_parts(self, folder))
        except OSError as error:
            raise RunDirectoryError(f"cannot write the run to {target}: {error.strerror or error}") from None
        self.folder = Path(path)
        return self.folder


def is_run_directory(path: Path) -> bool:
    """Whether a folder holds a complete run: a manifest that bidsim wrote."""
    try:
        manifest = _read_json(path / MANIFEST)
    except RunDirectoryError:
        return False
    return {"format", "tables", "models", "scenario_hash", "scenario"} <= set(manifest)


def load_result(path: str | Path) -> Result:
    """Read a run directory.

    Raises:
        RunDirectoryError: It is not there, not complete, or of another version's format.

    Example:
        >>> import bidsim
        >>> result = bidsim.run({"extends": "second_price_truthful", "requests": 500})
        >>> again = bidsim.load_result(result.save("runs/mine"))
        >>> again.summary == result.summary
        True
        >>> bidsim.load_result("runs/other")
        Traceback (most recent call last):
        bidsim.core.errors.RunDirectoryError: runs/other: no such run directory

    """
    if not isinstance(path, str | os.PathLike):
        raise RunDirectoryError(f"a run is the path of its directory, such as 'runs/mine', not {shown(path)}")
    folder = Path(path)
    if not folder.is_dir():
        raise RunDirectoryError(
            f"{folder} is a file; name a run directory, which holds manifest.json"
            if folder.is_file()
            else f"{folder}: no such run directory"
        )
    if not (folder / MANIFEST).is_file():
        raise RunDirectoryError(f"{folder} is not a complete run: it has no {MANIFEST}")
    manifest = _read_json(folder / MANIFEST)
    if manifest.get("format") != _FORMAT:
        raise RunDirectoryError(
            f"{folder} was written in format {manifest.get('format')!r}; this version reads {_FORMAT}; run the "
            "scenario again"
        )
    if not is_run_directory(folder):
        raise RunDirectoryError(f"{folder} is damaged: its {MANIFEST} lacks what every run has")
    if manifest.get("digest") != digest_of_manifest(manifest):
        raise RunDirectoryError(_damaged(folder, MANIFEST))
    try:
        summary = json.loads(_checked(folder, SUMMARY, manifest))
        tables = {name: _table(_checked(folder, f"{_plain(name)}.parquet", manifest)) for name in manifest["tables"]}
        models: dict[str, Mapping[str, str]] = {
            seat: _model(folder, where, manifest) for seat, where in manifest["models"].items()
        }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RunDirectoryError(f"{folder} is damaged: {error}") from None
    return Result(manifest, tables, summary, models, folder)


def _checked(folder: Path, name: str, manifest: Mapping[str, Any]) -> bytes:
    """Content of a file of a run, if it is what was written.

    Raises:
        RunDirectoryError: It is missing, or has changed since.

    """
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise RunDirectoryError(f"{folder} is damaged: its {name} is missing; run the scenario again") from None
        raise RunDirectoryError(f"{folder / name} cannot be read: {error.strerror or error}") from None
    if digest_of(content) != manifest["files"].get(name):
        raise RunDirectoryError(_damaged(folder, name))
    return content


def _damaged(folder: Path, name: str) -> str:
    return (
        f"{folder} is damaged: its {name} is not what was written (its hash differs from the one kept then); "
        "run the scenario again"
    )


def _model(folder: Path, where: str, manifest: Mapping[str, Any]) -> dict[str, str]:
    """Files of a seat's model: name -> text."""
    inside = f"{MODELS}/{_plain(where)}/"
    return {
        name.removeprefix(inside): _checked(folder, name, manifest).decode()
        for name in sorted(manifest["files"])
        if name.startswith(inside) and _plain(name.removeprefix(inside).replace(".", "-"))
    }


def _plain(name: str) -> str:
    """Refuse a name that leads out of the run directory."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ValueError(f"its {MANIFEST} names {name!r}, which is not a plain name")
    return name


def model_folders(seats: Iterable[str]) -> dict[str, str]:
    """Seat -> folder name: the seat's own where it is a plain word.

    Other seats get a number that no other has, so that no name leaves the run.
    """
    listed = list(seats)
    found = {
        seat: seat
        for seat in listed
        if seat.replace("-", "").replace("_", "").isalnum() and len(seat) <= _LONGEST_FOLDER and seat.isascii()
    }
    free = (name for name in (f"seat-{n}" for n in count()) if name not in found)
    return {seat: found.get(seat) or next(free) for seat in listed}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunDirectoryError(f"{path} cannot be read: {error}") from None
    if not isinstance(loaded, dict):
        raise RunDirectoryError(f"{path} is damaged: it holds no table")
    return loaded


def _table(content: bytes) -> Columns:
    """Columns of a Parquet file.

    Raises:
        ValueError: It is none.

    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    table = pq.read_table(pa.BufferReader(content))
    return {
        name: table[name].to_pylist()
        if pa.types.is_string(table[name].type)
        else np.ascontiguousarray(table[name].to_numpy())
        for name in table.column_names
    }


def _write_parts(result: Result, folder: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    for name, columns in result.tables.items():
        table = pa.table(
            {k: pa.array(v, pa.string()) if isinstance(v, list) else pa.array(v) for k, v in columns.items()}
        )
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
    where = model_folders(result.models)
    for seat, files in result.models.items():
        (folder / MODELS / where[seat]).mkdir(parents=True)
        for name, text in files.items():
            (folder / MODELS / where[seat] / name).write_text(text, encoding="utf-8")
    _write_json(folder / SUMMARY, result.summary)
    digests = {
        path.relative_to(folder).as_posix(): digest_of(path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    own = {"format": _FORMAT, "tables": sorted(result.tables), "models": where, "files": digests}
    manifest = json.loads(json.dumps({**result.manifest, **own}))  # as it will be read
    _write_json(folder / MANIFEST, {**manifest, "digest": digest_of_manifest(manifest)})


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
