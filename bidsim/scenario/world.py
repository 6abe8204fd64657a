"""From a scenario to its `World`: truth, users, the exchange, counters and rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.bidder.memory import empty_memory
from bidsim.core.calls import addresses
from bidsim.core.contracts import CLEAR_SIGNATURE, DRAW_SIGNATURE, draw_nothing, learn_nothing
from bidsim.core.random import name_id, stream_key
from bidsim.core.requests import CATEGORIES
from bidsim.core.units import SECOND, cpm_to_nanos
from bidsim.cvr.features import FEATURES, FIRST_PAIR, WIDTH
from bidsim.engine.deadline import STAGES, pace_of_clock
from bidsim.engine.feed import open_feed
from bidsim.engine.mail import Mail, open_mail
from bidsim.engine.rows import CONVERSION_INTS, DECISION_FLOATS, DECISION_INTS, WIN_FLOATS, WIN_INTS, empty_log
from bidsim.engine.sale import empty_breach
from bidsim.engine.tables import (
    Clock,
    Counters,
    Deadline,
    Exploration,
    Incidents,
    Keys,
    Logs,
    Rules,
    World,
    WorldCalls,
    empty_scratch,
)
from bidsim.engine.users import empty_store
from bidsim.kernels.clock import nanoseconds_per_tick
from bidsim.kernels.distributions import POINT, coded
from bidsim.observers import funnel
from bidsim.observers.landscape import empty_landscape
from bidsim.observers.latency import empty_latency
from bidsim.observers.population import empty_seen
from bidsim.observers.slices import empty_slices
from bidsim.observers.timeline import empty_timeline
from bidsim.scenario.slices import windows_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bidsim.bidder.tables import Bidder
    from bidsim.response.truth import Truth
    from bidsim.scenario.exchange import Exchange
    from bidsim.scenario.model import ScenarioSettings
    from bidsim.scenario.models import SeatModels
    from bidsim.scenario.order import Order

STAMPED = 1 << 14
"""Most requests whose stages are timed in a run."""
_MOST_ROOM = 1 << 22
"""Rows that a log begins with at most."""


def keys_of(seed: int, prefix: str) -> Keys:
    """Keys of the world's random streams; a prefix gives a set of its own."""
    return Keys(**{name: stream_key(seed, prefix + name) for name in Keys._fields})


def prepare_world(
    settings: ScenarioSettings,
    order: Order,
    truth: Truth,
    bidder: Bidder,
    exchange: Exchange,
    models: SeatModels,
    moved: tuple[Exploration, Incidents],
    grouped: NDArray[np.int64],
) -> World:
    """Put together what no bidder knows.

    Args:
        settings: The scenario.
        order: Campaigns in the engine's order.
        truth: Parameters of the truth.
        bidder: The scenario's own bidders; where notices come at once, what they remember is what users saw.
        exchange: The format, rivals, and values that are drawn.
        models: Models of the seats.
        moved: Levers that dice move, and what goes wrong.
        grouped: Group of each campaign whose slices are counted together.

    """
    count, lines, late = len(order.names), len(truth.line_id), settings.notices is not None
    exposure_of = np.full(count, -1, np.int64) if late else bidder.desk.exposure_of
    reserves, told = settings.auction.reserves, settings.purchases
    draw, value_floats, value_ints = exchange.values or (draw_nothing, np.zeros(1), np.zeros(1, np.int64))
    return World(
        calls=WorldCalls(
            clear=addresses([exchange.auction.clear], CLEAR_SIGNATURE),
            minima=addresses([exchange.auction.minima], CLEAR_SIGNATURE),
            learn=addresses([exchange.auction.learn], CLEAR_SIGNATURE),
            draw=addresses([draw], DRAW_SIGNATURE),
        ),
        truth=truth,
        store=empty_store(),
        seen=empty_memory(1) if late else bidder.memory,
        feed=open_feed(told.told, told.delay or 0),
        mail=_mail(settings),
        reserve=np.array([cpm_to_nanos(reserves.get(name, 0.0)) for name in order.names], np.int64),
        revenue=np.zeros(2, np.int64),
        counters=_counters(settings, order, grouped),
        logs=_logs(settings, max(exchange.arrivals.total, 1)),
        scratch=empty_scratch(count, lines, exchange.rivals.depth, exposure_of, settings.auction.positions),
        keys=keys_of(settings.seed, ""),
        rules=_rules(settings, models.needs_truth, bidder.rules.hears, exchange, len(moved[1].what)),
        format_numbers=exchange.numbers,
        value_floats=value_floats,
        value_ints=value_ints,
        deadline=_deadline(settings, models),
        clock=Clock(np.zeros((STAMPED, len(STAGES) + 1), np.int64), np.zeros(1, np.int64)),
        exploration=moved[0],
        incidents=moved[1],
    )


def _mail(settings: ScenarioSettings) -> Mail:
    notices = settings.notices
    if notices is None:
        return open_mail(1, (POINT, 0.0, 0.0), 0.0, 0)
    delay = notices.delay
    kind = (POINT, delay / SECOND, 0.0) if isinstance(delay, int) else coded(delay)
    return open_mail(1024, kind, notices.lost, notices.expire)


