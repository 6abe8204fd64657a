"""`build`: from a `Scenario` to an `Engine`, training the seats' models on the way."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bidsim.bidder.tables import Campaigns
from bidsim.core.contracts import CampaignBrief
from bidsim.core.units import DAY
from bidsim.engine.engine import Engine
from bidsim.engine.output import Names
from bidsim.engine.tables import State
from bidsim.response.prepare import Line, Offered, prepare_truth
from bidsim.scenario.accounts import Purse, purses
from bidsim.scenario.bidder import prepare_bidder, prepare_bidder_rules, prepare_campaigns, with_static
from bidsim.scenario.bidders import Bidders
from bidsim.scenario.exchange import Exchange, prepare_exchange, rivals_and_arrivals
from bidsim.scenario.exploration import prepare_exploration
from bidsim.scenario.forecast import forecast
from bidsim.scenario.incidents import prepare_incidents
from bidsim.scenario.learned import warm_start
from bidsim.scenario.models import SeatModels, prepare_models
from bidsim.scenario.order import Order, order_of
from bidsim.scenario.slices import group_campaigns
from bidsim.scenario.world import keys_of, prepare_world
from bidsim.traffic.stream import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bidsim.scenario.load import Scenario


def build(
    scenario: Scenario,
    *,
    models: SeatModels | None = None,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> tuple[Engine, SeatModels]:
    """Make the world of a scenario and train its models.

    Args:
        scenario: What `load_scenario` returned.
        models: Models of the seats where they are there already; by default they are trained, or loaded.
        progress: Called with (stage, done since the last call, total) while the history runs and models are trained.

    Returns:
        The engine, ready to be stepped, and the seats' models with their evaluation.

    """
    settings, begun = scenario.settings, time.perf_counter()
    order = order_of(scenario)
    own = purses(settings, order.names)
    truth, lines = prepare_truth(
        [Offered(Line(c.advertiser, c.product), c.levers) for c in order.campaigns],
        settings.products,
        settings.traffic.interests,
        [p.view_rate for p in settings.traffic.placements.values()],
        settings.response,
        settings.attribution,
    )
    _, arrivals = rivals_and_arrivals(scenario)
    campaigns = prepare_campaigns(settings, order, own, truth.line, arrivals)
    exchange = prepare_exchange(scenario, order.names, campaigns.value.tolist())
    if models is None:
        history = keys_of(settings.seed, "history/")
        models = prepare_models(scenario, order.names, order.seats, campaigns, truth, history, progress)
    campaigns = with_static(campaigns, order, models)
    briefs = _briefs(scenario, order, campaigns, own, exchange, models)
    bidders = Bidders(scenario, list(zip(order.campaigns, order.seats, strict=True)), briefs)
    exploration, experiment = prepare_exploration(settings, order.campaigns)
    incidents, faults = prepare_incidents(settings, order.campaigns, scenario.beside)
    rules = prepare_bidder_rules(settings, exchange.auction, exchange.by_click, models, bidders, faults)
    bidder = prepare_bidder(
        settings, order, campaigns, models, bidders, (experiment, faults), exchange.arrivals.curve, rules
    )
    warm_start(bidder, scenario)
    grouped, groups = group_campaigns(settings, order.campaigns, order.vocabulary)
    world = prepare_world(settings, order, truth, bidder, exchange, models, (exploration, incidents), grouped)
    traffic = Traffic(settings.traffic, settings.seed, "run", exchange.arrivals)
    engine = Engine(State(bidder, world), traffic, exchange.rivals, _names(scenario, order, own, lines, groups, models))
    engine.seconds["build"] = time.perf_counter() - begun
    return engine, models


def _briefs(
    scenario: Scenario,
    order: Order,
    campaigns: Campaigns,
    own: Sequence[Purse],
    exchange: Exchange,
    models: SeatModels,
) -> list[CampaignBrief]:
    """What policies and pacers are told of their campaigns before the run."""
    listed = list(zip(order.names, order.campaigns, order.seats, strict=True))
    expected = forecast(scenario, listed, campaigns, exchange.rivals, exchange.values, exchange.charged)
    found = []
    for k, (name, purse, f) in enumerate(zip(order.names, own, expected, strict=True)):
        rate = f.mean_rate if exchange.values is not None else models.mean_pcvr(order.seats[k], name)
        quality = f.quality if exchange.by_click else 1.0
        budget, opportunities = purse.budget, f.opportunities
        if purse.by_day:
            days = max(int(campaigns.end[k] - campaigns.start[k]), DAY) / DAY
            budget, opportunities = purse.daily, opportunities / days
        value = int(campaigns.value[k])
        found.append(
            CampaignBrief(
                name, budget, value, opportunities, rate, f.values / quality, f.prices, exchange.pays, quality
            )
        )
    return found


def _names(
    scenario: Scenario,
    order: Order,
    own: Sequence[Purse],
    lines: Sequence[Line],
    groups: Sequence[tuple[str, str]],
    models: SeatModels,
) -> Names:
    settings = scenario.settings
    return Names(
        campaigns=order.names,
        advertisers=[c.advertiser for c in order.campaigns],
        products=[c.product for c in order.campaigns],
        seats=[list(settings.seats)[s] for s in order.seats],
        policies=[c.policy.name for c in order.campaigns],
        pacers=[c.pacing.name for c in order.campaigns],
        lines=[(line.advertiser, line.product) for line in lines],
        vocabulary=order.vocabulary,
        bidders=list(settings.seats),
        pairs=[(a, b) for a, b in settings.monitoring.pairs],
        groups=groups,
        delays=models.delays,
        budgets=[purse.shown for purse in own],
        format=settings.auction.format,
    )
