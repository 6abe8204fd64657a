"""`build`: from a `Scenario` to a `Simulation`, training the seats' models on the way."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bidsim.core.calls import addresses
from bidsim.core.contracts import (
    CLEAR_SIGNATURE,
    DRAW_SIGNATURE,
    OFFERS_SIGNATURE,
    CampaignBrief,
    Rivals,
    draw_nothing,
    learn_nothing,
)
from bidsim.core.random import campaign_id, name_id, stream_key
from bidsim.core.requests import CATEGORIES
from bidsim.core.scoring import SCORE_SIGNATURE, TASK_WORDS, ScorerTables, aligned_tables
from bidsim.core.units import DAY, MINUTE, cpm_to_nanos, to_nanos
from bidsim.cvr.features import CAMPAIGN_FEATURES, FEATURES, FIRST_PAIR, WIDTH
from bidsim.engine.deadline import STAGES, pace_of_clock
from bidsim.engine.decision import NOTICES, SETTLES
from bidsim.engine.output import Names
from bidsim.engine.sale import empty_breach
from bidsim.engine.simulation import Simulation
from bidsim.engine.store import empty_store
from bidsim.engine.tables import (
    CONVERSION_INTS,
    DECISION_FLOATS,
    DECISION_INTS,
    NO_LIMIT,
    WIN_FLOATS,
    WIN_INTS,
    Calls,
    Campaigns,
    Clock,
    Counters,
    Deadline,
    Keys,
    Logs,
    Rules,
    Seats,
    Simulated,
    Targeting,
    empty_ledger,
    empty_log,
    empty_scratch,
)  # fmt: skip
from bidsim.kernels.bits import bitset
from bidsim.kernels.clock import nanoseconds_per_tick
from bidsim.kernels.normal import logit, sigmoid
from bidsim.observers import funnel
from bidsim.observers.landscape import empty_landscape
from bidsim.observers.latency import empty_latency
from bidsim.observers.population import empty_seen
from bidsim.observers.slices import empty_slices
from bidsim.observers.timeline import empty_timeline
from bidsim.response.prepare import Line, Offered, prepare_truth
from bidsim.scenario.bidders import Bidders
from bidsim.scenario.check import market_brief
from bidsim.scenario.exploration import prepare_exploration
from bidsim.scenario.forecast import Charged, forecast, prepare_values
from bidsim.scenario.incidents import prepare_incidents, run_vocabulary
from bidsim.scenario.models import SeatModels, prepare_models
from bidsim.scenario.names import chosen_params
from bidsim.scenario.slices import group_campaigns, windows_of
from bidsim.traffic.arrivals import Arrivals
from bidsim.traffic.stream import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from bidsim.scenario.load import Scenario
    from bidsim.scenario.model import CampaignSettings, ScenarioSettings


_MOST_ROOM = 1 << 22
"""Rows that a log begins with at most."""
_STAMPED = 1 << 14
"""Most requests whose stages are timed in a run."""


@dataclass(frozen=True)
class Order:
    """Campaigns in the order of the engine: by seat, policy, pacer and name, so that groups are runs."""

    names: list[str]
    campaigns: list[CampaignSettings]
    seats: list[int]


def build(
    scenario: Scenario, *, progress: Callable[[str, int, int], None] = lambda stage, done, total: None
) -> tuple[Simulation, SeatModels]:
    """Make the world of a scenario and train its models.

    Args:
        scenario: What `load_scenario` returned.
        progress: Called with (stage, done since the last call, total) while the history runs and models are trained.

    Returns:
        The simulation, ready to run, and the seats' models with their evaluation.

    """
    settings, begun = scenario.settings, time.perf_counter()
    order = _order(settings)
    rivals, arrivals = _rivals_and_arrivals(scenario)
    truth, lines = prepare_truth(
        [Offered(Line(c.advertiser, c.product), c.levers) for c in order.campaigns],
        settings.products,
        settings.traffic.interests,
        [p.view_rate for p in settings.traffic.placements.values()],
        settings.response,
        settings.attribution,
    )
    campaigns = _campaigns(settings, order, arrivals)
    values = prepare_values(scenario, order.names, campaigns.value.tolist())
    models = prepare_models(
        scenario, order.names, order.seats, campaigns, truth, keys_of(settings.seed, "history/"), progress
    )
    campaigns = campaigns._replace(static=_static(order, models))
    auction, format_numbers = _format(scenario)
    bidders = Bidders(
        scenario,
        list(zip(order.campaigns, order.seats, strict=True)),
        _briefs(scenario, order, campaigns, rivals, values, models, auction),
    )
    seats, tables = _seats(settings, models, campaigns.static)
    draw, value_floats, value_ints = (
        values if values is not None else (draw_nothing, np.zeros(1), np.zeros(1, np.int64))
    )
    vocabulary = run_vocabulary(settings)
    grouped, groups = group_campaigns(settings, order.campaigns, vocabulary)
    sim = Simulated(
        calls=_calls(auction, models, draw, bidders),
        campaigns=campaigns,
        seats=seats,
        groups=bidders.groups,
        targeting=_targeting(order, vocabulary, len(settings.seats)),
        truth=truth,
        store=empty_store(int(campaigns.cap_count.max())),
        ledger=empty_ledger(len(order.names)),
        counters=_counters(settings, grouped, vocabulary),
        logs=_logs(settings, max(arrivals.total, 1)),
        scratch=empty_scratch(
            len(order.names), len(lines), len(settings.seats), rivals.depth, settings.auction.positions
        ),
        keys=keys_of(settings.seed, ""),
        rules=_rules(settings, models.needs_truth, max(arrivals.total, 1), auction, rivals, bidders.groups),
        tables=tables,
        curve=np.ascontiguousarray(arrivals.curve),
        format_numbers=format_numbers,
        value_floats=value_floats,
        value_ints=value_ints,
        deadline=_deadline(settings, models),
        exploration=prepare_exploration(settings, order.campaigns),
        incidents=prepare_incidents(settings, order.campaigns, vocabulary),
        clock=Clock(np.zeros((_STAMPED, len(STAGES) + 1), np.int64), np.zeros(1, np.int64)),
        **bidders.state,
    )
    simulation = Simulation(
        sim,
        Traffic(settings.traffic, settings.seed, "run", arrivals),
        rivals,
        _names(settings, order, lines, groups, models),
    )
    simulation.seconds["build"] = time.perf_counter() - begun
    return simulation, models


def _rivals_and_arrivals(scenario: Scenario) -> tuple[Rivals, Arrivals]:
    """The market outside, and when requests come; a replayed log says how many there are."""
    settings = scenario.settings
    market, params = chosen_params("market", settings.market.name, settings.market.params, scenario.beside)
    rivals: Rivals = market.prepare(params, market_brief(settings, scenario.folder))
    requests = settings.requests or (len(rivals.logged) if rivals.logged is not None else 0)
    exact = settings.count == "exact" or rivals.logged is not None
    return rivals, Arrivals(
        settings.seed,
        "run",
        requests=requests,
        start=0,
        duration=settings.duration,
        hours=settings.traffic.hours,
        exact=exact,
    )


def _briefs(
    scenario: Scenario,
    order: Order,
    campaigns: Campaigns,
    rivals: Rivals,
    values: Any,
    models: SeatModels,
    auction: Any,
) -> list[CampaignBrief]:
    """What policies and pacers are told of their campaigns before the run."""
    charged, pays = Charged(_by_click(scenario.settings, auction), auction.joint), _pays(scenario.settings, auction)
    expected = forecast(
        scenario, list(zip(order.names, order.campaigns, order.seats, strict=True)), campaigns, rivals, values, charged
    )
    found = []
    for k, (name, c, f) in enumerate(zip(order.names, order.campaigns, expected, strict=True)):
        rate = f.mean_rate if values is not None else models.mean_pcvr(order.seats[k], name)
        quality = f.quality if charged.by_click else 1.0
        budget, opportunities = to_nanos(c.budget), f.opportunities
        if campaigns.by_day[k]:
            budget, opportunities = (
                int(campaigns.daily[k]),
                opportunities * DAY / max(int(campaigns.end[k] - campaigns.start[k]), DAY),
            )
        found.append(
            CampaignBrief(
                name, budget, int(campaigns.value[k]), opportunities, rate, f.values / quality, f.prices, pays, quality
            )
        )
    return found


def _by_click(settings: ScenarioSettings, auction: Any) -> bool:
    return (settings.auction.charge or auction.charges[0]) == "click"


def _pays(settings: ScenarioSettings, auction: Any) -> Literal["bid", "minimum", "neither"]:
    """What a winner pays, as `CampaignBrief.pays` says it; of several positions the one minimum does not tell all prices."""
    if len(settings.auction.positions) > 1:
        return "neither"
    return "bid" if auction.first_price else "minimum" if auction.truthful else "neither"


def _calls(auction: Any, models: SeatModels, draw: Any, bidders: Bidders) -> Calls:
    return Calls(
        clear=addresses([auction.clear], CLEAR_SIGNATURE),
        minima=addresses([auction.minima], CLEAR_SIGNATURE),
        learn=addresses([auction.learn], CLEAR_SIGNATURE),
        score=addresses(models.scorers, SCORE_SIGNATURE),
        draw=addresses([draw], DRAW_SIGNATURE),
        bid=addresses([p.bid for p in bidders.policies], OFFERS_SIGNATURE),
        notice=addresses([p.notice for p in bidders.policies], OFFERS_SIGNATURE),
        pace=addresses([p.pace for p in bidders.pacers], OFFERS_SIGNATURE),
        settle=addresses([p.settle for p in bidders.pacers], OFFERS_SIGNATURE),
    )


def _names(
    settings: ScenarioSettings,
    order: Order,
    lines: Sequence[Line],
    groups: Sequence[tuple[str, str]],
    models: SeatModels,
) -> Names:
    return Names(
        campaigns=order.names,
        advertisers=[c.advertiser for c in order.campaigns],
        products=[c.product for c in order.campaigns],
        seats=[list(settings.seats)[s] for s in order.seats],
        policies=[c.policy.name for c in order.campaigns],
        pacers=[c.pacing.name for c in order.campaigns],
        lines=[(line.advertiser, line.product) for line in lines],
        vocabulary=run_vocabulary(settings),
        bidders=list(settings.seats),
        pairs=[(a, b) for a, b in settings.monitoring.pairs],
        groups=groups,
        delays=models.delays,
        budgets=[to_nanos(c.budget) for c in order.campaigns],
        format=settings.auction.format,
    )


def keys_of(seed: int, prefix: str) -> Keys:
    """Keys of the loop's random streams; a prefix gives a set of its own."""
    return Keys(**{name: stream_key(seed, prefix + name) for name in Keys._fields})