def _counters(settings: ScenarioSettings, order: Order, grouped: NDArray[np.int64]) -> Counters:
    vocabulary = order.vocabulary
    campaigns, windows = len(grouped), windows_of(settings) if settings.monitoring.rows != "none" else 0
    levels = [len(vocabulary[f]) for f in CATEGORIES]
    pairs = [(CATEGORIES.index(a), CATEGORIES.index(b)) for a, b in settings.monitoring.pairs]
    tried, tried_sums = empty_landscape(campaigns)
    return Counters(
        counts=np.zeros((campaigns, len(funnel.COUNTS)), np.int64),
        amounts=np.zeros((campaigns, len(funnel.AMOUNTS)), np.int64),
        sums=np.zeros((campaigns, len(funnel.SUMS))),
        timeline=empty_timeline(campaigns, settings.duration, settings.log.bucket),
        slices=empty_slices(levels, pairs, grouped, windows, offers=settings.monitoring.rows == "all"),
        seen=empty_seen(levels, windows, FEATURES, FIRST_PAIR),
        landscape=tried,
        landscape_sums=tried_sums,
        market=np.zeros(4, np.int64),
        breach=empty_breach(),
    )


def _deadline(settings: ScenarioSettings, models: SeatModels) -> Deadline:
    """Decision times of seats in microseconds."""
    decisions = [s.decision for s in settings.seats.values()]
    trees = [m.kind.trees(m.tables) for m in models.fitted]
    counts, histogram = empty_latency(len(decisions))
    return Deadline(
        id=np.array([name_id(f"seat/{name}") for name in settings.seats], np.int64),
        fixed=np.array([d.fixed or 0 for d in decisions], np.float64),
        per_candidate=np.array([d.per_tree * t / 1e3 for d, t in zip(decisions, trees, strict=True)], np.float64),
        spread=np.array([d.spread for d in decisions], np.float64),
        workers=np.array([d.workers for d in decisions], np.int64),
        shed=np.array([d.shed for d in decisions], np.int64),
        free=np.zeros((len(decisions), max(1, *(d.workers for d in decisions)))),
        counts=counts,
        histogram=histogram,
    )


def _deadline_rules(settings: ScenarioSettings) -> dict[str, Any]:
    deadline = settings.deadline
    if deadline is None:
        return {"tmax": 0, "network": 0.0, "network_spread": 0.0, "volume": 1.0, "measured": 0, "tick": 0.0}
    measured = deadline.clock == "measured"
    return {
        "tmax": deadline.tmax,
        "network": float(deadline.network or 0),
        "network_spread": float(deadline.network_spread),
        "volume": float(deadline.volume),
        "measured": int(measured),
        "tick": deadline.slowdown * nanoseconds_per_tick() / 1e3 if measured else 0.0,
    }


def _logs(settings: ScenarioSettings, total: int) -> Logs:
    """Logs that begin with room for what is expected; pages that are never written to take no memory."""
    campaigns, users = len(settings.campaigns), settings.values is None
    wins = min(settings.log.wins, total * len(settings.auction.positions))
    decisions = min(total, settings.log.decisions / min(campaigns, 8)) * campaigns
    return Logs(
        wins=empty_log(_room(1024, wins), len(WIN_INTS), len(WIN_FLOATS), 1),
        decisions=empty_log(_room(8192, decisions), len(DECISION_INTS), len(DECISION_FLOATS), WIDTH if users else 1),
        conversions=empty_log(1024, len(CONVERSION_INTS), 1, 1),
    )


def _room(least: int, expected: float) -> int:
    """Rows that a log begins with: a tenth more than are expected, and some."""
    return max(least, min(int(1.1 * expected) + least, _MOST_ROOM))


def _rules(settings: ScenarioSettings, needs_truth: bool, hears: int, exchange: Exchange, incidents: int) -> Rules:
    campaigns, total = len(settings.campaigns), max(exchange.arrivals.total, 1)
    return Rules(
        duration=settings.duration,
        bucket=settings.log.bucket,
        slice_window=settings.monitoring.window,
        reserve=cpm_to_nanos(settings.auction.reserve_cpm),
        fee=float(settings.auction.fee),
        holdout=float(settings.holdout.share),
        needs_truth=1 if needs_truth else 0,
        keep_wins=min(1.0, settings.log.wins / total),
        keep_decisions=min(1.0, settings.log.decisions / (total * min(campaigns, 8))),
        landscape_every=settings.log.landscape_every,
        users=1 if settings.values is None else 0,
        positions=len(settings.auction.positions),
        joint=1 if exchange.auction.joint else 0,
        by_click=1 if exchange.by_click else 0,
        yields=1 if exchange.rivals.yields else 0,
        learns=1 if exchange.auction.learn is not learn_nothing else 0,
        hears=hears,
        clock_every=pace_of_clock(total, STAMPED),
        exploration=float(settings.exploration.share),
        watch_wins=0 if settings.monitoring.rows == "none" else 1,
        watch_offers=float(settings.monitoring.share) if settings.monitoring.rows == "all" else 0.0,
        incidents=incidents,
        late=1 if settings.notices is not None else 0,
        **_deadline_rules(settings),
    )
