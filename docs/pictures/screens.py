"""Take pictures of pages that runs write, with a headless Chromium: ``python docs/pictures/screens.py``.

Two minutes.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from PIL import Image, ImageChops  # noqa: E402

from bidsim.core.errors import EXIT_FOUND  # noqa: E402
from tests.browser import CHROMIUM  # noqa: E402

_TALLEST = 4000
_MARGIN = 16
_COLOURS = 256


def _bidsim(*words: str) -> None:
    code = subprocess.run(
        [sys.executable, "-m", "bidsim", *words], cwd=ROOT, check=False, stdout=subprocess.DEVNULL
    ).returncode
    if code not in (0, EXIT_FOUND):
        sys.exit(f"bidsim {' '.join(words)}: exit code {code}")


def _shot(page: Path, name: str, width: int, first: str = "", last: str = "", most: int = _TALLEST) -> None:
    """Take a page, or what lies between two of its headings, cut where it ends."""
    html = page.read_text(encoding="utf-8")
    if first:
        head, body = html[: html.index("<body")], html[html.index(f"<h2>{first}") :]
        html = f"{head}<body><main>{body[: body.index(f'<h2>{last}')]}</main></body></html>"
    part, shot = page.with_name("part.html"), page.with_name("shot.png")
    part.write_text(re.sub(r"<footer.*?</footer>", "", html, flags=re.DOTALL), encoding="utf-8")
    size = f"--window-size={width},{_TALLEST}"
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        size,
        f"--screenshot={shot}",
        part.as_uri(),
    ]
    subprocess.run(command, check=True, capture_output=True)
    seen = Image.open(shot).convert("RGB")
    box = ImageChops.difference(seen, Image.new("RGB", seen.size, seen.getpixel((0, 0)))).getbbox() or (
        0,
        0,
        *seen.size,
    )
    cut = seen.crop((0, max(box[1] - _MARGIN, 0), min(box[2] + _MARGIN, width), min(box[3] + _MARGIN, most)))
    cut.convert("P", palette=Image.Palette.ADAPTIVE, colors=_COLOURS).save(HERE / f"{name}.png", optimize=True)
    print(f"took {name}.png, {cut.width} x {cut.height}")


def main() -> None:
    """Run, report and take all."""
    if CHROMIUM is None:
        sys.exit("there is no chromium, chromium-browser or google-chrome to take pictures with")
    with tempfile.TemporaryDirectory() as folder:
        demo, outage = Path(folder) / "demo", Path(folder) / "outage"
        _bidsim("run", "quickstart", "--out", str(demo))
        _bidsim("report", str(demo))
        _bidsim("run", "incidents/tracker_outage", "--out", str(outage))
        _bidsim("monitor", str(outage))
        _shot(demo / "report.html", "report", 848, "Spend over time", "Predicted against")
        _shot(
            next((demo / "advertisers").glob("*softly*.html")),
            "advertiser",
            1080,
            "What drives my conversions",
            "What other bids",
        )
        _shot(outage / "monitor.html", "monitor", 900, most=1040)


if __name__ == "__main__":
    main()
