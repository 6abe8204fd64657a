"""State of users: found by open addressing, made at first sight, linked lists of clocks and exposures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel
from bidsim.core.random import mix
from bidsim.core.units import DAY
from bidsim.engine.tables import I64, Keys, Scratch, Store
from bidsim.response.purchases import (
    CLOCK,
    EXPOSED,
    LINE,
    LINK,
    NOT_EXPOSED,
    SERVED,
    advance,
    is_buyer,
    start_clock,
    user_scale,
)
from bidsim.response.truth import Truth

USERS, CLOCKS, EXPOSURES, FREE, EVENTS = range(5)
"""Columns of `Store.used`."""
CAMPAIGN, NEXT_EXPOSURE, SEEN, TIMES = range(4)
"""Columns of `Store.exposures`."""
HALF_LIFE = 3 * DAY
"""Half-life of the recent-impressions count."""
FORGET = 30 * DAY
"""An exposure older than this, and than its campaign's frequency cap, is dropped."""
_USER, _FIRST_CLOCK, _FIRST_EXPOSURE = range(3)
_FILL = 0.6


def empty_store(most_cap: int, users: int = 1024) -> Store:
    """Allocate a store; ``most_cap`` is the largest frequency cap, which sets the length of rings."""
    return Store(
        table=np.zeros((4 * users, 2), np.int64),
        users=np.zeros((users, 3), np.int64),
        clocks=np.zeros((users, len(CLOCK)), np.int64),
        scale=np.zeros(users),
        exposures=np.zeros((users, 4), np.int64),
        frequency=np.zeros(users),
        ring=np.zeros((users, max(most_cap, 1)), np.int64),
        used=np.array([0, 0, 0, -1, 0], np.int64),
        heap=np.zeros((users, 2), np.int64),
    )


@kernel()
def has_room(store: Store, lines: int, positions: int = 1) -> bool:
    """Whether one more request, which may bring a user, its clocks, an exposure and events, surely fits."""
    used = store.used
    return (
        used[USERS] + 1 < min(store.users.shape[0], int(store.table.shape[0] * _FILL))
        and used[CLOCKS] + lines < store.clocks.shape[0]
        and used[EXPOSURES] + lines + positions < store.exposures.shape[0]
        and used[EVENTS] + 1 + positions < store.heap.shape[0]
    )


def grown(store: Store, lines: int, positions: int = 1) -> Store:
    """Return a store with twice the room wherever room is short; contents stay."""
    used = store.used
    small = store.users.shape[0]
    users = 2 * small if used[USERS] + 1 >= small else small
    clocks = _wanted(store.clocks.shape[0], int(used[CLOCKS]) + lines)
    exposures = _wanted(store.exposures.shape[0], int(used[EXPOSURES]) + lines + positions)
    table = store.table
    if used[USERS] + 1 >= int(len(table) * _FILL) or users != small:
        table = np.zeros((4 * users, 2), np.int64)
        _rehash(table, store.users, int(used[USERS]))
    return store._replace(
        table=table,
        users=_resized(store.users, users),
        clocks=_resized(store.clocks, clocks),
        scale=_resized(store.scale, clocks),
        exposures=_resized(store.exposures, exposures),
        frequency=_resized(store.frequency, exposures),
        ring=_resized(store.ring, exposures),
        heap=_resized(store.heap, _wanted(store.heap.shape[0], int(used[EVENTS]) + 1 + positions)),
    )


def _wanted(capacity: int, least: int) -> int:
    while capacity <= least:
        capacity *= 2
    return capacity


def _resized(array: NDArray[Any], rows: int) -> NDArray[Any]:
    if rows == array.shape[0]:
        return array
    larger = np.zeros((rows, *array.shape[1:]), array.dtype)
    larger[: array.shape[0]] = array
    return larger


