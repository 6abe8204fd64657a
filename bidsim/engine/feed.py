"""The shop's feed of purchases to its bidders: at once and all of them, or later, or only those that ads caused."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.bidder.memory import Memory, learn_purchase, meet, memory_has_room
from bidsim.core.columns import columns
from bidsim.core.kernel import kernel
from bidsim.core.units import NEVER
from bidsim.engine.users import FIRST_CLOCK, Store
from bidsim.kernels.heap import heap_pop, heap_push
from bidsim.response.purchases import LAST, LINE, LINK, PENDING, TOLD, USER, advance, buy, next_purchase
from bidsim.response.truth import Truth

I64 = NDArray[np.int64]
AT_ONCE, QUEUED, SILENT = range(3)
"""How purchases are told: with the user's next request, which is as good as at once; through the queue; not at all."""
REPORT = columns(("user", "line", "time", "link"))
"""Columns of `Feed.reports`."""
WAITING, FREE, TOP, MISSED = range(4)
"""Columns of `Feed.used`: reports that wait, head of the free rows, rows ever used, reports for which there was no
room."""
ROOM = 4096
"""Reports that surely fit before a request: purchases of one user within the feed's delay are far fewer."""


class Feed(NamedTuple):
    """Reports of purchases on their way to bidders.

    Fields: ``heap`` int64[n, 2], due time and row; ``reports`` int64[n, 4]; ``used`` int64[4]; ``how`` `AT_ONCE`,
    `QUEUED` or `SILENT`; ``caused`` 1 where only ad-driven purchases are told; ``delay`` microseconds.
    """

    heap: I64
    reports: I64
    used: I64
    how: int
    caused: int
    delay: int


def open_feed(told: str, delay: int) -> Feed:
    """Open a feed that tells ``all`` purchases, only ``ad_driven`` ones, or ``none``, after ``delay`` microseconds."""
    how = SILENT if told == "none" else AT_ONCE if told == "all" and delay == 0 else QUEUED
    rows = 2 * ROOM if how == QUEUED else 1
    return Feed(
        heap=np.zeros((rows, 2), np.int64),
        reports=np.zeros((rows, len(REPORT)), np.int64),
        used=np.array([0, -1, 0, 0], np.int64),
        how=how,
        caused=int(told == "ad_driven"),
        delay=delay,
    )


@kernel()
def feed_has_room(feed: Feed) -> bool:
    """Whether the reports of one more request surely fit."""
    return feed.how != QUEUED or feed.used[WAITING] + ROOM <= feed.reports.shape[0]


def grown_feed(feed: Feed) -> Feed:
    """Return a feed with room for one more request; itself where it has that."""
    if feed.how != QUEUED or int(feed.used[WAITING]) + ROOM <= len(feed.reports):
        return feed
    old, rows = len(feed.reports), 2 * len(feed.reports)
    larger = feed._replace(heap=np.zeros((rows, 2), np.int64), reports=np.zeros((rows, len(REPORT)), np.int64))
    larger.heap[:old], larger.reports[:old] = feed.heap, feed.reports
    return larger


@kernel(inner=True)
def report(feed: Feed, memory: Memory, clock: I64, caused: bool, now: int) -> None:
    """Tell of a clock's latest purchase, now or when it is due; ``caused`` says whether an ad did it."""
    if feed.how != QUEUED or (feed.caused and not caused):
        return
    due = clock[LAST] + feed.delay
    if due <= now:
        learn_purchase(memory, meet(memory, clock[USER]), clock[LINE], clock[LAST])
        return
    row = feed.used[FREE]
    if row >= 0:
        feed.used[FREE] = feed.reports[row, REPORT.link]
    elif feed.used[TOP] < feed.reports.shape[0]:
        row = feed.used[TOP]
        feed.used[TOP] += 1
    else:
        feed.used[MISSED] += 1
        return
    feed.reports[row, REPORT.user] = clock[USER]
    feed.reports[row, REPORT.line] = clock[LINE]
    feed.reports[row, REPORT.time] = clock[LAST]
    feed.used[WAITING] = heap_push(feed.heap, feed.used[WAITING], due, row)


@kernel(inner=True)
def take_reports(feed: Feed, memory: Memory, time: int, lines: int) -> bool:
    """Deliver the reports that are due by ``time``; False where the memory must grow first."""
    while feed.used[WAITING] > 0 and feed.heap[0, 0] <= time:
        if not memory_has_room(memory, lines, 1):
            return False
        row = feed.heap[0, 1]
        told = feed.reports[row]
        feed.used[WAITING] = heap_pop(feed.heap, feed.used[WAITING])
        learn_purchase(memory, meet(memory, told[REPORT.user]), told[REPORT.line], told[REPORT.time])
        told[REPORT.link] = feed.used[FREE]
        feed.used[FREE] = row
    return True


@kernel(inner=True)
def advance_and_report(
    store: Store, entry: int, truth: Truth, key: np.uint64, feed: Feed, memory: Memory, time: int
) -> None:
    """Bring one clock up to ``time`` and tell of each purchase."""
    clock, scale = store.clocks[entry], store.scale[entry]
    if clock[TOLD] == -NEVER and clock[LAST] > -NEVER:
        report(feed, memory, clock, False, time)  # the last purchase before the clock was first looked at
    while next_purchase(clock) <= time:
        caused = clock[PENDING] == next_purchase(clock)
        buy(clock, truth, key, scale)
        report(feed, memory, clock, caused, time)
    clock[TOLD] = clock[LAST]
    advance(clock, truth, key, scale, time)


@kernel(inner=True)
def bring_up(
    store: Store,
    slot: int,
    truth: Truth,
    key: np.uint64,
    feed: Feed,
    memory: Memory,
    bought: I64,
    clock_of: I64,
    time: int,
) -> None:
    """Bring a user's clocks up to ``time``, say where each is, and let the shop tell its bidders of purchases.

    Args:
        store: Users.
        slot: The user's place among them.
        truth: Parameters.
        key: Random stream of organic purchases.
        feed: The shop's feed,
        memory: to what its bidders remember,
        bought: or with the request: int64[lines], when the user bought; written.
        clock_of: int64[lines], where the clock of each line is; written.
        time: Microseconds.

    """
    entry = store.users[slot, FIRST_CLOCK]
    while entry >= 0:
        clock = store.clocks[entry]
        if feed.how == QUEUED:
            advance_and_report(store, entry, truth, key, feed, memory, time)
        else:
            advance(clock, truth, key, store.scale[entry], time)
            if feed.how == AT_ONCE:
                bought[clock[LINE]] = clock[LAST]
        clock_of[clock[LINE]] = entry
        entry = clock[LINK]
