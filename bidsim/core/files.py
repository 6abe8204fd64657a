"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from bidsim.core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Write bytes to a file under a temporary name, bring them to disk, and put it in place of an older one.

    Raises:
        UsageError: The place cannot be written.

    """
    temporary = path.with_name(f".{path.name[:100]}.part-{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise UsageError(f"cannot write {path}: {error.strerror or error}; choose another place") from None
