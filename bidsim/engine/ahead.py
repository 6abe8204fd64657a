"""Chunks of requests, made one ahead in a second thread while the loop works on the last."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from bidsim.engine.tables import Chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def chunks_ahead(total: int, size: int, make: Callable[[int, int], Chunk]) -> Iterator[Chunk]:
    """Yield ``make(lo, hi)`` for consecutive parts of ``total`` requests; results do not depend on ``size``."""
    bounds = [(lo, min(lo + size, total)) for lo in range(0, total, size)]
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting = [pool.submit(make, *bound) for bound in bounds[:1]]
        for following in [*bounds[1:], None]:
            if not waiting:
                return
            ready = waiting.pop().result()
            if following is not None:
                waiting.append(pool.submit(make, *following))
            yield ready
