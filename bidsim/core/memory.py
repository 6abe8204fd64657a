"""How much memory a process may have."""

from __future__ import annotations

import os

GIGABYTE = 10**9


def memory_limit() -> int:
    """Bytes that this process may have: those of the machine, or fewer where a limit was set; 0 where nobody knows."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        found = 0
    try:
        import resource  # noqa: PLC0415  (not on every system)

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    except (ImportError, OSError):
        return found
    return limit if limit > 0 and (limit < found or not found) else found