def _order(settings: ScenarioSettings) -> Order:
    seats = list(settings.seats)
    chosen = []
    for name, campaign in settings.campaigns.items():
        seat = seats.index(campaign.seat) if campaign.seat is not None else 0
        chosen.append((seat, campaign.policy.name, campaign.pacing.name, name))
    chosen.sort()
    return Order([c[3] for c in chosen], [settings.campaigns[c[3]] for c in chosen], [c[0] for c in chosen])


def _campaigns(settings: ScenarioSettings, order: Order, arrivals: Arrivals) -> Campaigns:
    listed, curve, episodes = order.campaigns, arrivals.curve, settings.episode
    products = [settings.products[c.product] for c in listed]
    prices = [c.levers.price or p.price for c, p in zip(listed, products, strict=True)]
    start = np.array([c.start or 0 for c in listed], np.int64)
    end = np.array([c.end or settings.duration for c in listed], np.int64)
    minutes = np.minimum(np.arange(len(curve)) * MINUTE, settings.duration)
    passed_from, passed_to = np.interp(start, minutes, curve), np.interp(end, minutes, curve)
    return Campaigns(
        id=np.array([campaign_id(n) for n in order.names], np.int64),
        by_name=np.array(sorted(range(len(order.names)), key=order.names.__getitem__), np.int64),
        holder=np.array([name_id(f"advertiser/{c.advertiser}") for c in listed], np.int64),
        seat=np.array(order.seats, np.int64),
        value=np.array(
            [
                to_nanos(c.value if c.value is not None else price * p.margin)
                for c, p, price in zip(listed, products, prices, strict=True)
            ],
            np.int64,
        ),
        budget=np.array([NO_LIMIT if episodes else to_nanos(c.budget) for c in listed], np.int64),
        daily=np.array(
            [
                to_nanos(c.budget) if episodes else to_nanos(c.daily_budget) if c.daily_budget is not None else NO_LIMIT
                for c in listed
            ],
            np.int64,
        ),
        start=start,
        end=end,
        cap_count=np.array([c.frequency_cap.count if c.frequency_cap else 0 for c in listed], np.int64),
        cap_window=np.array([c.frequency_cap.per if c.frequency_cap else 0 for c in listed], np.int64),
        passed_from=passed_from,
        passed_share=np.maximum(passed_to - passed_from, 1e-12),
        by_day=np.array([_by_day(c, a, b) for c, a, b in zip(listed, start, end, strict=True)], np.int64),
        price=np.array(prices, np.float64),
        static=np.zeros((len(listed), len(CAMPAIGN_FEATURES)), np.float32),
        reserve=np.array([cpm_to_nanos(settings.auction.reserves.get(name, 0.0)) for name in order.names], np.int64),
        quality=np.array([_quality(settings, c) for c in listed], np.float64),
    )