def bytes_per_user(store: Store) -> float:
    """Bytes of state for each user seen so far."""
    used = store.used
    parts = {
        "users": USERS,
        "clocks": CLOCKS,
        "scale": CLOCKS,
        "exposures": EXPOSURES,
        "frequency": EXPOSURES,
        "ring": EXPOSURES,
        "heap": EVENTS,
    }
    total = (
        sum(int(used[which]) * getattr(store, name)[0:1].nbytes for name, which in parts.items()) + store.table.nbytes
    )
    return total / max(int(used[USERS]), 1)


@kernel()
def _rehash(table: I64, users: I64, count: int) -> None:
    for slot in range(count):
        at = _place(table, users[slot, _USER])
        table[at, 0] = users[slot, _USER] + 1
        table[at, 1] = slot


@kernel(inner=True)
def _place(table: I64, user: int) -> int:
    """Where a user stands in the table, or the empty place where it would."""
    size = table.shape[0]
    at: Any = np.int64(mix(np.uint64(user)) % np.uint64(size))
    while table[at, 0] != 0 and table[at, 0] != user + 1:
        at += 1
        if at == size:
            at = 0
    return at


@kernel(inner=True)
def find_user(
    store: Store, truth: Truth, keys: Keys, user: int, intent: float, interest: int, holdout: bool, start: int
) -> int:
    """Slot of a user; at first sight the user's clocks are started."""
    at = _place(store.table, user)
    if store.table[at, 0] != 0:
        return store.table[at, 1]
    slot = store.used[USERS]
    store.used[USERS] += 1
    store.table[at, 0] = user + 1
    store.table[at, 1] = slot
    store.users[slot, _USER] = user
    store.users[slot, _FIRST_CLOCK] = -1
    store.users[slot, _FIRST_EXPOSURE] = -1
    for line in range(truth.line_id.shape[0]):
        if is_buyer(truth, keys.organic, user, line, intent, interest):
            add_clock(store, truth, keys, slot, line, True, intent, holdout, start)
    return slot


@kernel(inner=True)
def add_clock(
    store: Store, truth: Truth, keys: Keys, slot: int, line: int, buyer: bool, intent: float, holdout: bool, start: int
) -> int:
    """Start a clock for (user, line) and link it to the user."""
    entry = store.used[CLOCKS]
    store.used[CLOCKS] += 1
    store.scale[entry] = user_scale(truth, line, intent)
    clock = store.clocks[entry]
    start_clock(clock, truth, keys.organic, store.users[slot, _USER], line, buyer, store.scale[entry], start)
    clock[EXPOSED] = NOT_EXPOSED if holdout else SERVED
    clock[LINK] = store.users[slot, _FIRST_CLOCK]
    store.users[slot, _FIRST_CLOCK] = entry
    return entry


@kernel(inner=True)
def advance_clocks(store: Store, scratch: Scratch, truth: Truth, keys: Keys, slot: int, time: int) -> None:
    """Bring a user's clocks up to ``time`` and say where each is."""
    entry = store.users[slot, _FIRST_CLOCK]
    while entry >= 0:
        advance(store.clocks[entry], truth, keys.organic, store.scale[entry], time)
        scratch.clock_of[store.clocks[entry, LINE]] = entry
        entry = store.clocks[entry, LINK]


@kernel(inner=True)
def find_clock(store: Store, truth: Truth, keys: Keys, slot: int, line: int, time: int) -> int:
    """Clock of a user and one line, brought up to ``time``; -1 where there is none."""
    entry = store.users[slot, _FIRST_CLOCK]
    while entry >= 0 and store.clocks[entry, LINE] != line:
        entry = store.clocks[entry, LINK]
    if entry >= 0:
        advance(store.clocks[entry], truth, keys.organic, store.scale[entry], time)
    return entry


@kernel(inner=True)
def _long_past(store: Store, entry: int, time: int, cap_window: NDArray[np.int64]) -> bool:
    return time - store.exposures[entry, SEEN] > max(FORGET, cap_window[store.exposures[entry, CAMPAIGN]])


