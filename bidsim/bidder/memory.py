"""What bidders remember of users: impressions that they caused, and purchases that were reported to them.

Users are found by open addressing; what is known of each hangs on linked lists. ``at`` is a user's place in the table.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.core.columns import columns
from bidsim.core.kernel import kernel
from bidsim.core.random import mix
from bidsim.core.units import DAY, NEVER

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

WHO, SLOT, EXPOSURE, PURCHASE = range(4)
"""Columns of `Memory.table`: user + 1, its number in the order of first sight, and the heads of its lists."""
USERS, EXPOSURES, FREE, PURCHASES = range(4)
"""Columns of `Memory.used`."""
SEEN = columns(("campaign", "link", "last", "times"))
"""Columns of `Memory.exposures`: whose impression, the next of the user, when the last one was, how many."""
BOUGHT = columns(("line", "link", "time"))
"""Columns of `Memory.purchases`: product line, the next of the user, when it bought last as far as is known."""
HALF_LIFE = 3 * DAY
"""Half-life of the recent-impressions count."""
FORGET = 30 * DAY
"""An exposure older than this, and than its campaign's frequency cap, is dropped."""
FILL = 0.6
"""Part of a hash table that may be filled."""


class Memory(NamedTuple):
    """What is known of users met so far; grown between calls of the loop.

    Fields: ``table`` int64[capacity, 4], users by open addressing; ``exposures`` int64[n, 4] by (user, campaign);
    ``frequency`` float64[n], decayed count; ``ring`` int64[n, most], times of the latest impressions; ``purchases``
    int64[n, 3] by (user, line); ``used`` int64[4]: users, exposures, head of the free exposures, purchases.
    """

    table: I64
    exposures: I64
    frequency: F64
    ring: I64
    purchases: I64
    used: I64


def empty_memory(most_cap: int, users: int = 1024) -> Memory:
    """Allocate a memory; ``most_cap`` is the largest frequency cap, which sets the length of rings."""
    return Memory(
        table=np.zeros((4 * users, 4), np.int64),
        exposures=np.zeros((users, len(SEEN)), np.int64),
        frequency=np.zeros(users),
        ring=np.zeros((users, max(most_cap, 1)), np.int64),
        purchases=np.zeros((users, len(BOUGHT)), np.int64),
        used=np.array([0, 0, -1, 0], np.int64),
    )


@kernel()
def memory_has_room(memory: Memory, lines: int, impressions: int) -> bool:
    """Whether one more request, which may bring a user, its purchases and ``impressions``, surely fits."""
    used = memory.used
    return (
        used[USERS] + 1 < int(memory.table.shape[0] * FILL)
        and used[EXPOSURES] + impressions < memory.exposures.shape[0]
        and used[PURCHASES] + lines < memory.purchases.shape[0]
    )


def grown_memory(memory: Memory, lines: int, impressions: int) -> Memory:
    """Return a memory with twice the room wherever room is short; contents stay."""
    used = memory.used
    exposures = roomy(len(memory.exposures), int(used[EXPOSURES]) + impressions)
    return memory._replace(
        table=grown_table(memory.table, int(used[USERS])),
        exposures=resized(memory.exposures, exposures),
        frequency=resized(memory.frequency, exposures),
        ring=resized(memory.ring, exposures),
        purchases=resized(memory.purchases, roomy(len(memory.purchases), int(used[PURCHASES]) + lines)),
    )


def roomy(capacity: int, least: int) -> int:
    """Double a capacity until it is above ``least``."""
    while capacity <= least:
        capacity *= 2
    return capacity