def _by_day(campaign: CampaignSettings, start: int, end: int) -> bool:
    """Whether the budgets of the days of the flight come to no more than the whole budget."""
    days = -(-end // DAY) - start // DAY
    return campaign.daily_budget is not None and campaign.daily_budget * days <= campaign.budget


def _quality(settings: ScenarioSettings, campaign: CampaignSettings) -> float:
    """Expected clicks of one impression in the first position, as an exchange estimates it: for a typical user, by creative."""
    return settings.traffic.mean_view_rate * sigmoid(
        logit(settings.products[campaign.product].click_rate)
        + settings.response.creative_effect * campaign.levers.creative
    )


def _static(order: Order, models: SeatModels) -> NDArray[np.float32]:
    """Feature values of campaigns in the codes of their seat's model; names that it never saw get -1."""
    rows = []
    for name, campaign, seat in zip(order.names, order.campaigns, order.seats, strict=True):
        known = models.fitted[seat].vocabulary
        named = (("campaign", name), ("advertiser", campaign.advertiser), ("product", campaign.product))
        codes = [known[f].index(level) if level in known.get(f, ()) else -1 for f, level in named]
        levers = campaign.levers
        rows.append([*codes, levers.creative, levers.landing, levers.shipping_days])
    return np.array(rows, np.float32)


def _targeting(order: Order, vocabulary: dict[str, tuple[str, ...]], seats: int) -> Targeting:
    rows = []
    for field in CATEGORIES:
        for level in vocabulary[field]:
            allowed = [(wanted := getattr(c.targeting, field)) is None or level in wanted for c in order.campaigns]
            rows.append(bitset(np.array(allowed)))
    member = np.array([bitset(np.array(order.seats) == s) for s in range(seats)])
    first = np.cumsum([0] + [len(vocabulary[f]) for f in CATEGORIES[:-1]]).astype(np.int64)
    return Targeting(
        first, np.array(rows), np.zeros(member.shape[1], np.uint64), member, np.full(1, -(2**62), np.int64)
    )


def _seats(settings: ScenarioSettings, models: SeatModels, static: NDArray[np.float32]) -> tuple[Seats, ScorerTables]:
    tables = [aligned_tables(m.kind.prepared(m.tables, static)) for m in models.fitted]
    listed = list(settings.seats.values())
    return Seats(
        user_from=np.array([s.users[0] for s in listed], np.float64),
        user_to=np.array([s.users[1] for s in listed], np.float64),
        internal=np.array([s.internal_auction for s in listed], np.int64),
        oracle=np.array([0 if m.kind.trains or settings.values is not None else 1 for m in models.fitted], np.int64),
        scorer=np.array(models.scorer_of, np.int64),
        whole_rows=np.array([m.kind.reads_whole_rows(m.tables) for m in models.fitted], np.int64),
        ints=np.cumsum([0] + [len(t.ints) for t in tables]).astype(np.int64),
        floats=np.cumsum([0] + [len(t.floats) for t in tables]).astype(np.int64),
        narrow=np.cumsum([0] + [len(t.narrow) for t in tables]).astype(np.int64),
        wide=np.cumsum([0] + [len(t.wide) for t in tables]).astype(np.int64),
        task=np.zeros((len(tables), TASK_WORDS), np.int64),
    ), aligned_tables(*tables)


def _format(scenario: Scenario) -> tuple[Any, NDArray[np.float64]]:
    auction, params = chosen_params(
        "auction", scenario.settings.auction.format, scenario.settings.auction.params, scenario.beside
    )
    return auction, np.array([*auction.numbers(params), 0.0], np.float64)


def _counters(
    settings: ScenarioSettings, grouped: NDArray[np.int64], vocabulary: dict[str, tuple[str, ...]]
) -> Counters:
    campaigns, windows = len(grouped), windows_of(settings) if settings.monitoring.rows != "none" else 0
    levels = [len(vocabulary[f]) for f in CATEGORIES]
    pairs = [(CATEGORIES.index(a), CATEGORIES.index(b)) for a, b in settings.monitoring.pairs]
    tried, tried_sums = empty_landscape(campaigns)
    return Counters(
        reasons=funnel.empty_reasons(campaigns),
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
    return max(least, min(int(1.1 * expected) + least, _MOST_ROOM))


def _rules(
    settings: ScenarioSettings, needs_truth: bool, total: int, auction: Any, rivals: Rivals, groups: NDArray[np.int64]
) -> Rules:
    campaigns = len(settings.campaigns)
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
        episode=settings.episode,
        positions=len(settings.auction.positions),
        joint=1 if auction.joint else 0,
        by_click=1 if _by_click(settings, auction) else 0,
        yields=1 if rivals.yields else 0,
        tells=1 if settings.auction.tell_minimum else 0,
        hears=1 if groups[:, NOTICES].any() or groups[:, SETTLES].any() else 0,
        learns=1 if auction.learn is not learn_nothing else 0,
        internal=1 if any(s.internal_auction for s in settings.seats.values()) else 0,
        clock_every=pace_of_clock(total, _STAMPED),
        exploration=float(settings.exploration.share),
        watch_wins=0 if settings.monitoring.rows == "none" else 1,
        watch_offers=float(settings.monitoring.share) if settings.monitoring.rows == "all" else 0.0,
        incidents=len(settings.incidents),
        **_deadline_rules(settings),
    )
