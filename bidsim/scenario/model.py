"""The shape of a scenario file: one class for each block, every key with its unit and default."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bidsim.core.incidents import Places
from bidsim.core.plain import NAME_PATTERN
from bidsim.core.settings import Duration, Money, Number, Settings, Share
from bidsim.core.units import DAY, HOUR
from bidsim.kernels.distributions import Distribution, Exponential
from bidsim.response.settings import AttributionSettings, LeverSettings, ProductSettings, ResponseSettings
from bidsim.scenario.choices import (
    AuctionChoice,
    AuctionSettings,
    Choice,
    IncidentChoice,
    MarketChoice,
    ModelChoice,
    PacingChoice,
    PolicyChoice,
    ValuesChoice,
)
from bidsim.traffic.settings import TrafficSettings


class DecisionSettings(Settings):
    """How long a seat takes to decide, and who works on it; counts where ``deadline`` is given."""

    fixed: Duration | None = None
    """Median time of a decision whatever its size; by default none."""
    per_tree: Annotated[Number, Field(ge=0.0, le=1e9)] = 0.0
    """Nanoseconds for each candidate and tree of the model."""
    spread: Annotated[Number, Field(ge=0.0, le=3.0)] = 0.2
    """Standard deviation of the logarithm of the time."""
    workers: Annotated[int, Field(ge=0, le=1024)] = 0
    """Requests that the seat works on at once, in the order of arrival; 0 where none ever waits."""
    shed: bool = False
    """Whether requests that are late already are dropped instead of worked on."""


class DeadlineSettings(Settings):
    """How long the exchange waits for bids."""

    tmax: Duration
    """Time from a request to the last bid that counts."""
    network: Duration | None = None
    """Median time that the network takes both ways; by default none."""
    network_spread: Annotated[Number, Field(ge=0.0, le=3.0)] = 0.3
    """Standard deviation of its logarithm."""
    clock: Literal["modelled", "measured"] = "modelled"
    """Whether decisions take the time that seats declare, or what this machine measures; then no run is like
    another."""
    slowdown: Annotated[Number, Field(gt=0.0, le=1e9)] = 1.0
    """Multiplies the measured time."""
    volume: Annotated[Number, Field(ge=1.0, le=1e9)] = 1.0
    """Real requests that each simulated one stands for, in the seats' queues."""


class SeatSettings(Settings):
    """A bidder as the exchange sees it: a CVR model and the campaigns that trust it."""

    model: ModelChoice
    """The CVR model: ``oracle``, ``lightgbm``, ``logistic``, or a table with its parameters."""
    users: Annotated[list[Share], Field(min_length=2, max_length=2)] = [0.0, 1.0]
    """Part of the users that this seat serves, for A/B tests: ``[0.0, 0.5]`` is the first half."""
    internal_auction: bool = False
    """Whether only the seat's best bid goes out."""
    decision: DecisionSettings = DecisionSettings()
    """How long it takes to decide."""


class FrequencyCap(Settings):
    """At most ``count`` impressions of a campaign for a user within any period of length ``per``."""

    count: Annotated[int, Field(ge=1, le=1000)]
    """Most impressions."""
    per: Duration
    """Length of the sliding period."""


class Targeting(Places):
    """Where a campaign may bid: for each field the allowed levels; a field left out allows all."""


class CampaignSettings(Settings):
    """What one campaign advertises, to whom, for how much."""

    advertiser: Annotated[str, Field(min_length=1)]
    """Who pays."""
    product: str
    """What is sold: a key of ``products``."""
    budget: Money | None = None
    """Most that the campaign may spend, currency units; may be left out where it draws on one of ``budgets``."""
    seat: str | None = None
    """Who bids for it: a key of ``seats``; may be left out where there is only one."""
    daily_budget: Money | None = None
    """Most that it may spend in a day, currency units."""
    start: Duration | None = None
    """When the flight starts, after the scenario's start."""
    end: Duration | None = None
    """When the flight ends."""
    value: Money | None = None
    """What a conversion is worth to the bidder, currency units; by default price x margin."""
    policy: PolicyChoice = Choice(name="truthful")
    """How values become bids."""
    pacing: PacingChoice = Choice(name="none")
    """How the budget is spread."""
    targeting: Targeting = Targeting()
    """Where it may bid."""
    frequency_cap: FrequencyCap | None = None
    """How often a user may see it."""
    levers: LeverSettings = LeverSettings()
    """What the advertiser can change about the ad."""


