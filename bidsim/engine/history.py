"""The logged history before t = 0: impressions bought by a fixed logging policy, with their labels.

For each request of the history one campaign is picked uniformly, whatever its budget, targeting, policy or
flight, and shown. Users start from the stationary law at the history's beginning; nothing of it is carried
into the run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.bidder.memory import (
    SLOT,
    Memory,
    empty_memory,
    expose,
    find_exposure,
    grown_memory,
    known_purchase,
    meet,
    memory_has_room,
    recent_frequency,
)
from bidsim.bidder.rows import fill_own, fill_shared
from bidsim.bidder.tables import Campaigns
from bidsim.core.columns import columns
from bidsim.core.kernel import kernel
from bidsim.core.random import stream_key, uniform
from bidsim.core.reference import ref
from bidsim.core.units import NEVER
from bidsim.cvr.delay import fit_delay
from bidsim.cvr.features import WIDTH, fill_request
from bidsim.cvr.training import LoggedRows
from bidsim.engine.ahead import chunks_ahead
from bidsim.engine.feed import AT_ONCE, Feed, advance_and_report, feed_has_room, grown_feed, take_reports
from bidsim.engine.impressions import Shown, credit, earns_credit, happen, offer_price, read_need, true_rates
from bidsim.engine.purchases import due, next_conversion
from bidsim.engine.rows import Log, empty_log, log_has_room, roomier
from bidsim.engine.tables import Chunk, Keys
from bidsim.engine.users import FIRST_CLOCK, Store, add_clock, empty_store, find_clock, find_user, grown, has_room
from bidsim.response.purchases import LAST, LINE, LINK, SERVED
from bidsim.response.truth import UNMOVED, Need, Rates, Truth, credited_rate
from bidsim.traffic.users import Population, activity_share

if TYPE_CHECKING:
    from collections.abc import Callable

    from bidsim.traffic.stream import Traffic

_CHUNK = 65_536
ROW = columns(("campaign", "time", "label", "earned", "when"))
"""Columns of the log: whether a conversion was credited, whether the impression earned credit, and when it came."""


@dataclass(frozen=True)
class HistoryPlan:
    """How the history is logged.

    Attributes:
        seed: Seed of the world.
        mean_view: Mean view rate over placements.
        keep: Share of rows without a click that are kept while the history runs.
        train_from: Time from which rows are for training.
        evaluate_from: Time before which rows are for training, from which they are for evaluation.
        evaluate_until: Time after which labels have not matured by the history's end; rows are dropped,
        impute: unless this says that they are for training too, labels still to come being imputed.

    """

    seed: int
    mean_view: float
    keep: float
    train_from: int
    evaluate_from: int
    evaluate_until: int
    impute: bool


class _Logging(NamedTuple):
    """What the history's loop works on."""

    campaigns: Campaigns
    truth: Truth
    store: Store
    memory: Memory
    feed: Feed
    keys: Keys
    log: Log
    head: NDArray[np.float32]
    pick: np.uint64
    keep: float
    start: int
    population: Population
    rate: float
    line_share: NDArray[np.float64]
    mean_view: float


def log_history(
    traffic: Traffic,
    campaigns: Campaigns,
    truth: Truth,
    keys: Keys,
    feed: Feed,
    plan: HistoryPlan,
    progress: Callable[[int], None],
) -> tuple[LoggedRows, LoggedRows]:
    """Buy the history and return (rows to train on, rows to evaluate on), labels matured.

    Args:
        traffic: The history's stream of requests.
        campaigns: All campaigns of the scenario.
        truth: Parameters of the truth.
        keys: Random streams, of the history's own.
        feed: The shop's feed of purchases, as it will be while the scenario runs.
        plan: How it is logged.
        progress: Called with the number of requests done.

    """
    lines, arrivals = truth.line_id.shape[0], traffic.arrivals
    logging = _Logging(
        campaigns=campaigns,
        truth=truth,
        store=empty_store(),
        memory=empty_memory(1),
        feed=feed,
        keys=keys,
        log=empty_log(4096, len(ROW), 1, WIDTH),
        head=np.zeros(WIDTH, np.float32),
        pick=stream_key(plan.seed, "history/campaign"),
        keep=plan.keep,
        start=arrivals.start,
        population=traffic.population,
        rate=arrivals.total / arrivals.duration,
        line_share=np.bincount(truth.line, minlength=lines) / len(truth.line),
        mean_view=plan.mean_view,
    )

    def make(lo: int, hi: int) -> Chunk:
        return Chunk(*traffic.chunk(lo, hi), np.zeros((hi - lo, 1), np.int64), np.zeros((1, 1)))

    for chunk in chunks_ahead(arrivals.total, _CHUNK, make):
        at, count = 0, len(chunk.requests.time)
        while (at := _log_requests(ref(logging), ref(chunk), at)) < count:
            logging = _with_room(logging, lines)
        progress(count)
    end = arrivals.start + arrivals.duration
    while not _label_until(ref(logging), end):
        logging = _with_room(logging, lines)
    return _split(logging, plan, end if plan.impute else None)


