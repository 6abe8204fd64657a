"""From the loop's counters to named tables; nothing is judged here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bidsim.bidder.exploration import ARMS
from bidsim.bidder.ledger import ACCOUNT, NO_LIMIT
from bidsim.core.levers import BID, LEVERS
from bidsim.core.reasons import NOT_TARGETED, REASONS, WON
from bidsim.core.requests import CATEGORIES
from bidsim.cvr.features import CAMPAIGN_FEATURES, FEATURES
from bidsim.engine.exploration import LOG, NOT_EXPLORED, SHIFT
from bidsim.engine.mail import COUNTS as NOTICE_COUNTS
from bidsim.engine.rows import (
    CONVERSION_INTS,
    DECISION,
    DECISION_FLOATS,
    DECISION_INTS,
    WIN,
    WIN_F,
    WIN_FLOATS,
    WIN_INTS,
    Log,
)
from bidsim.engine.tables import State
from bidsim.observers import exploration, funnel, landscape, latency, population, slices, timeline
from bidsim.response.purchases import BOUGHT, EXPOSED, HELD_OUT, LINE, PLAIN_BOUGHT, SERVED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bidsim.core.result import Columns


_EXPLORED_INTS = ("request", "time_us", "user", "viewed", "clicked", "converted", "conversion_time_us", "payment_nanos")
_EXPLORED_FLOATS = ("pcvr", "true_rate", "direct_rate", "natural_rate", "natural_direct_rate")


@dataclass(frozen=True)
class Names:
    """Names behind the codes, for the tables that a run writes."""

    campaigns: Sequence[str]
    advertisers: Sequence[str]
    products: Sequence[str]
    seats: Sequence[str]
    policies: Sequence[str]
    pacers: Sequence[str]
    lines: Sequence[tuple[str, str]]
    vocabulary: Mapping[str, Sequence[str]]
    bidders: Sequence[str]
    pairs: Sequence[tuple[str, str]]
    groups: Sequence[tuple[str, str]]
    delays: NDArray[np.int64]
    budgets: Sequence[int]
    format: str


def output_tables(sim: State, names: Names, requests: int, clocks: NDArray[np.int64]) -> dict[str, Columns]:
    """Return all tables of a finished run; ``clocks`` are the purchase clocks at its end."""
    return {
        "campaigns": _campaigns(sim, names, requests),
        "timeline": _timeline(sim, names),
        "slices": _slices(sim, names),
        "scores": _scores(sim, names),
        "population": _population(sim, names),
        "delays": _delays(names),
        "auctions": _auctions(sim, names),
        "requests": _requests(sim.world.logs.decisions, names),
        "bids": _bids(sim.world.logs.decisions, names),
        "conversions": _conversions(sim, names),
        "landscape": _landscape(sim, names),
        "incrementality": _incrementality(clocks, names),
        "market": _market(sim),
        "seats": _seats(sim, names),
        "latency": _latency(sim, names),
        "explorations": _explorations(sim, names),
        "bid_arms": _bid_arms(sim, names),
        **({"notices": _notices(sim)} if sim.world.rules.late else {}),
    }


def _names(codes: Any, names: Sequence[str]) -> list[str]:
    return [names[c] for c in codes.tolist()]


def _campaigns(sim: State, names: Names, requests: int) -> Columns:
    counters = sim.world.counters
    lost = sim.bidder.reasons.copy()
    lost[:, NOT_TARGETED] = requests - lost.sum(axis=1)
    return {
        "campaign": list(names.campaigns),
        "advertiser": list(names.advertisers),
        "product": list(names.products),
        "seat": list(names.seats),
        "policy": list(names.policies),
        "pacing": list(names.pacers),
        "budget_nanos": _budgets(sim, names),
        "conversion_value_nanos": sim.bidder.campaigns.value.copy(),
        "requests": np.full(len(lost), requests, np.int64),
        "eligible": counters.timeline[:, :, timeline.ELIGIBLE].sum(axis=1),
        "bids": counters.timeline[:, :, timeline.BIDS].sum(axis=1),
        "wins": lost[:, WON].copy(),
        **{name: counters.counts[:, j].copy() for j, name in enumerate(funnel.COUNTS)},
        **{name: counters.amounts[:, j].copy() for j, name in enumerate(funnel.AMOUNTS)},
        **{f"{name}_sum": counters.sums[:, j].copy() for j, name in enumerate(funnel.SUMS)},
        **{f"lost_{name}": lost[:, j].copy() for j, name in enumerate(REASONS)},
    }


def _budgets(sim: State, names: Names) -> NDArray[np.int64]:
    """Budgets as they ended, nanos; where one begins anew with each episode, that of an episode."""
    ends = sim.bidder.ledger.accounts[: len(names.campaigns), ACCOUNT.budget]
    return np.where(ends < NO_LIMIT, ends, np.array(names.budgets, np.int64))


def _timeline(sim: State, names: Names) -> Columns:
    campaigns, buckets, _ = sim.world.counters.timeline.shape
    cells = sim.world.counters.timeline.reshape(campaigns * buckets, -1)
    return {
        "campaign": [name for name in names.campaigns for _ in range(buckets)],
        "start_us": np.tile(np.arange(buckets, dtype=np.int64) * sim.world.rules.bucket, campaigns),
        **{name: cells[:, j].copy() for j, name in enumerate(timeline.COLUMNS)},
    }


def _single(names: Names) -> list[tuple[str, str]]:
    return [(field, level) for field in CATEGORIES for level in names.vocabulary[field]]


def _slices(sim: State, names: Names) -> Columns:
    """Cells that hold anything: window, level of a field or pair, product line."""
    counted = sim.world.counters.slices
    levels = _single(names) + [
        (f"{a} x {b}", f"{x} x {y}") for a, b in names.pairs for x in names.vocabulary[a] for y in names.vocabulary[b]
    ]
    asked = counted.offers.shape[0] > 0
    held = counted.cells.any(axis=3) | (counted.arrived > 0) | (counted.offers[..., 0] > 0 if asked else False)
    windows, level, group = np.nonzero(held)
    columns: Columns = {
        "field": _names(level, [field for field, _ in levels]),
        "level": _names(level, [name for _, name in levels]),
        "advertiser": _names(group, [advertiser for advertiser, _ in names.groups]),
        "product": _names(group, [product for _, product in names.groups]),
        "start_us": windows * sim.world.rules.slice_window,
        **{name: counted.cells[windows, level, group, j] for j, name in enumerate(slices.COUNTS)},
        "arrived": counted.arrived[windows, level, group],
        **{
            f"{name}_sum": counted.cells[windows, level, group, len(slices.COUNTS) + j] * slices.UNIT
            for j, name in enumerate(slices.SUMS)
        },
    }
    if asked:
        columns |= {
            "offers": counted.offers[windows, level, group, 0],
            "offered_pcvr_sum": counted.offers[windows, level, group, 1] * slices.UNIT,
        }
    return columns


def _scores(sim: State, names: Names) -> Columns:
    """Impressions and conversions by window, level of a field, and bin of the predicted rate."""
    counted, levels = sim.world.counters.slices.scores, _single(names)
    windows, level, box = np.nonzero(counted[:, :, :, 0])
    return {
        "field": _names(level, [field for field, _ in levels]),
        "level": _names(level, [name for _, name in levels]),
        "start_us": windows * sim.world.rules.slice_window,
        "bin": box,
        "wins": counted[windows, level, box, 0].astype(np.int64),
        "converted": counted[windows, level, box, 1].astype(np.int64),
    }


def _delays(names: Names) -> Columns:
    """Quantiles of the time from an impression to its conversion, by campaign, as logged before the run."""
    campaigns, quantiles = names.delays.shape
    at = (np.arange(quantiles) + 0.5) / max(quantiles, 1)
    return {
        "campaign": [name for name in names.campaigns for _ in range(quantiles)],
        "quantile": np.tile(at, campaigns),
        "delay_us": names.delays.ravel().copy(),
    }


def _population(sim: State, names: Names) -> Columns:
    """What models saw: requests and impressions by window, feature, and level or range."""
    counted, bins = sim.world.counters.seen.counts, population.bin_names(names.vocabulary)
    if not sim.world.rules.users:
        counted = counted[:0]
    windows, total, _ = counted.shape
    cells = counted.reshape(windows * total, len(population.COUNTS))
    return {
        "feature": [feature for feature, _ in bins] * windows,
        "level": [level for _, level in bins] * windows,
        "start_us": np.repeat(np.arange(windows, dtype=np.int64) * sim.world.rules.slice_window, total),
        **{name: cells[:, j].copy() for j, name in enumerate(population.COUNTS)},
    }


def _auctions(sim: State, names: Names) -> Columns:
    log = sim.world.logs.wins
    kept = np.flatnonzero(log.ints[: int(log.used[0]), WIN.sampled])
    columns: Columns = {name: log.ints[kept, j] for j, name in enumerate(WIN_INTS[: WIN.arms])}
    columns["campaign"] = _names(columns["campaign"], names.campaigns)
    for field in CATEGORIES:
        columns[field] = _names(columns[field], names.vocabulary[field])
    return columns | {name: log.floats[kept, j] for j, name in enumerate(WIN_FLOATS[: WIN_F.natural_rate])}


def _explorations(sim: State, names: Names) -> Columns:
    """All impressions of the exploration slice: each lever as it would have been, and as dice set it."""
    log = sim.world.logs.wins
    rows = np.flatnonzero(log.ints[: int(log.used[0]), WIN.arms] != NOT_EXPLORED)
    ints, floats = log.ints[rows], log.floats[rows]
    campaign, arms = ints[:, WIN.campaign], ints[:, WIN.arms]
    columns: Columns = {name: ints[:, WIN_INTS.index(name)].copy() for name in _EXPLORED_INTS}
    columns["campaign"] = _names(campaign, names.campaigns)
    columns |= {name: floats[:, WIN_FLOATS.index(name)].copy() for name in _EXPLORED_FLOATS}
    offer = floats[:, WIN_F.offer]
    own = dict(zip(CAMPAIGN_FEATURES, sim.bidder.campaigns.static.T.astype(np.float64), strict=True))
    natural = {"price": sim.bidder.campaigns.price[campaign] * np.exp(offer), "bid": np.ones(len(rows))} | {
        name: own[name][campaign] for name in LEVERS if name in own
    }
    columns["propensity"] = np.ones(len(rows))
    for j, lever in enumerate(LEVERS):
        arm = (arms // ARMS**j) % ARMS
        move = sim.world.exploration.moves[campaign, j, arm]
        columns[f"natural_{lever}"] = natural[lever]
        columns[f"assigned_{lever}"] = (
            natural[lever] * np.exp(move[:, LOG]) if lever in ("price", "bid") else natural[lever] + move[:, SHIFT]
        )
        below = sim.world.exploration.below[j]
        columns["propensity"] *= np.diff([0.0, *below, 1.0])[arm]
    return columns


def _bid_arms(sim: State, names: Names) -> Columns:
    """What bids of the slice led to, by arm: opportunities, bids, wins, payments."""
    campaigns = len(names.campaigns) if sim.world.rules.exploration > 0.0 else 0
    tried = sim.bidder.experiment.tried[:campaigns].reshape(campaigns * ARMS, len(exploration.COLUMNS))
    return {
        "campaign": [name for name in names.campaigns[:campaigns] for _ in range(ARMS)],
        "bid_factor": np.exp(sim.world.exploration.moves[:campaigns, BID, :, LOG]).ravel(),
        **{name: tried[:, j].copy() for j, name in enumerate(exploration.COLUMNS)},
    }


def _requests(log: Log, names: Names) -> Columns:
    used = int(log.used[0])
    ids = {name: log.ints[:used, DECISION_INTS.index(name)].copy() for name in ("request", "time_us", "user")}
    truth = {name: log.floats[:used, DECISION_FLOATS.index(name)].copy() for name in ("true_rate", "direct_rate")}
    seen = FEATURES if log.features.shape[1] == len(FEATURES) else ()
    features = {f"feature_{name}": log.features[:used, j].copy() for j, name in enumerate(seen)}
    return {**ids, "campaign": _names(log.ints[:used, DECISION.campaign], names.campaigns), **features, **truth}


def _bids(log: Log, names: Names) -> Columns:
    used = int(log.used[0])
    reasons = (*REASONS, "won")
    columns: Columns = {name: log.ints[:used, j].copy() for j, name in enumerate(DECISION_INTS)}
    columns["campaign"] = _names(columns["campaign"], names.campaigns)
    columns["reason"] = _names(columns["reason"], reasons)
    return columns | {name: log.floats[:used, j].copy() for j, name in enumerate(DECISION_FLOATS)}


def _conversions(sim: State, names: Names) -> Columns:
    log, used = sim.world.logs.conversions, int(sim.world.logs.conversions.used[0])
    columns: Columns = {name: log.ints[:used, j].copy() for j, name in enumerate(CONVERSION_INTS)}
    columns["campaign"] = _names(columns["campaign"], names.campaigns)
    for flag in ("ad_driven", "observed", "plain_would_have"):
        columns[flag] = columns[flag].astype(np.bool_)
    return columns


def _landscape(sim: State, names: Names) -> Columns:
    factors = len(landscape.FACTORS)
    counts = sim.world.counters.landscape.reshape(-1, len(landscape.COLUMNS))
    sums = sim.world.counters.landscape_sums.reshape(-1, len(landscape.SUMS))
    return {
        "campaign": [name for name in names.campaigns for _ in range(factors)],
        "bid_factor": np.tile(np.array(landscape.FACTORS), len(names.campaigns)),
        **{name: counts[:, j].copy() for j, name in enumerate(landscape.COLUMNS)},
        **{name: sums[:, j].copy() for j, name in enumerate(landscape.SUMS)},
    }


def _incrementality(clocks: NDArray[np.int64], names: Names) -> Columns:
    """Users by arm, their purchases since the first win, and what the same users would have bought without ads."""
    count = len(names.lines)
    columns: Columns = {"advertiser": [a for a, _ in names.lines], "product": [p for _, p in names.lines]}
    for arm, code in (("served", SERVED), ("held_out", HELD_OUT)):
        rows = clocks[clocks[:, EXPOSED] == code]
        line = rows[:, LINE]
        bought = rows[:, BOUGHT]
        columns[f"{arm}_users"] = np.bincount(line, minlength=count).astype(np.int64)
        columns[f"{arm}_purchases"] = _sum(line, bought, count)
        columns[f"{arm}_purchases_squared"] = _sum(line, bought * bought, count)
        columns[f"{arm}_purchases_without_ads"] = _sum(line, rows[:, PLAIN_BOUGHT], count)
    return columns


def _sum(line: Any, amount: Any, count: int) -> Any:
    total = np.zeros(count, np.int64)
    np.add.at(total, line, amount)
    return total


def _seats(sim: State, names: Names) -> Columns:
    """Decisions of each seat against the deadline; no rows where there is none."""
    rows = len(names.bidders) if sim.world.rules.tmax else 0
    return {
        "seat": list(names.bidders)[:rows],
        **{name: sim.world.deadline.counts[:rows, j].copy() for j, name in enumerate(latency.COUNTS)},
    }


def _latency(sim: State, names: Names) -> Columns:
    """Response times: one row for each seat and bucket that holds any."""
    rows, buckets = np.nonzero(sim.world.deadline.histogram)
    return {
        "seat": _names(rows, names.bidders),
        "upper_us": latency.upper_bounds()[buckets],
        "responses": sim.world.deadline.histogram[rows, buckets],
    }


def _market(sim: State) -> Columns:
    market, exchange = sim.world.counters.market, sim.world.revenue
    amounts = [*market.tolist(), *exchange.tolist()]
    return {
        "figure": [
            "requests",
            "sold_to_campaigns",
            "sold_to_rivals",
            "unsold",
            "publisher_revenue_nanos",
            "exchange_fee_nanos",
        ],
        "amount": np.array(amounts, np.int64),
    }


def _notices(sim: State) -> Columns:
    """What became of notices, where they come late."""
    amounts = [*sim.world.mail.counts.tolist(), *sim.bidder.flight.counts.tolist()]
    return {
        "figure": [*NOTICE_COUNTS, "unknown", "expired", "sent_twice"],
        "amount": np.array(amounts, np.int64),
    }