class HistorySettings(Settings):
    """The logged traffic before t = 0 on which CVR models are trained."""

    requests: Annotated[int, Field(ge=100, le=1_000_000_000)] = 3_000_000
    """Expected number of logged impressions."""
    duration: Duration = 28 * DAY
    """How long before t = 0 it begins."""
    warmup: Duration = 7 * DAY
    """Length of its first part, which is not used: users first have to get used to seeing ads."""
    evaluation: Duration = 3 * DAY
    """Length of the last matured part, which is for evaluation only."""
    keep: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.15
    """Share of impressions without a conversion that are kept for training."""
    labels: Literal["matured", "imputed"] = "matured"
    """Whether the last impressions, whose conversions may still come, are left out of training, or trained on with
    labels that a delay model imputes."""


class HoldoutSettings(Settings):
    """Ghost ads: users who are never shown an advertiser's ads, and whose lost auctions are noted."""

    share: Annotated[Number, Field(ge=0.0, le=0.9)] = 0.0
    """Share of (user, advertiser) pairs that are held out."""


class NoticeSettings(Settings):
    """How the exchange tells bidders what became of their bids; without this block at once, in the same request.

    A bid is reserved in its budgets when it is sent, and until its notice comes. An impression is billed by its notice:
    one that is lost, or comes after ``expire``, bills nothing.
    """

    delay: Duration | Distribution = Exponential(type="exponential", rate=1 / 60)
    """Time from a request to its notices: a duration, or a distribution of seconds."""
    lost: Share = 0.0
    """Share of notices that never come."""
    expire: Duration = HOUR
    """Age at which a bid that nothing was heard of is given up, and its money is free again."""


class PurchaseSettings(Settings):
    """What shops tell their bidders of users' purchases, which the feature ``days_since_purchase`` reads."""

    told: Literal["all", "ad_driven", "none"] = "all"
    """Which purchases: all, with those that come without ads; those that an ad caused; or none."""
    delay: Duration | None = None
    """How much later they are told; by default at once."""


class BudgetSettings(Settings):
    """A budget that several campaigns draw on, beside their own."""

    total: Money | None = None
    """Most that they may spend together, currency units."""
    daily: Money | None = None
    """Most that they may spend together in a day, currency units."""
    advertiser: str | None = None
    """Whose campaigns draw on it,"""
    campaigns: Annotated[list[str], Field(min_length=1)] | None = None
    """or which."""


class WarmStartSettings(Settings):
    """Policies and pacers that begin with what they had learned by the end of an earlier run."""

    run: Annotated[str, Field(min_length=1)]
    """The earlier run's directory, beside the scenario or absolute."""
    fresh: list[str] = []
    """Campaigns that begin anew; all others must be found in the earlier run, with the same policy and pacer."""


class StepSettings(Settings):
    """The change in each lever that an effect is asked for."""

    price: Annotated[Number, Field(gt=0.0, le=0.5)] = 0.05
    """Part of the price."""
    creative: Annotated[Number, Field(gt=0.0, le=5.0)] = 0.25
    """Units of quality."""
    landing: Annotated[Number, Field(gt=0.0, le=5.0)] = 0.25
    """Units of quality."""
    shipping_days: Annotated[Number, Field(gt=0.0, le=30.0)] = 1.0
    """Days."""
    bid: Annotated[Number, Field(gt=0.0, le=0.5)] = 0.1
    """Part of the bid."""


class ExplorationSettings(Settings):
    """A slice of traffic in which dice set the levers, hidden from bidders and models, so that effects can be known."""

    share: Annotated[Number, Field(ge=0.0, le=1.0)] = 0.0
    """Share of (user, advertiser) pairs in the slice."""
    levers: Annotated[list[Literal["price", "creative", "landing", "shipping_days", "bid"]], Field(min_length=1)] = [
        "price",
        "creative",
        "landing",
        "shipping_days",
        "bid",
    ]
    """Levers that are varied."""
    reach: Annotated[Number, Field(gt=0.0, le=10.0)] = 2.4
    """How many steps a lever is moved up or down."""
    steps: StepSettings = StepSettings()
    """What one step is."""


TrafficField = Literal["exchange", "site", "placement", "device", "geo", "slot", "segment", "age"]


class MonitoringSettings(Settings):
    """What is counted by slice and window while the run goes, and when an alarm may sound."""

    window: Duration = 6 * HOUR
    """Length of a window."""
    baseline: Duration | None = None
    """Time from the start that is known to be quiet; by default a third of the run."""
    pairs: Annotated[list[Annotated[list[TrafficField], Field(min_length=2, max_length=2)]], Field(max_length=28)] = []
    """Pairs of fields that are slices, too, such as ``["geo", "device"]``."""
    most: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    """Most slices: levels times product lines; where there are more, products take the place of lines, and then all are
    one."""
    rows: Literal["none", "won", "all"] = "won"
    """Whether nothing is counted by slice, only won impressions, or beside them all eligible campaigns of requests."""
    share: Share = 1.0
    """Share of requests of which all eligible campaigns are counted, with ``rows = "all"``."""
    false_alarms: Annotated[Number, Field(gt=0.0, le=1000.0)] = 1.0
    """False alarms that are allowed in 1,000 windows, over all slices together."""


