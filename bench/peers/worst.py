"""Sliceline's worst slices; run by an interpreter that has it.

Reads ``columns`` int64[rows, fields] and ``errors`` float64[rows] from the .npz named first; writes the first slice as
JSON to the file named second: {"slice": [[column, level], ...], "seconds": ...}.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from sliceline import Slicefinder  # type: ignore[import-not-found]  # of the peers' environment


def main() -> None:
    """Find the slice of the largest errors, conjunctions of up to three levels."""
    stored = np.load(sys.argv[1])
    begun = time.perf_counter()
    finder = Slicefinder(alpha=0.95, k=1, max_l=3, min_sup=400, verbose=False)
    finder.fit(stored["columns"], stored["errors"])
    seconds = time.perf_counter() - begun
    top = finder.top_slices_[0] if len(finder.top_slices_) else []
    found = [[k, int(level)] for k, level in enumerate(top) if level is not None]
    Path(sys.argv[2]).write_text(json.dumps({"slice": found, "seconds": seconds}), encoding="utf-8")


if __name__ == "__main__":
    main()
