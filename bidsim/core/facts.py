"""`RunFacts`: what a manifest says of a run, checked and typed, with units in the names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, overload

from bidsim.core.errors import RunDirectoryError, shown

T = TypeVar("T")
_NEEDED: Any = object()
_NAMES: dict[type, str] = {int: "a whole number", float: "a number", str: "text", dict: "a table", list: "a list"}


@dataclass(frozen=True)
class CampaignFacts:
    """A campaign as the scenario set it.

    Attributes:
        advertiser: Whose it is.
        product: What it sells.
        budget: Currency units, of the run or of each episode; where it has none of its own, the least total of the
            shared ones, infinite where these are of days only.
        daily_budget: Currency units a day; None where a day has no budget of its own.
        start_us: When its flight begins, microseconds since the run's start; None where that is not said.
        end_us: When it ends; None where that is not said.

    """

    advertiser: str
    product: str
    budget: float
    daily_budget: float | None
    start_us: int | None
    end_us: int | None


@dataclass(frozen=True)
class ProductFacts:
    """A product.

    Attributes:
        margin: Part of the price that a sale earns.
        repurchase_us: Mean time from a purchase to the next, microseconds.

    """

    margin: float
    repurchase_us: int


@dataclass(frozen=True)
class ExplorationFacts:
    """The slice in which levers are set by dice.

    Attributes:
        share: Part of the traffic; 0 where nothing is explored.
        levers: Names of the levers varied.
        steps: Lever -> size of a step, in its own unit.

    """

    share: float = 0.0
    levers: tuple[str, ...] = ()
    steps: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RunFacts:
    """What a run was, out of its manifest.

    Attributes:
        scenario: Name of the scenario.
        seed: Seed of everything drawn.
        scenario_hash: 12 hex digits of the resolved scenario; empty while the run goes.
        version: bidsim's version that ran it; empty while the run goes.
        requests: Requests of the run.
        duration_us: Length of the run, microseconds.
        bucket_us: Length of a bucket of the timeline, microseconds.
        landscape_every: Every how many auctions the landscape is surveyed.
        attribution_window_us: How long after an ad a purchase is credited to it, microseconds.
        watch_window_us: Length of a window of slices, microseconds.
        watch_baseline_us: Time at the start that is normal, microseconds; None where the scenario does not say.
        watch_rows: Which rows slices count: ``won``, ``all`` or ``none``.
        false_alarms: False alarms allowed in 1,000 windows.
        values_are_drawn: Whether values are drawn, and no user is simulated.
        episode_requests: Requests of an episode; 0 without episodes.
        positions: Relative view rate of each position of a request.
        tmax_us: Deadline for answers, microseconds; None where there is none.
        holdout_share: Part of the users that see no ads.
        exploration: The slice in which levers are set by dice.
        incidents: How many things the scenario breaks.
        campaigns: Campaign -> its facts.
        products: Product -> its facts.
        internal_auctions: Seat -> whether it sends one bid only.
        charge: What the winner pays for.
        kept_wins: Part of the requests whose won impressions are kept.
        kept_decisions: Part of the requests whose decisions are kept.
        evaluation: Seat -> figures of its model; empty where none was trained.
        bids_for_clicks: Whether a replay's bidders are after clicks, not conversions.
        notes: What a person should know of the market outside, a sentence each.
        warnings: Seat -> what a person should know of its model.
        scorers: Seat -> how its model is scored, in words.
        seconds: Stage -> how long it took, seconds.
        requests_per_second: Pace of the loop.
        decision_ns: Quantile -> time of a decision, nanoseconds; empty where none was timed.

    """

    scenario: str
    seed: int
    scenario_hash: str
    version: str
    requests: int
    duration_us: int
    bucket_us: int
    landscape_every: int
    attribution_window_us: int
    watch_window_us: int
    watch_baseline_us: int | None
    watch_rows: str
    false_alarms: float
    values_are_drawn: bool
    episode_requests: int
    positions: tuple[float, ...]
    tmax_us: float | None
    holdout_share: float
    exploration: ExplorationFacts
    incidents: int
    campaigns: Mapping[str, CampaignFacts]
    products: Mapping[str, ProductFacts]
    internal_auctions: Mapping[str, bool]
    charge: Literal["impression", "click"]
    kept_wins: float
    kept_decisions: float
    evaluation: Mapping[str, Any]
    bids_for_clicks: bool
    notes: tuple[str, ...]
    warnings: Mapping[str, str]
    scorers: Mapping[str, str]
    seconds: Mapping[str, float]
    requests_per_second: float
    decision_ns: Mapping[str, float]


def facts_of(manifest: Mapping[str, Any], where: str) -> RunFacts:
    """Read a manifest.

    Args:
        manifest: The manifest.
        where: The run, for errors.

    Raises:
        RunDirectoryError: A key is missing, or holds what it cannot; in one line, with the key.

    """
    whole = _Table(manifest, "", where)
    scenario, sampling = whole.table("scenario"), whole.table("sampling")
    watch, log = scenario.table("monitoring"), scenario.table("log")
    deadline = scenario.table("deadline") if manifest["scenario"].get("deadline") is not None else None
    return RunFacts(
        scenario=scenario.get("name", str),
        seed=scenario.get("seed", int),
        scenario_hash=whole.get("scenario_hash", str, ""),
        version=whole.table("versions", {}).get("bidsim", str, ""),
        requests=whole.get("requests", int),
        duration_us=scenario.get("duration", int),
        bucket_us=log.get("bucket", int),
        landscape_every=log.get("landscape_every", int),
        attribution_window_us=scenario.table("attribution").get("window", int),
        watch_window_us=watch.get("window", int),
        watch_baseline_us=watch.perhaps("baseline", int),
        watch_rows=watch.get("rows", str),
        false_alarms=watch.get("false_alarms", float),
        values_are_drawn=manifest["scenario"].get("values") is not None,
        episode_requests=scenario.get("episode", int),
        positions=scenario.table("auction").many("positions", float),
        tmax_us=None if deadline is None else deadline.get("tmax", float),
        holdout_share=scenario.table("holdout").get("share", float),
        exploration=_exploration(scenario.table("exploration")),
        incidents=len(scenario.get("incidents", list)),
        campaigns={name: _campaign(name, row, scenario) for name, row in scenario.table("campaigns").rows()},
        products={
            name: ProductFacts(row.get("margin", float), row.get("repurchase", int))
            for name, row in scenario.table("products").rows()
        },
        internal_auctions={name: row.get("internal_auction", bool) for name, row in scenario.table("seats").rows()},
        charge="click" if whole.get("charge", str, "impression") == "click" else "impression",
        kept_wins=sampling.get("auctions", float),
        kept_decisions=sampling.get("requests", float),
        bids_for_clicks=_bids_for_clicks(manifest["scenario"].get("values")),
        notes=tuple(str(note) for note in whole.get("notes", list, [])),
        **_told_at_the_end(whole),
    )


def shortened(manifest: Mapping[str, Any], duration_us: int, baseline_us: int) -> dict[str, Any]:
    """Manifest of a run as if it had ended sooner, with the time at its start that is taken for normal."""
    scenario = manifest["scenario"]
    watch = {**scenario["monitoring"], "baseline": baseline_us}
    return {**manifest, "scenario": {**scenario, "duration": duration_us, "monitoring": watch}}


def _told_at_the_end(whole: _Table) -> dict[str, Any]:
    """What is known when a run is over: how good models are, and how long things took."""
    stages = whole.table("stage_nanoseconds", {})
    return {
        "evaluation": whole.get("evaluation", dict, {}),
        "warnings": whole.table("warnings", {}).table("models", {}).each(str),
        "scorers": whole.table("scorers", {}).each(str),
        "seconds": whole.table("seconds", {}).each(float),
        "requests_per_second": whole.get("requests_per_second", float, 0.0),
        "decision_ns": stages.table("decision", {}).each(float),
    }


def _bids_for_clicks(values: Any) -> bool:
    """Whether values are those of a log, and its event is the click."""
    logged = isinstance(values, Mapping) and values.get("name") == "logged"
    return logged and (values.get("params") or {}).get("event", "click") == "click"


def _exploration(table: _Table) -> ExplorationFacts:
    return ExplorationFacts(table.get("share", float), table.many("levers", str), table.table("steps").each(float))


def _campaign(name: str, row: _Table, scenario: _Table) -> CampaignFacts:
    own, owner = row.perhaps("budget", float), row.get("advertiser", str)
    return CampaignFacts(
        owner,
        row.get("product", str),
        _shared(name, owner, scenario) if own is None else own,
        row.perhaps("daily_budget", float),
        row.perhaps("start", int),
        row.perhaps("end", int),
    )


def _shared(name: str, owner: str, scenario: _Table) -> float:
    """What a campaign could spend if it had the budgets that it draws on to itself."""
    totals = []
    for _, budget in scenario.table("budgets", {}).rows():
        drawn = name in (budget.perhaps("campaigns", list) or ()) or budget.perhaps("advertiser", str) == owner
        total = budget.perhaps("total", float)
        if drawn and total is not None:
            totals.append(total)
    return min(totals, default=math.inf)


class _Table:
    """A table of a manifest, which knows where it stands."""

    def __init__(self, content: Any, path: str, where: str) -> None:
        self._path, self._where = path, where
        self._content: Mapping[str, Any] = self._checked(content, dict, path)

    def _checked(self, value: Any, kind: type[T], path: str) -> T:
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            wanted = _NAMES.get(kind, "true or false")
            raise RunDirectoryError(
                f"{self._where} is damaged: {path} of its manifest.json is {shown(value)}, not {wanted}; run the "
                "scenario again"
            )
        return value

    def _value(self, key: str, default: Any) -> Any:
        value = self._content.get(key, default)
        if value is _NEEDED:
            raise RunDirectoryError(
                f"{self._where} is damaged: its manifest.json lacks {self._below(key)}; run the scenario again"
            )
        return value

    def _below(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    @overload
    def get(self, key: str, kind: type[T]) -> T: ...
    @overload
    def get(self, key: str, kind: type[T], default: T) -> T: ...
    def get(self, key: str, kind: type[T], default: Any = _NEEDED) -> T:
        """Value of a key, of the kind that is asked for."""
        return self._checked(self._value(key, default), kind, self._below(key))

    def perhaps(self, key: str, kind: type[T]) -> T | None:
        """Value of a key that may be null."""
        value = self._value(key, _NEEDED)
        return None if value is None else self._checked(value, kind, self._below(key))

    def many(self, key: str, kind: type[T]) -> tuple[T, ...]:
        """Values of a list."""
        listed = enumerate(self.get(key, list))
        return tuple(self._checked(one, kind, f"{self._below(key)}[{k}]") for k, one in listed)

    def each(self, kind: type[T]) -> dict[str, T]:
        """All values of this table."""
        return {key: self._checked(value, kind, self._below(key)) for key, value in self._content.items()}

    def table(self, key: str, default: Any = _NEEDED) -> _Table:
        """A table below."""
        return _Table(self._value(key, default), self._below(key), self._where)

    def rows(self) -> list[tuple[str, _Table]]:
        """Name and content of the tables below."""
        return [(key, self.table(key)) for key in self._content]
