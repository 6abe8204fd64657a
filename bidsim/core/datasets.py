"""Published figures that ship with the package, with their source inside each file."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "data"


@cache
def load_dataset(name: str) -> dict[str, Any]:
    """Return the figures called ``name`` (a JSON file of ``bidsim/data``)."""
    loaded: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return loaded
