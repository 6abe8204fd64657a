"""Text on pages can be read: contrast of at least 4.5 to 1 with the white behind it (WCAG 2.2, 1.4.3)."""

from __future__ import annotations

import re

from bidsim.reports import charts
from tests.conftest import ROOT

TEMPLATES = sorted((ROOT / "bidsim/reports/templates").glob("*.html"))


def _luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` or ``#rgb``."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(colour: str) -> float:
    return 1.05 / (_luminance(colour) + 0.05)


def test_contrast__of_known_pairs() -> None:
    assert round(_contrast("#000"), 1) == 21.0
    assert round(_contrast("#767676"), 2) == 4.54


def test_text__has_contrast_enough() -> None:
    style = "\n".join(path.read_text(encoding="utf-8") for path in TEMPLATES)
    named = dict(re.findall(r"(--[\w-]+):\s*(#[0-9a-fA-F]{3,6})", style))
    used = {
        named.get(name, name)
        for name in re.findall(r"(?<![\w-])color:\s*(?:var\()?(#[0-9a-fA-F]{3,6}|--[\w-]+)", style)
    }
    assert len(used) >= 4
    behind = " ".join(re.findall(r"background(?:-color)?:\s*([^;}]+)", style))
    assert set(re.findall(r"#[0-9a-fA-F]{3,6}", behind)) == {"#fff"}
    for colour in used | {charts.INK}:
        assert _contrast(colour) >= 4.5, colour
