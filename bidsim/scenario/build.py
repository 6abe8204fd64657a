"""`build`: from a `Scenario` to a `Simulation`, training the seats' models on the way."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.contracts import CampaignBrief, ScorerTables
from bidsim.core.errors import UsageError, did_you_mean
from bidsim.core.random import name_id, stream_key
from bidsim.core.requests import CATEGORIES
from bidsim.core.units import cpm_to_nanos, to_nanos
from bidsim.cvr.features import CAMPAIGN_FEATURES, WIDTH
from bidsim.engine.output import Names
from bidsim.engine.simulation import Plugins, Simulation
from bidsim.engine.store import empty_store
from bidsim.engine.tables import (
    CONVERSION_INTS,
    DECISION_FLOATS,
    DECISION_INTS,
    NO_LIMIT,
    WIN_FLOATS,
    WIN_INTS,
    Campaigns,
    Counters,
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
from bidsim.observers import funnel
from bidsim.observers.landscape import empty_landscape
from bidsim.observers.slices import empty_slices
from bidsim.observers.timeline import empty_timeline
from bidsim.response.prepare import Line, Offered, prepare_truth
from bidsim.scenario.check import chosen_params
from bidsim.scenario.models import SeatModels, prepare_models
from bidsim.traffic.arrivals import Arrivals
from bidsim.traffic.stream import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from bidsim.scenario.load import Scenario
    from bidsim.scenario.model import CampaignSettings, ScenarioSettings

_FORECAST = 20_000


@dataclass(frozen=True)
class Order:
    """Campaigns in the order of the engine: by seat, policy, pacer and name, so that groups are runs."""

    names: list[str]
    campaigns: list[CampaignSettings]
    seats: list[int]


def build(scenario: Scenario, *, progress: Callable[[str, int, int], None] = lambda stage, done, total: None) -> tuple[Simulation, SeatModels]:
    """Make the world of a scenario and train its models.

    Args:
        scenario: What `load_scenario` returned.
        progress: Called with (stage, done, total) while the history runs.

    Returns:
        The simulation, ready to run, and the seats' models with their evaluation.

    """
    settings, begun = scenario.settings, time.perf_counter()
    order = _order(settings)
    vocabulary = settings.traffic.vocabulary()
    arrivals = Arrivals(settings.seed, "run", requests=settings.requests, start=0, duration=settings.duration, hours=settings.traffic.hours, exact=settings.count == "exact")
    truth, lines = prepare_truth(
        [Offered(Line(c.advertiser, c.product), c.levers) for c in order.campaigns],
        settings.products,
        settings.traffic.interests,
        [p.view_rate for p in settings.traffic.placements.values()],
        settings.response,
        settings.attribution,
    )
    campaigns = _campaigns(settings, order, arrivals.curve)
    models = prepare_models(scenario, order.names, order.seats, campaigns, truth, keys_of(settings.seed, "history/"), progress)
    campaigns = campaigns._replace(static=_static(order, models))
    targeting = _targeting(order, vocabulary, len(settings.seats))
    seats, tables = _seats(settings, models)
    plugins, groups, state = _plugins(scenario, order, models, _opportunities(settings, order, campaigns))
    fill_rivals, depth = _market(scenario, vocabulary)
    total = max(arrivals.total, 1)
    sim = Simulated(
        campaigns=campaigns,
        seats=seats,
        groups=groups,
        targeting=targeting,
        truth=truth,
        store=empty_store(int(campaigns.cap_count.max())),
        ledger=empty_ledger(len(order.names)),
        counters=_counters(settings, len(order.names), vocabulary),
        logs=_logs(),
        scratch=empty_scratch(len(order.names), len(lines), len(settings.seats), depth),
        keys=keys_of(settings.seed, ""),
        rules=_rules(settings, models.needs_truth, total, len(order.names)),
        tables=tables,
        curve=np.ascontiguousarray(arrivals.curve),
        format_numbers=_format_numbers(scenario),
        **state,
    )
    names = Names(
        campaigns=order.names,
        advertisers=[c.advertiser for c in order.campaigns],
        products=[c.product for c in order.campaigns],
        seats=[list(settings.seats)[s] for s in order.seats],
        policies=[c.policy.name for c in order.campaigns],
        pacers=[c.pacing.name for c in order.campaigns],
        lines=[(line.advertiser, line.product) for line in lines],
        vocabulary=vocabulary,
    )
    simulation = Simulation(sim, Traffic(settings.traffic, settings.seed, "run", arrivals), fill_rivals, depth, plugins, names)
    simulation.seconds["build"] = time.perf_counter() - begun
    return simulation, models


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


def _campaigns(settings: ScenarioSettings, order: Order, curve: NDArray[np.float64]) -> Campaigns:
    listed = order.campaigns
    products = [settings.products[c.product] for c in listed]
    prices = [c.levers.price or p.price for c, p in zip(listed, products, strict=True)]
    start = np.array([c.start or 0 for c in listed], np.int64)
    end = np.array([c.end or settings.duration for c in listed], np.int64)
    minutes = np.linspace(0.0, settings.duration, len(curve))
    passed_from, passed_to = np.interp(start, minutes, curve), np.interp(end, minutes, curve)
    return Campaigns(
        id=np.array([name_id(f"campaign/{n}") for n in order.names], np.int64),
        holder=np.array([name_id(f"advertiser/{c.advertiser}") for c in listed], np.int64),
        seat=np.array(order.seats, np.int64),
        value=np.array([to_nanos(c.value if c.value is not None else price * p.margin) for c, p, price in zip(listed, products, prices, strict=True)], np.int64),
        budget=np.array([to_nanos(c.budget) for c in listed], np.int64),
        daily=np.array([to_nanos(c.daily_budget) if c.daily_budget is not None else NO_LIMIT for c in listed], np.int64),
        start=start,
        end=end,
        cap_count=np.array([c.frequency_cap.count if c.frequency_cap else 0 for c in listed], np.int64),
        cap_window=np.array([c.frequency_cap.per if c.frequency_cap else 0 for c in listed], np.int64),
        passed_from=passed_from,
        passed_share=np.maximum(passed_to - passed_from, 1e-12),
        price=np.array(prices, np.float64),
        static=np.zeros((len(listed), len(CAMPAIGN_FEATURES)), np.float32),
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
    return Targeting(first, np.array(rows), np.zeros(member.shape[1], np.uint64), member, np.full(1, -(2**62), np.int64))


def _seats(settings: ScenarioSettings, models: SeatModels) -> tuple[Seats, ScorerTables]:
    tables = [m.tables for m in models.fitted]
    listed = list(settings.seats.values())
    return Seats(
        user_from=np.array([s.users[0] for s in listed], np.float64),
        user_to=np.array([s.users[1] for s in listed], np.float64),
        internal=np.array([s.internal_auction for s in listed], np.int64),
        scorer=np.array(models.scorer_of, np.int64),
        ints=np.cumsum([0] + [len(t.ints) for t in tables]).astype(np.int64),
        floats=np.cumsum([0] + [len(t.floats) for t in tables]).astype(np.int64),
    ), ScorerTables(np.concatenate([t.ints for t in tables]), np.concatenate([t.floats for t in tables]))


def _opportunities(settings: ScenarioSettings, order: Order, campaigns: Campaigns) -> NDArray[np.float64]:
    """Expected requests that match each campaign's targeting within its flight, from a forecast's own stream."""
    arrivals = Arrivals(settings.seed, "forecast", requests=_FORECAST, start=0, duration=settings.duration, hours=settings.traffic.hours, exact=True)
    requests, _ = Traffic(settings.traffic, settings.seed, "forecast", arrivals).chunk(0, _FORECAST)
    vocabulary = settings.traffic.vocabulary()
    found = []
    for k, campaign in enumerate(order.campaigns):
        matches = (requests.time >= campaigns.start[k]) & (requests.time < campaigns.end[k])
        for j, field in enumerate(CATEGORIES):
            wanted = getattr(campaign.targeting, field)
            if wanted is not None:
                matches &= np.isin(requests.categories[:, j], [vocabulary[field].index(level) for level in wanted])
        users = list(settings.seats.values())[order.seats[k]].users
        found.append(float(matches.mean()) * settings.requests * (users[1] - users[0]))
    return np.array(found)


def _plugins(scenario: Scenario, order: Order, models: SeatModels, opportunities: NDArray[np.float64]) -> tuple[Plugins, NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Kernels, groups of campaigns that share them, and the plug-ins' first states."""
    found: dict[str, list[Any]] = {"policy": [], "pacing": []}
    codes: dict[str, list[int]] = {"policy": [], "pacing": []}
    starts: dict[str, list[tuple[Any, Any]]] = {"policy": [], "pacing": []}
    products = scenario.settings.products
    for k, (name, campaign) in enumerate(zip(order.names, order.campaigns, strict=True)):
        price = campaign.levers.price or products[campaign.product].price
        value = campaign.value if campaign.value is not None else price * products[campaign.product].margin
        brief = CampaignBrief(name, to_nanos(campaign.budget), to_nanos(value), float(opportunities[k]), models.mean_pcvr(order.seats[k], name))
        for family, choice in (("policy", campaign.policy), ("pacing", campaign.pacing)):
            plugin, params = chosen_params(family, choice.name, choice.params, scenario.beside)
            if plugin not in found[family]:
                found[family].append(plugin)
            codes[family].append(found[family].index(plugin))
            starts[family].append((plugin, _first_state(plugin, params, brief)))
    policies, pacers = found["policy"], found["pacing"]
    auction, _ = chosen_params("auction", scenario.settings.auction.format, scenario.settings.auction.params, scenario.beside)
    plugins = Plugins(
        formats=[auction.clear],
        scorers=models.scorers,
        policies=[p.bid for p in policies],
        notices=[p.notice for p in policies],
        pacers=[p.pace for p in pacers],
        settlers=[p.settle for p in pacers],
    )
    state = {}
    for family, slab in (("policy", "policy"), ("pacing", "pacer")):
        state[f"{slab}_floats"] = _slab(starts[family], "floats", np.float64)
        state[f"{slab}_ints"] = _slab(starts[family], "ints", np.int64)
    return plugins, _groups(codes, order.seats), state


