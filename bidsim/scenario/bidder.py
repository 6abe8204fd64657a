"""From a scenario to its `Bidder`: campaigns, seats, targeting, money, and the first states of policies and pacers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.bidder.flight import empty_flight
from bidsim.bidder.memory import empty_memory
from bidsim.bidder.packed import calls_of
from bidsim.bidder.tables import (
    NOTICES,
    SETTLES,
    Bidder,
    BidderKeys,
    BidderRules,
    Campaigns,
    Experiment,
    Faults,
    Seats,
    Targeting,
    empty_desk,
    empty_port,
)
from bidsim.core.random import campaign_id, name_id, stream_key
from bidsim.core.requests import CATEGORIES
from bidsim.core.scoring import TASK_WORDS, ScorerTables, aligned_tables
from bidsim.core.units import MINUTE, cpm_to_nanos, to_nanos
from bidsim.cvr.features import CAMPAIGN_FEATURES
from bidsim.kernels.bits import bitset
from bidsim.kernels.normal import logit, sigmoid
from bidsim.observers import funnel
from bidsim.scenario.accounts import Purse, prepare_ledger
from bidsim.scenario.model import PurchaseSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bidsim.scenario.bidders import Bidders
    from bidsim.scenario.model import CampaignSettings, ScenarioSettings
    from bidsim.scenario.models import SeatModels
    from bidsim.scenario.order import Order
    from bidsim.traffic.arrivals import Arrivals


def prepare_campaigns(
    settings: ScenarioSettings, order: Order, purses: Sequence[Purse], line: NDArray[np.int64], arrivals: Arrivals
) -> Campaigns:
    """Fixed facts of campaigns; ``static`` is filled when the models are there, ``group`` with the policies."""
    listed, curve = order.campaigns, arrivals.curve
    products = [settings.products[c.product] for c in listed]
    prices = [c.levers.price or p.price for c, p in zip(listed, products, strict=True)]
    worth = [
        to_nanos(c.value if c.value is not None else price * p.margin)
        for c, p, price in zip(listed, products, prices, strict=True)
    ]
    start = np.array([c.start or 0 for c in listed], np.int64)
    end = np.array([c.end or settings.duration for c in listed], np.int64)
    minutes = np.minimum(np.arange(len(curve)) * MINUTE, settings.duration)
    passed_from, passed_to = np.interp(start, minutes, curve), np.interp(end, minutes, curve)
    return Campaigns(
        id=np.array([campaign_id(n) for n in order.names], np.int64),
        by_name=np.array(sorted(range(len(order.names)), key=order.names.__getitem__), np.int64),
        holder=np.array([name_id(f"advertiser/{c.advertiser}") for c in listed], np.int64),
        seat=np.array(order.seats, np.int64),
        line=line,
        group=np.zeros(len(listed), np.int64),
        value=np.array(worth, np.int64),
        start=start,
        end=end,
        cap_count=np.array([c.frequency_cap.count if c.frequency_cap else 0 for c in listed], np.int64),
        cap_window=np.array([c.frequency_cap.per if c.frequency_cap else 0 for c in listed], np.int64),
        passed_from=passed_from,
        passed_share=np.maximum(passed_to - passed_from, 1e-12),
        account=np.array([p.account for p in purses], np.int64),
        by_day=np.array([p.by_day for p in purses], np.int64),
        price=np.array(prices, np.float64),
        static=np.zeros((len(listed), len(CAMPAIGN_FEATURES)), np.float32),
        quality=np.array([_quality(settings, c) for c in listed], np.float64),
    )


def _quality(settings: ScenarioSettings, campaign: CampaignSettings) -> float:
    """Expected clicks of one impression in the first position, as an exchange estimates it for a typical user."""
    click = logit(settings.products[campaign.product].click_rate)
    return settings.traffic.mean_view_rate * sigmoid(
        click + settings.response.creative_effect * campaign.levers.creative
    )


def with_static(campaigns: Campaigns, order: Order, models: SeatModels) -> Campaigns:
    """Fill in feature values in the codes of each seat's model; names that it never saw get -1."""
    rows = []
    for name, campaign, seat in zip(order.names, order.campaigns, order.seats, strict=True):
        known = models.fitted[seat].vocabulary
        named = (("campaign", name), ("advertiser", campaign.advertiser), ("product", campaign.product))
        codes = [known[f].index(level) if level in known.get(f, ()) else -1 for f, level in named]
        levers = campaign.levers
        rows.append([*codes, levers.creative, levers.landing, levers.shipping_days])
    return campaigns._replace(static=np.array(rows, np.float32))