def _with_room(logging: _Logging, lines: int) -> _Logging:
    return logging._replace(
        store=grown(logging.store, lines),
        memory=grown_memory(logging.memory, lines, 2),
        feed=grown_feed(logging.feed),
        log=roomier(logging.log, 1),
    )


@kernel()
def _label_until(logging: _Logging, time: int) -> bool:
    """Label the rows whose conversions come by ``time``; False where the memory must grow first."""
    lines = logging.truth.line_id.shape[0]
    while due(logging.store, time):
        if logging.feed.how and not memory_has_room(logging.memory, lines, 1):
            return False
        found = next_conversion(logging.store, logging.truth, logging.keys, logging.feed, logging.memory)
        if found.campaign >= 0 and found.row >= 0:
            logging.log.ints[found.row, ROW.label] = 1
            logging.log.ints[found.row, ROW.when] = found.time
    return True


@kernel()
def _log_requests(logging: _Logging, chunk: Chunk, lo: int) -> int:
    """Log requests ``lo`` onwards; return the first not logged, where an array must grow first."""
    lines, feed = logging.truth.line_id.shape[0], logging.feed
    for i in range(lo, chunk.requests.time.shape[0]):
        time = chunk.requests.time[i]
        room = has_room(logging.store, lines) and log_has_room(logging.log, 1) and feed_has_room(feed)
        if not room or not memory_has_room(logging.memory, lines, 2):
            return i
        if not _label_until(logging, time):
            return i
        if feed.how and not take_reports(feed, logging.memory, time, lines):
            return i
        _log_one(logging, chunk, i)
    return chunk.requests.time.shape[0]


@kernel(inner=True)
def _log_one(logging: _Logging, chunk: Chunk, i: int) -> None:
    store, memory, keys, truth, campaigns = (
        logging.store,
        logging.memory,
        logging.keys,
        logging.truth,
        logging.campaigns,
    )
    requests, intent, interest = chunk.requests, chunk.latent.intent[i], chunk.latent.interest[i]
    time, request, user = requests.time[i], requests.number[i], requests.user[i]
    met = meet(memory, user)
    guess = memory.table[met, SLOT]
    slot = find_user(store, truth, keys.organic, user, intent, interest, SERVED, logging.start, guess)
    campaign = campaigns.by_name[int(uniform(logging.pick, request, 0, 0) * campaigns.id.shape[0])]
    line = truth.line[campaign]
    clock = _find_clock(logging, slot, line, time)
    exposure = find_exposure(memory, met, campaign, time, campaigns.cap_window)
    offer = offer_price(truth, keys, chunk, i, campaign)
    need = read_need(store, clock, time)
    rates = true_rates(truth, chunk, i, campaign, need, offer, recent_frequency(memory, exposure, time), UNMOVED)
    events = happen(keys, rates, request, campaigns.id[campaign])
    earns = events.clicked if truth.by_click else events.viewed
    row = -1
    if earns or uniform(logging.pick, request, 1, 0) < logging.keep:
        row = logging.log.used[0]
        logging.log.used[0] += 1
        bought = -NEVER
        if logging.feed.how:
            bought = known_purchase(memory, met, line)
        elif clock >= 0:
            bought = store.clocks[clock, LAST]
        fill_request(logging.head, requests, i)
        features = logging.log.features[row]
        fill_shared(features, logging.head, campaigns, campaign)
        fill_own(features, memory, exposure, bought, campaigns.price[campaign] * math.exp(offer), time)
        _keep_row(logging, row, campaign, time, earns)
        logging.log.floats[row, 0] = _credited(logging, rates, campaign, user, need)
    if earns_credit(truth, events):
        if clock < 0:
            clock = add_clock(store, truth, keys.organic, slot, line, False, intent, SERVED, logging.start)
        credit(truth, store, keys, clock, request, time, Shown(campaign, campaigns.id[campaign], 1, row, 0, 0), events)
    expose(memory, met, exposure, campaign, time)


