"""Opening a page in a headless Chromium, where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def assert_opens(page: Path, folder: Path) -> None:
    """Open a page: nothing on the console, and no request but for the page itself and the browser's own errands."""
    plain = folder / "plain.html"
    plain.write_text("<!doctype html><title>x</title>")
    browsers_own, _ = _visited(plain, folder)
    asked, found = _visited(page, folder)
    assert "CONSOLE" not in found.stderr
    assert "</html>" in found.stdout
    assert asked - browsers_own == set()


def _visited(page: Path, folder: Path) -> tuple[set[str], subprocess.CompletedProcess[str]]:
    """What was asked of the network, and what the browser said."""
    log = folder / "net.json"
    found = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
            "--disable-default-apps", f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", f"--log-net-log={log}", "--dump-dom", page.resolve().as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return {
        url.partition("?")[0] for url in re.findall(r'"url":"((?:http|ws|ftp)[a-z]*://[^"]*)"', log.read_text())
    }, found
