"""Models from files: tried in a process of their own, compiled once, and kept on disk by the hash of their text."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from bidsim.core.errors import ModelError
from bidsim.core.kernel import cache_root, prune, second_root, source_digest
from bidsim.core.scoring import ScorerTables, aligned_tables
from bidsim.cvr.binning import OFFSET
from bidsim.cvr.ensemble import plain_text
from bidsim.cvr.probe import probe
from bidsim.cvr.reading import read_ensemble
from bidsim.cvr.trees import compile_ensemble, predict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bidsim.cvr.ensemble import Ensemble

_ROWS = 256
_CLOSE = 1e-9
_DTYPES = (np.int64, np.float64, np.uint32, np.uint64)
_HALF, _TENTH = 0.5, 0.1


def compiled_model(text: str, columns: Sequence[str], offset: float = 0.0) -> ScorerTables:
    """Tables of a model from outside, from the disk where they were made before.

    Args:
        text: The model as LightGBM writes it.
        columns: Names of the columns that rows will have.
        offset: Added to the log-odds.

    Raises:
        ModelError: The text is damaged, holds a model that cannot be scored here, or names other columns.

    """
    text = plain_text(text)
    told = f"{source_digest(Path(__file__).resolve())} {' '.join(columns)} {offset!r}\n{text}"
    digest = hashlib.sha256(told.encode(errors="surrogatepass")).hexdigest()[:32]
    path = _folder() / f"{digest}.npz"
    found = _read(path)
    if found is None:
        ensemble, order = read_ensemble(text, columns)
        found = compile_ensemble(ensemble, offset)
        _compare(text, ensemble, found, order)
        _write(path, found)
    return found


def _compare(text: str, ensemble: Ensemble, tables: ScorerTables, order: NDArray[np.int64]) -> None:
    """See that LightGBM itself can read the text, whose columns stand in another ``order``, and means what we do."""
    rows = _trial_rows(ensemble)
    theirs = probe([text], rows[:, order])[0]
    if theirs is None:
        raise ModelError(
            "LightGBM itself cannot load the model (it refuses, aborts, or takes longer than 10 s); the file is damaged"
        )
    floats = tables.floats.copy()
    floats[OFFSET] = 0.0
    ours = predict(tables._replace(floats=floats), rows)
    with np.errstate(invalid="ignore", over="ignore"):
        apart = ~(np.abs(ours - theirs) <= _CLOSE * np.maximum(1.0, np.abs(theirs)))
    if apart.any():
        raise ModelError(
            f"LightGBM reads the model otherwise than it is written ({int(apart.sum())} of {len(rows)} trial rows "
            "differ); the file is damaged"
        )


def _trial_rows(ensemble: Ensemble) -> NDArray[np.float64]:
    """Rows that meet many nodes: thresholds and their neighbours, categories, missing values, zeros, huge numbers."""
    dice = np.random.default_rng(0)
    rows = dice.normal(0.0, 3.0, (_ROWS, ensemble.features))
    for feature in set(ensemble.feature.tolist()):
        mine = np.flatnonzero(ensemble.feature == feature)
        if ensemble.categorical[mine[0]]:
            sets = dice.choice(mine, 8)
            known = [c for node in sets for c in ensemble.categories(int(node))[:16]] or [0]
            rows[:, feature] = dice.choice([*known, *range(8)], _ROWS)
        else:
            near = dice.choice(ensemble.threshold[mine], _ROWS)
            rows[:, feature] = np.where(dice.random(_ROWS) < _HALF, near, np.nextafter(near, np.inf))
    wild = dice.random(rows.shape) < _TENTH
    rows[wild] = dice.choice([np.nan, 0.0, -1.0, 1e30, -1e30], int(wild.sum()))
    return rows


def _folder() -> Path:
    for root in (cache_root(), second_root()):
        folder = root / "models"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            prune(folder)
            break
    return folder


def _checksum(tables: ScorerTables) -> NDArray[np.uint8]:
    digest = hashlib.blake2b(digest_size=16)
    for part in tables:
        digest.update(np.ascontiguousarray(part).view(np.uint8).data)
    return np.frombuffer(digest.digest(), np.uint8)


def _read(path: Path) -> ScorerTables | None:
    """Tables kept on disk; None where there are none, or the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            tables = ScorerTables(*(kept[name] for name in ScorerTables._fields))
            checksum = kept["checksum"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    arrays: tuple[NDArray[Any], ...] = tables
    if any(part.dtype != kind or part.ndim != 1 for kind, part in zip(_DTYPES, arrays, strict=True)):
        return None
    return aligned_tables(tables) if np.array_equal(_checksum(tables), checksum) else None


def _write(path: Path, tables: ScorerTables) -> None:
    """Keep tables; a full disk only means that they are made again."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as out:
            np.savez(out, **tables._asdict(), checksum=_checksum(tables))
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