@kernel(inner=True)
def _find_clock(logging: _Logging, slot: int, line: int, time: int) -> int:
    """Clock of a user and a line, brought up to ``time``, of whose purchases the shop's feed has told; -1 for none."""
    store, truth, key = logging.store, logging.truth, logging.keys.organic
    if logging.feed.how == AT_ONCE:
        return find_clock(store, truth, key, slot, line, time)
    entry, found = store.users[slot, FIRST_CLOCK], -1
    while entry >= 0:
        advance_and_report(store, entry, truth, key, logging.feed, logging.memory, time)
        found = entry if store.clocks[entry, LINE] == line else found
        entry = store.clocks[entry, LINK]
    return found


@kernel(inner=True)
def _keep_row(logging: _Logging, row: int, campaign: int, time: int, earns: int) -> None:
    ints = logging.log.ints[row]
    ints[ROW.campaign] = campaign
    ints[ROW.time] = time
    ints[ROW.label] = 0
    ints[ROW.earned] = earns
    ints[ROW.when] = -NEVER


@kernel(inner=True)
def _credited(logging: _Logging, rates: Rates, campaign: int, user: int, need: Need) -> float:
    """True probability of the label: the user's later clicks (or views) of the same line would take the credit."""
    truth = logging.truth
    earns = logging.mean_view * rates.clicked if truth.by_click else logging.mean_view
    share = logging.line_share[truth.line[campaign]]
    displaced = logging.rate * activity_share(logging.population, user) * share * earns
    return credited_rate(truth, campaign, rates, need, displaced)


def _split(logging: _Logging, plan: HistoryPlan, now: int | None) -> tuple[LoggedRows, LoggedRows]:
    """Thin the negatives that earned credit like the others, then split by time.

    With ``now``, fresh rows are for training too.
    """
    used = int(logging.log.used[0])
    if now is not None:
        _impute(logging.log.ints[:used], plan, now)
    ints, rates, features = logging.log.ints[:used], logging.log.floats[:used, 0], logging.log.features[:used]
    dice = thinned(plan.seed, used)
    kept = (ints[:, ROW.label] == 1) | (ints[:, ROW.earned] == 0) | (dice < logging.keep)

    def part(chosen: NDArray[np.bool_]) -> LoggedRows:
        rows = kept & chosen
        label = ints[rows, ROW.label].astype(np.float64)
        negatives = int((label == 0).sum())
        logged = int(label.sum()) + round(negatives / logging.keep)
        return LoggedRows(
            np.ascontiguousarray(features[rows]),
            label,
            rates[rows].copy(),
            ints[rows, ROW.campaign].copy(),
            logging.keep,
            logged,
            np.maximum(ints[rows, ROW.when] - ints[rows, ROW.time], -1),
        )

    time = ints[:, ROW.time]
    fresh = time >= plan.evaluate_until if now is not None else np.zeros(used, np.bool_)
    train = (time >= plan.train_from) & (time < plan.evaluate_from)
    return part(train | fresh), part((time >= plan.evaluate_from) & (time < plan.evaluate_until))


def _impute(ints: NDArray[np.int64], plan: HistoryPlan, now: int) -> None:
    """Give fresh rows that may still convert the label that they will have with the chance that a delay model says.

    The model is fitted to all rows that earned credit, by what had arrived ``now`` (Chapelle, KDD 2014).
    """
    rows = np.flatnonzero((ints[:, ROW.earned] == 1) & (ints[:, ROW.time] >= plan.train_from))
    seen = ints[rows, ROW.label] == 1
    if not seen.any():
        return
    elapsed = (now - ints[rows, ROW.time]).astype(np.float64)
    model = fit_delay((ints[rows, ROW.when] - ints[rows, ROW.time])[seen].astype(np.float64), elapsed[~seen])
    waiting = ~seen & (ints[rows, ROW.time] >= plan.evaluate_until)
    dice = _thinning(stream_key(plan.seed, "history/imputing"), len(ints))[rows[waiting]]
    ints[rows[waiting], ROW.label] = dice < model.still_to_come(elapsed[waiting])


def thinned(seed: int, count: int) -> NDArray[np.float64]:
    """Dice of the first ``count`` logged rows: a negative is kept where its dice lie below the share kept."""
    made: NDArray[np.float64] = _thinning(stream_key(seed, "history/thinning"), count)
    return made


@kernel(allocates=True)
def _thinning(key: np.uint64, count: int) -> NDArray[np.float64]:
    dice = np.empty(count)
    for row in range(count):
        dice[row] = uniform(key, row, 0, 0)
    return dice