def _first_state(plugin: Any, params: Any, brief: CampaignBrief) -> dict[str, float]:
    """Ask a plug-in for a campaign's first state, and check that it fits the columns that it named."""
    where = f"{plugin.__name__}.start() for campaign {brief.name!r}"
    try:
        first = dict(plugin.start(params, brief))
        for name, value in first.items():
            (float if name in plugin.floats else int)(value)
    except Exception as error:
        raise UsageError(f"{where} failed: {type(error).__name__}: {error}") from error
    unknown = sorted(set(first) - set(plugin.floats) - set(plugin.ints))
    if unknown:
        raise UsageError(f"{where} sets {unknown[0]!r}, which is no column of floats or ints{did_you_mean(unknown[0], [*plugin.floats, *plugin.ints])}")
    return first


def _groups(codes: dict[str, list[int]], seats: list[int]) -> NDArray[np.int64]:
    rows: list[list[int]] = []
    for k, (policy, pacer, seat) in enumerate(zip(codes["policy"], codes["pacing"], seats, strict=True)):
        if rows and rows[-1][:2] == [policy, pacer] and rows[-1][4] == seat:
            rows[-1][3] = k + 1
        else:
            rows.append([policy, pacer, k, k + 1, seat])
    return np.array(rows, np.int64)