class LogSettings(Settings):
    """How much of a run is kept in rows; counters always cover everything."""

    wins: Annotated[int, Field(ge=0, le=1_000_000_000)] = 100_000
    """About how many won impressions to keep in ``auctions.parquet``; more are sampled by request."""
    decisions: Annotated[int, Field(ge=0, le=1_000_000_000)] = 20_000
    """About how many (request, campaign) rows to keep in ``requests.parquet`` and ``bids.parquet``."""
    bucket: Duration = 3_600_000_000
    """Length of a bucket of ``timeline.parquet``."""
    landscape_every: Annotated[int, Field(ge=1, le=1_000_000_000)] = 16
    """Every how many requests other bids are tried, for the bid landscape."""


Name = Annotated[str, Field(min_length=1, max_length=100_000)]


class ScenarioSettings(Settings):
    """A complete experiment."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    """Name of the scenario; run directories are called after it."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of everything that is drawn."""
    requests: Annotated[int, Field(ge=0, le=10_000_000_000)] = 0
    """Expected number of bid requests; a replayed log may leave it out and is then read to its end."""
    count: Literal["poisson", "exact"] = "poisson"
    """Whether the number of requests varies as in life, or is exactly ``requests``."""
    duration: Duration
    """How long the market runs; t = 0 is a Monday, 0:00."""
    traffic: TrafficSettings = TrafficSettings()
    """Who visits, and what bidders can know."""
    products: Annotated[dict[Name, ProductSettings], Field(min_length=1)]
    """What is sold."""
    response: ResponseSettings = ResponseSettings()
    """The truth: how users respond."""
    attribution: AttributionSettings = AttributionSettings()
    """Which impression is credited."""
    market: MarketChoice = Choice(name="landscape")
    """Rivals outside the scenario."""
    values: ValuesChoice | None = None
    """What impressions are worth to campaigns, drawn directly; by default users, truth and models decide."""
    episode: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    """Requests after which every campaign has its whole budget again; 0 for one budget for the run."""
    auction: AuctionChoice = AuctionSettings()
    """How impressions are sold."""
    deadline: DeadlineSettings | None = None
    """How long the exchange waits for bids; by default for ever."""
    seats: Annotated[dict[Name, SeatSettings], Field(min_length=1, max_length=64)]
    """Bidders."""
    campaigns: Annotated[dict[Name, CampaignSettings], Field(min_length=1, max_length=100_000)]
    """Campaigns. 1,000 take about 0.7 GB of memory where values are drawn, and 0.15 GB where there are users; 100,000
    take a hundred times that."""
    history: HistorySettings = HistorySettings()
    """Logged traffic for training."""
    holdout: HoldoutSettings = HoldoutSettings()
    """Ghost ads."""
    exploration: ExplorationSettings = ExplorationSettings()
    """Levers set by dice."""
    notices: NoticeSettings | None = None
    """When bidders hear what became of their bids; by default in the same request."""
    purchases: PurchaseSettings = PurchaseSettings()
    """What bidders hear of users' purchases."""
    budgets: Annotated[dict[Name, BudgetSettings], Field(max_length=1024)] = {}
    """Budgets that campaigns share."""
    warm_start: WarmStartSettings | None = None
    """An earlier run whose policies and pacers have learned; by default all begin anew."""
    incidents: Annotated[list[IncidentChoice], Field(max_length=64)] = []
    """What goes wrong, and when."""
    monitoring: MonitoringSettings = MonitoringSettings()
    """Slices, windows and alarms."""
    log: LogSettings = LogSettings()
    """What is kept."""

    @model_validator(mode="before")
    @classmethod
    def _without_users(cls, data: Any) -> Any:
        """Fill in a product, a seat, advertisers."""
        return whole_world(data) if isinstance(data, dict) else data


def whole_world(data: dict[str, Any]) -> dict[str, Any]:
    """What was typed, with what a world of drawn values has no use for filled in."""
    market = data.get("market")
    replays = market == "replay" or (isinstance(market, dict) and market.get("kind") == "replay")
    if "values" not in data and not replays:
        return data
    made = {
        "values": {"kind": "logged"},
        "products": {"impression": {"price": 1.0, "margin": 1.0}},
        "seats": {"main": {"model": "oracle"}},
        **data,
    }
    if not replays:
        made.setdefault("market", {"kind": "none"})
    campaigns = data.get("campaigns")
    if isinstance(campaigns, dict):
        made["campaigns"] = {
            name: {"advertiser": name, "product": "impression", **c} if isinstance(c, dict) else c
            for name, c in campaigns.items()
        }
    return made