def prepare_bidder(
    settings: ScenarioSettings,
    order: Order,
    campaigns: Campaigns,
    models: SeatModels,
    bidders: Bidders,
    mischief: tuple[Experiment, Faults],
    curve: NDArray[np.float64],
    rules: BidderRules,
) -> Bidder:
    """Put together what bidders know.

    Args:
        settings: The scenario.
        order: Campaigns in the engine's order.
        campaigns: Their fixed facts.
        models: Models of the seats.
        bidders: Their policies and pacers.
        mischief: Bids that dice move, and what goes wrong.
        curve: Expected traffic, cumulated by minute.
        rules: Numbers that hold for the whole run.

    """
    count, lines = len(order.names), int(campaigns.line.max()) + 1
    seats, tables = _seats(settings, models, campaigns.static)
    return Bidder(
        calls=calls_of(models.kinds, bidders.policies, bidders.pacers),
        campaigns=campaigns._replace(group=_group_of(bidders.groups, count)),
        seats=seats,
        groups=bidders.groups,
        targeting=_targeting(order, len(settings.seats)),
        memory=empty_memory(int(campaigns.cap_count.max())),
        ledger=prepare_ledger(settings, order.names),
        flight=empty_flight(1024 if rules.late else 1),
        port=empty_port(count, lines),
        desk=empty_desk(count, len(settings.seats)),
        experiment=mischief[0],
        faults=mischief[1],
        keys=BidderKeys(**{name: stream_key(settings.seed, name) for name in BidderKeys._fields}),
        rules=rules,
        tables=tables,
        reasons=funnel.empty_reasons(count),
        curve=np.ascontiguousarray(curve),
        **bidders.state,
    )


def prepare_bidder_rules(
    settings: ScenarioSettings, auction: Any, by_click: bool, models: SeatModels, bidders: Bidders, faults: Faults
) -> BidderRules:
    """Numbers that hold for a bidder's whole run."""
    groups, notices = bidders.groups, settings.notices
    return BidderRules(
        duration=settings.duration,
        reserve=cpm_to_nanos(settings.auction.reserve_cpm),
        users=1 if settings.values is None else 0,
        episode=settings.episode,
        by_click=1 if by_click else 0,
        joint=1 if auction.joint else 0,
        tells=1 if settings.auction.tell_minimum else 0,
        hears=1 if groups[:, NOTICES].any() or groups[:, SETTLES].any() else 0,
        internal=1 if any(s.internal_auction for s in settings.seats.values()) else 0,
        oracles=1 if models.needs_truth else 0,
        exploration=float(settings.exploration.share),
        faults=len(faults.what),
        shared=1 if settings.budgets else 0,
        late=1 if notices is not None else 0,
        expire=notices.expire if notices is not None else 0,
        remembers=1 if settings.purchases != PurchaseSettings() else 0,
    )


def _group_of(groups: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    found = np.zeros(count, np.int64)
    for g, row in enumerate(groups):
        found[row[2] : row[3]] = g
    return found


def _targeting(order: Order, seats: int) -> Targeting:
    rows = []
    for field in CATEGORIES:
        for level in order.vocabulary[field]:
            allowed = [(wanted := getattr(c.targeting, field)) is None or level in wanted for c in order.campaigns]
            rows.append(bitset(np.array(allowed)))
    member = np.array([bitset(np.array(order.seats) == s) for s in range(seats)])
    first = np.cumsum([0] + [len(order.vocabulary[f]) for f in CATEGORIES[:-1]]).astype(np.int64)
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