def resized(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """Return an array with ``rows`` rows and the same contents; itself where it has them already."""
    if rows == array.shape[0]:
        return array
    larger = np.zeros((rows, *array.shape[1:]), array.dtype)
    larger[: array.shape[0]] = array
    return larger


def grown_table(table: I64, users: int) -> I64:
    """Return a hash table with room for one more than ``users``; itself where it has that."""
    if users + 1 < int(len(table) * FILL):
        return table
    larger = np.zeros((2 * len(table), table.shape[1]), np.int64)
    _rehash(table, larger)
    return larger


@kernel()
def _rehash(table: I64, larger: I64) -> None:
    for row in range(table.shape[0]):
        if table[row, WHO] != 0:
            at = place_of(larger, table[row, WHO] - 1)
            for column in range(table.shape[1]):
                larger[at, column] = table[row, column]


@kernel(inner=True)
def place_of(table: I64, user: int) -> int:
    """Where a user stands in a hash table, or the empty place where it would."""
    size = table.shape[0]
    at: Any = np.int64(mix(np.uint64(user)) % np.uint64(size))
    while table[at, WHO] != 0 and table[at, WHO] != user + 1:
        at += 1
        if at == size:
            at = 0
    return at


@kernel(inner=True)
def meet(memory: Memory, user: int) -> int:
    """Place of a user in the table, entered at first sight; it is good until the table grows."""
    at, table = place_of(memory.table, user), memory.table
    if table[at, WHO] == 0:
        table[at, WHO] = user + 1
        table[at, SLOT] = memory.used[USERS]
        table[at, EXPOSURE] = -1
        table[at, PURCHASE] = -1
        memory.used[USERS] += 1
    return at


@kernel(inner=True)
def learn_purchase(memory: Memory, at: int, line: int, time: int) -> None:
    """Note that a user bought of a product line; the latest purchase counts."""
    entry = memory.table[at, PURCHASE]
    while entry >= 0 and memory.purchases[entry, BOUGHT.line] != line:
        entry = memory.purchases[entry, BOUGHT.link]
    if entry < 0:
        entry = memory.used[PURCHASES]
        memory.used[PURCHASES] += 1
        memory.purchases[entry, BOUGHT.line] = line
        memory.purchases[entry, BOUGHT.link] = memory.table[at, PURCHASE]
        memory.purchases[entry, BOUGHT.time] = -NEVER
        memory.table[at, PURCHASE] = entry
    memory.purchases[entry, BOUGHT.time] = max(memory.purchases[entry, BOUGHT.time], time)


@kernel(inner=True)
def recall_purchases(memory: Memory, at: int, bought: I64) -> None:
    """Write to ``bought`` [lines] when the user bought of each line, as far as is known."""
    entry = memory.table[at, PURCHASE]
    while entry >= 0:
        bought[memory.purchases[entry, BOUGHT.line]] = memory.purchases[entry, BOUGHT.time]
        entry = memory.purchases[entry, BOUGHT.link]


@kernel(inner=True)
def known_purchase(memory: Memory, at: int, line: int) -> int:
    """When the user bought of one line, as far as is known; minus `NEVER` where nothing is."""
    entry = memory.table[at, PURCHASE]
    while entry >= 0 and memory.purchases[entry, BOUGHT.line] != line:
        entry = memory.purchases[entry, BOUGHT.link]
    return memory.purchases[entry, BOUGHT.time] if entry >= 0 else -NEVER


@kernel(inner=True)
def _long_past(memory: Memory, entry: int, time: int, cap_window: I64) -> bool:
    seen = memory.exposures[entry]
    return time - seen[SEEN.last] > max(FORGET, cap_window[seen[SEEN.campaign]])


@kernel(inner=True)
def find_exposure(memory: Memory, at: int, campaign: int, time: int, cap_window: I64) -> int:
    """Exposure of a user to one campaign; -1 where there is none, or it was long past and is dropped."""
    before, entry = -1, memory.table[at, EXPOSURE]
    while entry >= 0 and memory.exposures[entry, SEEN.campaign] != campaign:
        before, entry = entry, memory.exposures[entry, SEEN.link]
    if entry >= 0 and _long_past(memory, entry, time, cap_window):
        _forget(memory, at, before, entry)
        return -1
    return entry


@kernel(inner=True)
def recall_exposures(memory: Memory, exposure_of: I64, at: int, time: int, cap_window: I64) -> None:
    """Say where each exposure of a user is, and drop what is long past and counts for no frequency cap."""
    before = -1
    entry = memory.table[at, EXPOSURE]
    while entry >= 0:
        after = memory.exposures[entry, SEEN.link]
        if _long_past(memory, entry, time, cap_window):
            _forget(memory, at, before, entry)
        else:
            exposure_of[memory.exposures[entry, SEEN.campaign]] = entry
            before = entry
        entry = after


@kernel(inner=True)
def _forget(memory: Memory, at: int, before: int, entry: int) -> None:
    after = memory.exposures[entry, SEEN.link]
    if before < 0:
        memory.table[at, EXPOSURE] = after
    else:
        memory.exposures[before, SEEN.link] = after
    memory.exposures[entry, SEEN.link] = memory.used[FREE]
    memory.used[FREE] = entry


@kernel(inner=True)
def forget_exposures(memory: Memory, exposure_of: I64, at: int) -> None:
    """Undo `recall_exposures`, when the request is over."""
    entry = memory.table[at, EXPOSURE]
    while entry >= 0:
        exposure_of[memory.exposures[entry, SEEN.campaign]] = -1
        entry = memory.exposures[entry, SEEN.link]


@kernel(inner=True)
def forget_purchases(memory: Memory, bought: I64, at: int) -> None:
    """Undo `recall_purchases`, when the request is over."""
    entry = memory.table[at, PURCHASE]
    while entry >= 0:
        bought[memory.purchases[entry, BOUGHT.line]] = -NEVER
        entry = memory.purchases[entry, BOUGHT.link]


@kernel(inner=True)
def recent_frequency(memory: Memory, entry: int, time: int) -> float:
    """Impressions of the campaign that the user has seen lately, decayed by half in three days."""
    if entry < 0:
        return 0.0
    return memory.frequency[entry] * math.exp2(-(time - memory.exposures[entry, SEEN.last]) / HALF_LIFE)


@kernel(inner=True)
def capped(memory: Memory, entry: int, count: int, window: int, time: int) -> bool:
    """Whether ``count`` impressions already lie within the last ``window``."""
    if count == 0 or entry < 0 or memory.exposures[entry, SEEN.times] < count:
        return False
    at = (memory.exposures[entry, SEEN.times] - count) % memory.ring.shape[1]
    return memory.ring[entry, at] > time - window


@kernel(inner=True)
def expose(memory: Memory, at: int, entry: int, campaign: int, time: int) -> int:
    """Record an impression; ``entry`` is the pair's exposure or -1. Return the exposure."""
    if entry < 0:
        entry = memory.used[FREE]
        if entry >= 0:
            memory.used[FREE] = memory.exposures[entry, SEEN.link]
        else:
            entry = memory.used[EXPOSURES]
            memory.used[EXPOSURES] += 1
        memory.exposures[entry, SEEN.campaign] = campaign
        memory.exposures[entry, SEEN.link] = memory.table[at, EXPOSURE]
        memory.exposures[entry, SEEN.times] = 0
        memory.frequency[entry] = 0.0
        memory.table[at, EXPOSURE] = entry
    else:
        memory.frequency[entry] = recent_frequency(memory, entry, time)
    memory.frequency[entry] += 1.0
    memory.ring[entry, memory.exposures[entry, SEEN.times] % memory.ring.shape[1]] = time
    memory.exposures[entry, SEEN.last] = time
    memory.exposures[entry, SEEN.times] += 1
    return entry
