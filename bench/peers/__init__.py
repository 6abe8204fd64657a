"""Peers' scorers, called from compiled code as bidsim's is: LightGBM's single-row C API, lleaves, tl2cgen."""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numpy.typing import NDArray

from bidsim.cvr.probe import library_path

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
_PYTHON = HERE / ".venv" / "bin" / "python"
_DOUBLE, _RAW = 1, 1


@dataclass(frozen=True)
class Peer:
    """A scorer of float64 rows.

    Attributes:
        name: What it is called in figures.
        run: ``run(rows, out)``, compiled: scores each row by a call of its own.

    """

    name: str
    run: Callable[[NDArray[np.float64], NDArray[np.float64]], None]


def lightgbm_c(path: Path, columns: int) -> Peer:
    """LightGBM's ``PredictForMatSingleRowFast`` on one thread."""
    config, function, length = fast_config(path.read_text(), columns, raw=False)
    told = length.ctypes.data

    @numba.njit  # type: ignore[untyped-decorator]
    def run(rows: Any, out: Any) -> None:
        for k in range(rows.shape[0]):
            function(config, rows[k].ctypes.data, told, out[k:].ctypes.data)

    return Peer("lightgbm_c_api", run)


def fast_config(text: str, columns: int, *, raw: bool) -> tuple[int, Any, NDArray[np.int64]]:
    """Address of a single-row configuration, the function to call with it, and room for the length that it reports."""
    library = ctypes.CDLL(library_path())
    booster, iterations, config = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_void_p()
    if library.LGBM_BoosterLoadModelFromString(text.encode(), ctypes.byref(iterations), ctypes.byref(booster)):
        raise OSError("LightGBM cannot load the model")
    if library.LGBM_BoosterPredictForMatSingleRowFastInit(
        booster, _RAW if raw else 0, 0, -1, _DOUBLE, columns, b"num_threads=1", ctypes.byref(config)
    ):
        raise OSError("LightGBM refuses to score single rows")
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    function, length = kind(("LGBM_BoosterPredictForMatSingleRowFast", library)), np.zeros(1, np.int64)
    _KEPT.append((library, function, length))
    return int(config.value or 0), function, length


_KEPT: list[Any] = []
"""What compiled code holds by its address must not be collected."""


def compiled_peers(path: Path) -> list[Peer]:
    """Lleaves and tl2cgen for one model; those that are not there are said aloud and left out."""
    if not _PYTHON.exists():
        print(
            "NOT MEASURED: lleaves and tl2cgen; run `sh bench/peers/build.sh` once to build their environment",
            file=sys.stderr,
        )
        return []
    folder = HERE / ".venv" / "models" / hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    subprocess.run(
        [str(_PYTHON), str(HERE / "compile.py"), str(path), str(folder)], check=False, stdout=subprocess.DEVNULL
    )
    found = []
    for name, load in (("lleaves", _lleaves), ("tl2cgen", _tl2cgen)):
        library = folder / f"{name}.so"
        if library.exists():
            found.append(load(library))
        else:
            print(f"NOT MEASURED: {name} on {path.name}", file=sys.stderr)
    return found


def _lleaves(library: Path) -> Peer:
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32)
    function = kind(("forest_root", ctypes.CDLL(str(library))))

    @numba.njit  # type: ignore[untyped-decorator]
    def run(rows: Any, out: Any) -> None:
        for k in range(rows.shape[0]):
            function(rows[k].ctypes.data, out[k:].ctypes.data, np.int32(0), np.int32(1))

    return Peer("lleaves", run)


def _tl2cgen(library: Path) -> Peer:
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p)
    function = kind(("predict", ctypes.CDLL(str(library))))

    @numba.njit  # type: ignore[untyped-decorator]
    def run(rows: Any, out: Any) -> None:
        entry = np.empty(rows.shape[1], np.float64)
        bits = entry.view(np.int64)
        for k in range(rows.shape[0]):
            for j in range(rows.shape[1]):
                entry[j] = rows[k, j]
                if np.isnan(rows[k, j]):
                    bits[j] = -1  # how tl2cgen marks what is missing
            out[k] = 0.0  # it adds to what is there
            function(entry.ctypes.data, np.int32(0), out[k:].ctypes.data)

    return Peer("tl2cgen", run)
