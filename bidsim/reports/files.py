"""Writing pages: whole or not at all, and never over what is not ours."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from bidsim.core.errors import UsageError
from bidsim.core.folder import is_page

if TYPE_CHECKING:
    from pathlib import Path

_READ = 1_000


def write_page(path: Path, text: str) -> None:
    """Write a page, or the JSON of one, in place of an older one.

    Raises:
        UsageError: The place cannot be written, or holds something that bidsim did not write.

    """
    try:
        if not path.name or path.is_dir():
            raise UsageError(f"cannot write {path}: it is a directory; name a file with --out")
        if path.is_file() and not is_page(path):
            raise UsageError(f"{path} exists and is not a page that bidsim wrote; choose another place with --out")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}; choose another place with --out") from None
    write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """Write a file whole, or leave what was there.

    Raises:
        UsageError: The place cannot be written.

    """
    temporary = path.with_name(f".{path.name[:100]}.part-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # a device or a pipe is written to, not replaced
            path.write_text(text, encoding="utf-8")
            return
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except (OSError, ValueError) as error:
        with suppress(OSError, ValueError):
            temporary.unlink(missing_ok=True)
        raise UsageError(
            f"cannot write {path}: {getattr(error, 'strerror', None) or error}; choose another place"
        ) from None


def write_marked(path: Path, text: str, option: str, mark: str) -> None:
    """Write a file that an option asked for, in place of an older one that begins alike.

    Raises:
        UsageError: The place cannot be written, or holds something that bidsim did not write.

    """
    try:
        other = path.is_file() and path.stat().st_size > 0 and not _beginning(path).startswith(mark.encode())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{option} {path}: {getattr(error, 'strerror', None) or error}; choose another place"
        ) from None
    if other:
        raise UsageError(f"{option} {path}: there is a file that bidsim did not write; choose another place")
    write_text(path, text)


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_READ)
