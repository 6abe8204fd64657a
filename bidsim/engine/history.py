"""The logged history before t = 0: impressions bought by a fixed logging policy, with their labels.

For each request of the history one campaign is picked uniformly, whatever its budget, targeting, policy or
flight, and shown. Users start from the stationary law at the history's beginning; nothing of it is carried
into the run.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bidsim.core.kernel import kernel
from bidsim.core.random import stream_key, uniform
from bidsim.core.reference import ref
from bidsim.core.units import NEVER
from bidsim.cvr.delay import fit_delay
from bidsim.cvr.features import WIDTH, fill_request
from bidsim.cvr.training import LoggedRows
from bidsim.engine.ahead import chunks_ahead
from bidsim.engine.impressions import credit, fill_own, fill_shared, happen, offer_price, read_clock, true_rates
from bidsim.engine.purchases import due, next_conversion
from bidsim.engine.store import empty_store, expose, find_clock, find_exposure, find_user, grown, has_room
from bidsim.engine.tables import Campaigns, Chunk, Keys, Log, Scratch, Store, empty_log, empty_scratch, roomier
from bidsim.response.truth import UNMOVED, Rates, Truth, credited_rate
from bidsim.traffic.users import Population, activity_share

if TYPE_CHECKING:
    from collections.abc import Callable

    from bidsim.traffic.stream import Traffic

_CHUNK = 65_536
_CAMPAIGN, _TIME, _LABEL, _CLICKED, _WHEN = range(5)


class _Logging(NamedTuple):
    """What the history's loop works on."""

    campaigns: Campaigns
    truth: Truth
    store: Store
    scratch: Scratch
    keys: Keys
    log: Log
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
    *,
    seed: int,
    mean_view: float,
    keep: float,
    train_from: int,
    evaluate_from: int,
    evaluate_until: int,
    impute: bool,
    progress: Callable[[int], None],
) -> tuple[LoggedRows, LoggedRows]:
    """Buy the history and return (rows to train on, rows to evaluate on), labels matured.

    Args:
        traffic: The history's stream of requests.
        campaigns: All campaigns of the scenario.
        truth: Parameters of the truth.
        keys: Random streams, of the history's own.
        seed: Seed of the world.
        mean_view: Mean view rate over placements.
        keep: Share of rows without a click that are kept while the history runs.
        train_from: Time from which rows are for training.
        evaluate_from: Time before which rows are for training, from which they are for evaluation.
        evaluate_until: Time after which labels have not matured by the history's end; rows are dropped,
        impute: unless this says that they are for training too, labels still to come being imputed.
        progress: Called with the number of requests done.

    """
    lines = truth.line_id.shape[0]
    logging = _Logging(
        campaigns, truth, empty_store(1), empty_scratch(len(campaigns.id), lines, 1, 1), keys, empty_log(4096, 5, 1, WIDTH),
        stream_key(seed, "history/campaign"), keep, traffic.arrivals.start, traffic.population,
        traffic.arrivals.total / traffic.arrivals.duration, np.bincount(truth.line, minlength=lines) / len(truth.line), mean_view,
    )  # fmt: skip

    def make(lo: int, hi: int) -> Chunk:
        return Chunk(*traffic.chunk(lo, hi), np.zeros((hi - lo, 1), np.int64), np.zeros((1, 1)))

    for chunk in chunks_ahead(traffic.arrivals.total, _CHUNK, make):
        at, count = 0, len(chunk.requests.time)
        while (at := _log_requests(ref(logging), ref(chunk), at)) < count:
            logging = _with_room(logging, lines)
        progress(count)
    _label_until(ref(logging), traffic.arrivals.start + traffic.arrivals.duration)
    return _split(
        logging,
        seed,
        train_from,
        evaluate_from,
        evaluate_until,
        traffic.arrivals.start + traffic.arrivals.duration if impute else None,
    )


def _with_room(logging: _Logging, lines: int) -> _Logging:
    return logging._replace(store=grown(logging.store, lines), log=roomier(logging.log, 1))


@kernel()
def _label_until(logging: _Logging, time: int) -> None:
    while due(logging.store, time):
        found = next_conversion(logging.store, logging.truth, logging.keys)
        if found.campaign >= 0 and found.row >= 0:
            logging.log.ints[found.row, _LABEL] = 1
            logging.log.ints[found.row, _WHEN] = found.time


@kernel()
def _log_requests(logging: _Logging, chunk: Chunk, lo: int) -> int:
    """Log requests ``lo`` onwards; return the first not logged, where an array must grow first."""
    for i in range(lo, chunk.requests.time.shape[0]):
        if (
            not has_room(logging.store, logging.truth.line_id.shape[0])
            or logging.log.used[0] >= logging.log.ints.shape[0]
        ):
            return i
        _label_until(logging, chunk.requests.time[i])
        _log_one(logging, chunk, i)
    return chunk.requests.time.shape[0]