@kernel(inner=True)
def find_exposure(store: Store, slot: int, campaign: int, time: int, cap_window: NDArray[np.int64]) -> int:
    """Exposure of a user to one campaign; -1 where there is none, or it was long past and is dropped."""
    before, entry = -1, store.users[slot, _FIRST_EXPOSURE]
    while entry >= 0 and store.exposures[entry, CAMPAIGN] != campaign:
        before, entry = entry, store.exposures[entry, NEXT_EXPOSURE]
    if entry >= 0 and _long_past(store, entry, time, cap_window):
        _forget(store, slot, before, entry)
        return -1
    return entry


@kernel(inner=True)
def find_exposures(store: Store, scratch: Scratch, slot: int, time: int, cap_window: NDArray[np.int64]) -> None:
    """Say where each exposure of a user is, and drop what is long past and counts for no frequency cap."""
    before = -1
    entry = store.users[slot, _FIRST_EXPOSURE]
    while entry >= 0:
        after = store.exposures[entry, NEXT_EXPOSURE]
        if _long_past(store, entry, time, cap_window):
            _forget(store, slot, before, entry)
        else:
            scratch.exposure_of[store.exposures[entry, CAMPAIGN]] = entry
            before = entry
        entry = after


@kernel(inner=True)
def _forget(store: Store, slot: int, before: int, entry: int) -> None:
    after = store.exposures[entry, NEXT_EXPOSURE]
    if before < 0:
        store.users[slot, _FIRST_EXPOSURE] = after
    else:
        store.exposures[before, NEXT_EXPOSURE] = after
    store.exposures[entry, NEXT_EXPOSURE] = store.used[FREE]
    store.used[FREE] = entry


@kernel(inner=True)
def release(store: Store, scratch: Scratch, slot: int) -> None:
    """Undo `advance_clocks` and `find_exposures`."""
    entry = store.users[slot, _FIRST_CLOCK]
    while entry >= 0:
        scratch.clock_of[store.clocks[entry, LINE]] = -1
        entry = store.clocks[entry, LINK]
    entry = store.users[slot, _FIRST_EXPOSURE]
    while entry >= 0:
        scratch.exposure_of[store.exposures[entry, CAMPAIGN]] = -1
        entry = store.exposures[entry, NEXT_EXPOSURE]


@kernel(inner=True)
def recent_frequency(store: Store, entry: int, time: int) -> float:
    """Impressions of the campaign that the user has seen lately, decayed by half in three days."""
    if entry < 0:
        return 0.0
    return store.frequency[entry] * math.exp2(-(time - store.exposures[entry, SEEN]) / HALF_LIFE)


@kernel(inner=True)
def capped(store: Store, entry: int, count: int, window: int, time: int) -> bool:
    """Whether ``count`` impressions already lie within the last ``window``."""
    if count == 0 or entry < 0 or store.exposures[entry, TIMES] < count:
        return False
    at = (store.exposures[entry, TIMES] - count) % store.ring.shape[1]
    return store.ring[entry, at] > time - window


@kernel(inner=True)
def expose(store: Store, slot: int, entry: int, campaign: int, time: int) -> int:
    """Record an impression; ``entry`` is the pair's exposure or -1. Return the exposure."""
    if entry < 0:
        entry = store.used[FREE]
        if entry >= 0:
            store.used[FREE] = store.exposures[entry, NEXT_EXPOSURE]
        else:
            entry = store.used[EXPOSURES]
            store.used[EXPOSURES] += 1
        store.exposures[entry, CAMPAIGN] = campaign
        store.exposures[entry, NEXT_EXPOSURE] = store.users[slot, _FIRST_EXPOSURE]
        store.exposures[entry, TIMES] = 0
        store.frequency[entry] = 0.0
        store.users[slot, _FIRST_EXPOSURE] = entry
    else:
        store.frequency[entry] = recent_frequency(store, entry, time)
    store.frequency[entry] += 1.0
    store.ring[entry, store.exposures[entry, TIMES] % store.ring.shape[1]] = time
    store.exposures[entry, SEEN] = time
    store.exposures[entry, TIMES] += 1
    return entry
