"""River's drift detectors on series of observed over expected counts; run by an interpreter that has river.

Reads ``ratio`` float64[windows, slices] from the .npz named first; writes the windows of alarms of each detector, at
each of its settings, as JSON to the file named second: {name: {setting: [[window, slice], ...]}}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from river import drift  # type: ignore[import-not-found]  # of the peers' environment

SETTINGS = {
    "adwin": [0.002, 1e-4, 1e-6],
    "page_hinkley": [5.0, 20.0, 80.0],
}


def _made(name: str, setting: float) -> Any:
    if name == "adwin":
        return drift.ADWIN(delta=setting, clock=1, grace_period=2, min_window_length=2)
    return drift.PageHinkley(min_instances=10, delta=0.05, threshold=setting)


def main() -> None:
    """Watch every slice by itself."""
    ratio = np.load(sys.argv[1])["ratio"]
    found: dict[str, dict[str, list[list[int]]]] = {}
    for name, settings in SETTINGS.items():
        found[name] = {}
        for setting in settings:
            alarms = []
            for s in range(ratio.shape[1]):
                detector = _made(name, setting)
                for t in range(ratio.shape[0]):
                    detector.update(float(ratio[t, s]))
                    if detector.drift_detected:
                        alarms.append([t, s])
            found[name][str(setting)] = alarms
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