@kernel(inner=True)
def _log_one(logging: _Logging, chunk: Chunk, i: int) -> None:
    store, scratch, keys, truth, campaigns = (
        logging.store,
        logging.scratch,
        logging.keys,
        logging.truth,
        logging.campaigns,
    )
    requests, latent = chunk.requests, chunk.latent
    time, request = requests.time[i], requests.number[i]
    slot = find_user(store, truth, keys, requests.user[i], latent.intent[i], latent.interest[i], False, logging.start)
    campaign = campaigns.by_name[int(uniform(logging.pick, request, 0, 0) * campaigns.id.shape[0])]
    line = truth.line[campaign]
    scratch.clock_of[line] = find_clock(store, truth, keys, slot, line, time)
    scratch.exposure_of[campaign] = find_exposure(store, slot, campaign, time, campaigns.cap_window)
    offer = offer_price(truth, keys, chunk, i, campaign)
    rates = true_rates(truth, store, scratch, chunk, i, campaign, offer, UNMOVED)
    events = happen(keys, rates, request, campaigns.id[campaign])
    earns = events.clicked if truth.by_click else events.viewed
    row = -1
    if earns or uniform(logging.pick, request, 1, 0) < logging.keep:
        row = logging.log.used[0]
        logging.log.used[0] += 1
        head = scratch.head
        fill_request(head, requests, i)
        fill_shared(logging.log.features[row], head, campaigns, campaign)
        fill_own(
            logging.log.features[row],
            truth,
            store,
            scratch,
            campaign,
            campaigns.price[campaign] * math.exp(offer),
            time,
        )
        logging.log.ints[row, _CAMPAIGN] = campaign
        logging.log.ints[row, _TIME] = time
        logging.log.ints[row, _LABEL] = 0
        logging.log.ints[row, _CLICKED] = earns
        logging.log.ints[row, _WHEN] = -NEVER
        logging.log.floats[row, 0] = _credited(logging, rates, campaign, requests.user[i], time)
    credit(
        truth,
        store,
        scratch,
        keys,
        chunk,
        i,
        slot,
        campaign,
        campaigns.id[campaign],
        1,
        row,
        0,
        0,
        events,
        False,
        logging.start,
    )
    expose(store, slot, scratch.exposure_of[campaign], campaign, time)
    scratch.clock_of[line], scratch.exposure_of[campaign] = -1, -1


@kernel(inner=True)
def _credited(logging: _Logging, rates: Rates, campaign: int, user: int, time: int) -> float:
    """True probability of the label: the user's later clicks (or views) of the same line would take the credit."""
    truth = logging.truth
    line = truth.line[campaign]
    clock = read_clock(logging.store, logging.scratch.clock_of[line], time)
    earns = logging.mean_view * rates.clicked if truth.by_click else logging.mean_view
    displaced = logging.rate * activity_share(logging.population, user) * logging.line_share[line] * earns
    return credited_rate(truth, campaign, rates, clock.buyer, clock.age, clock.scale, clock.coming, displaced)


def _split(
    logging: _Logging, seed: int, train_from: int, evaluate_from: int, evaluate_until: int, now: int | None
) -> tuple[LoggedRows, LoggedRows]:
    """Thin the negatives that earned credit like the others, then split by time; with ``now``, fresh rows are for training too."""
    used = int(logging.log.used[0])
    if now is not None:
        _impute(logging.log.ints[:used], seed, train_from, evaluate_until, now)
    ints, rates, features = logging.log.ints[:used], logging.log.floats[:used, 0], logging.log.features[:used]
    dice = thinned(seed, used)
    kept = (ints[:, _LABEL] == 1) | (ints[:, _CLICKED] == 0) | (dice < logging.keep)

    def part(chosen: NDArray[np.bool_]) -> LoggedRows:
        rows = kept & chosen
        label = ints[rows, _LABEL].astype(np.float64)
        negatives = int((label == 0).sum())
        logged = int(label.sum()) + round(negatives / logging.keep)
        return LoggedRows(
            np.ascontiguousarray(features[rows]),
            label,
            rates[rows].copy(),
            ints[rows, _CAMPAIGN].copy(),
            logging.keep,
            logged,
            np.maximum(ints[rows, _WHEN] - ints[rows, _TIME], -1),
        )

    time = ints[:, _TIME]
    fresh = time >= evaluate_until if now is not None else np.zeros(used, np.bool_)
    return part(((time >= train_from) & (time < evaluate_from)) | fresh), part(
        (time >= evaluate_from) & (time < evaluate_until)
    )


def _impute(ints: NDArray[np.int64], seed: int, train_from: int, fresh_from: int, now: int) -> None:
    """Give fresh rows that may still convert the label that they will have with the chance that a delay model says.

    The model is fitted to all rows that earned credit, by what had arrived ``now`` (Chapelle, KDD 2014).
    """
    rows = np.flatnonzero((ints[:, _CLICKED] == 1) & (ints[:, _TIME] >= train_from))
    seen = ints[rows, _LABEL] == 1
    if not seen.any():
        return
    elapsed = (now - ints[rows, _TIME]).astype(np.float64)
    model = fit_delay((ints[rows, _WHEN] - ints[rows, _TIME])[seen].astype(np.float64), elapsed[~seen])
    waiting = ~seen & (ints[rows, _TIME] >= fresh_from)
    dice = _thinning(stream_key(seed, "history/imputing"), len(ints))[rows[waiting]]
    ints[rows[waiting], _LABEL] = dice < model.still_to_come(elapsed[waiting])


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