def _slab(starts: Sequence[tuple[Any, Any]], kind: str, dtype: Any) -> NDArray[Any]:
    width = max(1, *(len(getattr(plugin, kind)) for plugin, _ in starts))
    slab = np.zeros((len(starts), width), dtype)
    for row, (plugin, first) in enumerate(starts):
        for column, name in enumerate(getattr(plugin, kind)):
            slab[row, column] = first.get(name, 0)
    return slab


def _market(scenario: Scenario, vocabulary: dict[str, tuple[str, ...]]) -> tuple[Any, int]:
    market, params = chosen_params("market", scenario.settings.market.name, scenario.settings.market.params, scenario.beside)
    return market.prepare(params, scenario.settings.seed, vocabulary), market.depth


def _format_numbers(scenario: Scenario) -> NDArray[np.float64]:
    auction, params = chosen_params("auction", scenario.settings.auction.format, scenario.settings.auction.params, scenario.beside)
    return np.array([*auction.numbers(params), 0.0], np.float64)


def _counters(settings: ScenarioSettings, campaigns: int, vocabulary: dict[str, tuple[str, ...]]) -> Counters:
    tried, tried_sums = empty_landscape(campaigns)
    return Counters(
        reasons=funnel.empty_reasons(campaigns),
        counts=np.zeros((campaigns, len(funnel.COUNTS)), np.int64),
        amounts=np.zeros((campaigns, len(funnel.AMOUNTS)), np.int64),
        sums=np.zeros((campaigns, len(funnel.SUMS))),
        timeline=empty_timeline(campaigns, settings.duration, settings.log.bucket),
        slices=empty_slices([len(vocabulary[f]) for f in CATEGORIES], settings.duration, settings.log.slices),
        landscape=tried,
        landscape_sums=tried_sums,
        market=np.zeros(4, np.int64),
    )


def _logs() -> Logs:
    return Logs(
        wins=empty_log(1024, len(WIN_INTS), len(WIN_FLOATS), 1),
        decisions=empty_log(8192, len(DECISION_INTS), len(DECISION_FLOATS), WIDTH),
        conversions=empty_log(1024, len(CONVERSION_INTS), 1, 1),
    )


def _rules(settings: ScenarioSettings, needs_truth: bool, total: int, campaigns: int) -> Rules:
    return Rules(
        duration=settings.duration,
        bucket=settings.log.bucket,
        slice_window=settings.log.slices,
        reserve=cpm_to_nanos(settings.auction.reserve_cpm),
        fee=float(settings.auction.fee),
        holdout=float(settings.holdout.share),
        needs_truth=1 if needs_truth else 0,
        keep_wins=min(1.0, settings.log.wins / total),
        keep_decisions=min(1.0, settings.log.decisions / (total * min(campaigns, 8))),
        landscape_every=settings.log.landscape_every,
    )
