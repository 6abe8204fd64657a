"""Users as they are: their purchase clocks, made at first sight from hidden intent, and purchases to come."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.bidder.memory import EXPOSURES, FILL, PURCHASES, SLOT, WHO, Memory, grown_table, place_of, resized, roomy
from bidsim.core.kernel import kernel
from bidsim.core.units import NEVER
from bidsim.response.purchases import (
    CLOCK,
    EXPOSED,
    LINE,
    LINK,
    NOT_EXPOSED,
    SERVED,
    TOLD,
    advance,
    is_buyer,
    start_clock,
    user_scale,
)
from bidsim.response.truth import Truth

I64 = NDArray[np.int64]
USERS, CLOCKS, EVENTS = range(3)
"""Columns of `Store.used`."""
USER, FIRST_CLOCK = range(2)
"""Columns of `Store.users`."""


class Store(NamedTuple):
    """Users seen so far; grown between calls of the loop.

    Fields: ``table`` int64[capacity, 2], open addressing from user + 1 to slot; ``users`` int64[slots, 2]: user and
    first clock; ``clocks`` int64[n, columns] and ``scale`` float64[n] (see response.purchases); ``used`` int64[3]:
    users, clocks, events; ``heap`` int64[n, 2], purchases to come that may be credited.
    """

    table: I64
    users: I64
    clocks: I64
    scale: NDArray[np.float64]
    used: I64
    heap: I64


def empty_store(users: int = 1024) -> Store:
    """Allocate a store."""
    return Store(
        table=np.zeros((4 * users, 2), np.int64),
        users=np.zeros((users, 2), np.int64),
        clocks=np.zeros((users, len(CLOCK)), np.int64),
        scale=np.zeros(users),
        used=np.zeros(3, np.int64),
        heap=np.zeros((users, 2), np.int64),
    )


@kernel()
def has_room(store: Store, lines: int, positions: int = 1) -> bool:
    """Whether one more request, which may bring a user, its clocks and events, surely fits."""
    used = store.used
    return (
        used[USERS] + 1 < min(store.users.shape[0], int(store.table.shape[0] * FILL))
        and used[CLOCKS] + lines < store.clocks.shape[0]
        and used[EVENTS] + 1 + positions < store.heap.shape[0]
    )


def grown(store: Store, lines: int, positions: int = 1) -> Store:
    """Return a store with twice the room wherever room is short; contents stay."""
    used = store.used
    users = roomy(len(store.users), int(used[USERS]) + 1)
    clocks = roomy(len(store.clocks), int(used[CLOCKS]) + lines)
    return store._replace(
        table=grown_table(store.table, int(used[USERS])),
        users=resized(store.users, users),
        clocks=resized(store.clocks, clocks),
        scale=resized(store.scale, clocks),
        heap=resized(store.heap, roomy(len(store.heap), int(used[EVENTS]) + 1 + positions)),
    )


@kernel(inner=True)
def find_user(
    store: Store,
    truth: Truth,
    key: np.uint64,
    user: int,
    intent: float,
    interest: int,
    exposed: int,
    start: int,
    guess: int,
) -> int:
    """Slot of a user; at first sight the user's clocks are started.

    Args:
        store: Users.
        truth: Parameters.
        key: Random stream of organic purchases.
        user: Who it is,
        intent: with this hidden intent,
        interest: and this hidden interest.
        exposed: What the column ``exposed`` of new clocks begins with.
        start: Time at which clocks begin.
        guess: Slot at which the user is looked for first, which saves a look into the table.

    """
    if guess < store.used[USERS] and store.users[guess, USER] == user:
        return guess
    at = place_of(store.table, user)
    if store.table[at, WHO] != 0:
        return store.table[at, SLOT]
    slot = store.used[USERS]
    store.used[USERS] += 1
    store.table[at, WHO] = user + 1
    store.table[at, SLOT] = slot
    store.users[slot, USER] = user
    store.users[slot, FIRST_CLOCK] = -1
    for line in range(truth.line_id.shape[0]):
        if is_buyer(truth, key, user, line, intent, interest):
            add_clock(store, truth, key, slot, line, True, intent, exposed, start)
    return slot


@kernel(inner=True)
def from_the_start(holdout: bool) -> int:
    """What the column ``exposed`` begins with: with a hold-out, purchases count from the first win only."""
    return NOT_EXPOSED if holdout else SERVED


@kernel(inner=True)
def add_clock(
    store: Store,
    truth: Truth,
    key: np.uint64,
    slot: int,
    line: int,
    buyer: bool,
    intent: float,
    exposed: int,
    start: int,
) -> int:
    """Start a clock for (user, line) and link it to the user; arguments as in `find_user`."""
    entry = store.used[CLOCKS]
    store.used[CLOCKS] += 1
    store.scale[entry] = user_scale(truth, line, intent)
    clock = store.clocks[entry]
    start_clock(clock, truth, key, store.users[slot, USER], line, buyer, store.scale[entry], start)
    clock[EXPOSED] = exposed
    clock[TOLD] = -NEVER
    clock[LINK] = store.users[slot, FIRST_CLOCK]
    store.users[slot, FIRST_CLOCK] = entry
    return entry


@kernel(inner=True)
def find_clock(store: Store, truth: Truth, key: np.uint64, slot: int, line: int, time: int) -> int:
    """Clock of a user and one line, brought up to ``time``; -1 where there is none."""
    entry = store.users[slot, FIRST_CLOCK]
    while entry >= 0 and store.clocks[entry, LINE] != line:
        entry = store.clocks[entry, LINK]
    if entry >= 0:
        advance(store.clocks[entry], truth, key, store.scale[entry], time)
    return entry


@kernel(inner=True)
def let_go(store: Store, clock_of: I64, bought: I64, slot: int) -> None:
    """Forget where the user's clocks are and what was told of them, when the request is over."""
    entry = store.users[slot, FIRST_CLOCK]
    while entry >= 0:
        line = store.clocks[entry, LINE]
        clock_of[line], bought[line] = -1, -NEVER
        entry = store.clocks[entry, LINK]


def bytes_per_user(store: Store, memory: Memory) -> float:
    """Bytes of state for each user seen so far, of what is true and of what is remembered."""
    used, known = store.used, memory.used
    parts = (
        (int(used[USERS]), (store.users,)),
        (int(used[CLOCKS]), (store.clocks, store.scale)),
        (int(used[EVENTS]), (store.heap,)),
        (int(known[EXPOSURES]), (memory.exposures, memory.frequency, memory.ring)),
        (int(known[PURCHASES]), (memory.purchases,)),
    )
    rows = sum(count * array[0:1].nbytes for count, arrays in parts for array in arrays)
    return (rows + store.table.nbytes + memory.table.nbytes) / max(int(used[USERS]), 1)
