"""LightGBM tried on a model's text in a process of its own: what is damaged may abort it, hang it or eat all memory.

This file is also the program that the process runs; it uses nothing but the standard library then, and starts in a
tenth of a second. Every text is tried in a fork of its own, so one probe can try many.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

SECONDS = 10
_BYTES = 4 << 30
_DAMAGED, _FINE = range(2)


def probe(texts: Sequence[str], rows: NDArray[np.float64]) -> list[NDArray[np.float64] | None]:
    """Predictions of LightGBM itself for each model; None where it refuses the text, aborts or takes longer than 10 s.

    Args:
        texts: Models in LightGBM's text form.
        rows: float64[n, features] to predict.

    Raises:
        OSError: LightGBM's library cannot be loaded.

    """
    import numpy as np  # noqa: PLC0415  (not where this file is the program)

    from bidsim.core.errors import BidsimError  # noqa: PLC0415

    data = [t.encode() for t in texts]
    head = json.dumps(
        {"library": library_path(), "rows": rows.shape[0], "columns": rows.shape[1], "sizes": [len(d) for d in data]}
    )
    given = head.encode() + b"\n" + np.ascontiguousarray(rows, np.float64).tobytes() + b"".join(data)
    done = subprocess.run([sys.executable, "-I", __file__], input=given, capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise BidsimError(f"LightGBM could not be tried on the model: {lines[-1] if lines else done.returncode}")
    found: list[NDArray[np.float64] | None] = []
    at = 0
    for _ in texts:
        fine = done.stdout[at] == _FINE
        found.append(np.frombuffer(done.stdout, np.float64, rows.shape[0], at + 1) if fine else None)
        at += 1 + (8 * rows.shape[0] if fine else 0)
    return found


def library_path() -> str:
    """Where LightGBM's shared library lies, without importing LightGBM, which takes a second."""
    from importlib.util import find_spec  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    spec = find_spec("lightgbm")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    for name in ("lib_lightgbm.so", "lib_lightgbm.dylib", "lib_lightgbm.dll"):
        for place in (folder / "lib", folder):
            if (place / name).is_file():
                return str(place / name)
    raise OSError(f"LightGBM's shared library was not found below {folder}")


def _predict(library: Any, text: bytes, rows: bytes, count: int, columns: int) -> bytes:
    """Load one model and predict; raises or dies where it is damaged."""
    handle, iterations, length = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int64()
    if library.LGBM_BoosterLoadModelFromString(text + b"\0", ctypes.byref(iterations), ctypes.byref(handle)):
        raise ValueError("refused")
    per_row = ctypes.c_int64()
    if library.LGBM_BoosterCalcNumPredict(handle, 1, 0, 0, -1, ctypes.byref(per_row)) or per_row.value != 1:
        raise ValueError("not one number for a row")
    out = (ctypes.c_double * count)()
    as_double, by_row, normal = 1, 1, 0
    settings = b"num_threads=1 predict_disable_shape_check=true"
    if library.LGBM_BoosterPredictForMat(
        handle, rows, as_double, count, columns, by_row, normal, 0, -1, settings, ctypes.byref(length), out
    ):
        raise ValueError("refused to predict")
    return bytes(out)


def _limit() -> None:
    signal.alarm(SECONDS)
    try:
        import resource  # noqa: PLC0415

        resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):
        pass


def _try_one(library: Any, text: bytes, rows: bytes, count: int, columns: int) -> bytes:
    """Predict in a fork, and return its bytes, or the sign of damage."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _limit()
        try:
            reply = _predict(library, text, rows, count, columns)
            with os.fdopen(writing, "wb") as out:
                out.write(reply)
        except (ValueError, MemoryError, OSError):
            os._exit(1)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        reply = told.read()
    _, status = os.waitpid(child, 0)
    return struct.pack("B", _FINE) + reply if status == 0 and len(reply) == 8 * count else struct.pack("B", _DAMAGED)


def _serve(given: BinaryIO, told: BinaryIO) -> None:
    head = json.loads(given.readline())
    count, columns = head["rows"], head["columns"]
    rows = given.read(8 * count * columns)
    silent = os.open(os.devnull, os.O_WRONLY)
    library = ctypes.CDLL(head["library"])
    out = os.dup(1)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    for size in head["sizes"]:
        os.write(out, _try_one(library, given.read(size), rows, count, columns))
    told.flush()


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
