"""What a single key cannot know: names that must exist elsewhere, contradictions, parameters of plug-ins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from bidsim.core.contracts import MarketBrief, ValueBrief
from bidsim.core.datasets import load_dataset
from bidsim.core.errors import ModelError, Problem, did_you_mean
from bidsim.core.memory import GIGABYTE, memory_limit
from bidsim.core.registry import PluginNotFoundError, find
from bidsim.core.requests import CATEGORIES
from bidsim.core.units import format_duration
from bidsim.cvr.features import FEATURES
from bidsim.cvr.files import load_model
from bidsim.scenario.accounts import check_budgets
from bidsim.scenario.incidents import check_incidents
from bidsim.scenario.names import answer_of, check_names, chosen_params
from bidsim.scenario.slices import cells_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bidsim.scenario.choices import Choice
    from bidsim.scenario.locate import Path as KeyPath
    from bidsim.scenario.model import CampaignSettings, ScenarioSettings
    from bidsim.scenario.sources import Source

_MOST_CELLS = 5_000_000
_OF_USERS, _DRAWN, _BUCKET = 150_000, 700_000, 400
"""Bytes that a campaign takes where there are users, where values are drawn, and for each bucket of time: measured at
4,000 campaigns."""


def check_scenario(settings: ScenarioSettings, source: Source, beside: Path | None) -> list[Problem]:
    """Find all mistakes that lie between keys; empty where the scenario can be built."""
    return [
        *check_names(source, beside),
        *_memory(settings, source),
        *_plugins(settings, source, beside),
        *_seats(settings, source),
        *_deadline(settings, source),
        *_products(settings, source),
        *_traffic(settings, source),
        *_times(settings, source),
        *_campaigns(settings, source),
        *check_budgets(settings, source),
        *check_incidents(settings, source, beside),
    ]


def _memory(settings: ScenarioSettings, source: Source) -> Iterator[Problem]:
    """What the campaigns take: their forecasts, their counters by time, and their lines."""
    count, limit = len(settings.campaigns), memory_limit()
    buckets = -(-settings.duration // settings.log.bucket)
    each = (_DRAWN if settings.values is not None else _OF_USERS) + _BUCKET * buckets
    if limit and count * each > limit:
        yield source.problem(
            ("campaigns",),
            f"{count:,} campaigns take about {count * each / GIGABYTE:,.1f} GB of memory, and there are "
            f"{limit / GIGABYTE:,.1f}; leave some out, make log.bucket longer, or run it on a larger machine",
        )


def _campaigns(settings: ScenarioSettings, source: Source) -> Iterator[Problem]:
    vocabulary = settings.traffic.vocabulary()
    for name, campaign in settings.campaigns.items():
        yield from _campaign(settings, source, name, campaign, vocabulary)


def _plugins(settings: ScenarioSettings, source: Source, beside: Path | None) -> Iterator[Problem]:
    """What plug-ins that exist say to the scenario around them."""
    yield from _auction(settings, source, beside)
    yield from _market(settings, source, beside)
    for name, seat in settings.seats.items():
        path: KeyPath = ("seats", name, "model")
        yield from _model_path(settings, source, seat.model, path)
        for feature in seat.model.params.get("ignore", []) if isinstance(seat.model.params.get("ignore"), list) else []:
            if feature not in FEATURES:
                yield source.problem(
                    (*path, "ignore"), f"unknown feature {feature!r}{did_you_mean(str(feature), FEATURES)}"
                )


def _market(settings: ScenarioSettings, source: Source, beside: Path | None) -> Iterator[Problem]:
    """Ask the market whether it fits the traffic, and the values whether they fit the campaigns and the market."""
    logged = None
    try:
        market, params = chosen_params("market", settings.market.name, settings.market.params, beside)
        logged = answer_of(
            settings.market.name, beside, lambda: market.prepare(params, market_brief(settings, source.folder))
        ).logged
    except (PluginNotFoundError, ValidationError):
        return  # told already
    except ValueError as error:
        yield source.problem(("market",), str(error))
        return
    if not settings.requests and logged is None:
        yield source.problem(("requests",), "is missing, or 0; say how many bid requests are expected")
    if logged is not None and settings.requests > len(logged):
        yield source.problem(("requests",), f"{settings.requests:,} is more than the {len(logged):,} rows of the log")
    yield from _values(settings, source, beside, logged is not None)


def market_brief(settings: ScenarioSettings, folder: Path) -> MarketBrief:
    """What a market may know of a scenario."""
    return MarketBrief(settings.seed, settings.traffic.vocabulary(), len(settings.auction.positions), folder)


def _values(settings: ScenarioSettings, source: Source, beside: Path | None, logged: bool) -> Iterator[Problem]:
    if settings.values is None:
        if settings.episode:
            yield source.problem(
                ("episode",), "budgets by episode are for worlds without users; give campaigns a daily_budget"
            )
        return
    try:
        model, params = chosen_params("values", settings.values.name, settings.values.params, beside)
        if model.told and not logged:
            yield source.problem(
                ("values",), f"{settings.values.name!r} reads a log; use it with market.kind = 'replay'"
            )
        answer_of(
            settings.values.name,
            beside,
            lambda: model.prepare(params, ValueBrief(list(settings.campaigns), [1] * len(settings.campaigns))),
        )
    except (PluginNotFoundError, ValidationError):
        return  # told already
    except ValueError as error:
        yield source.problem(("values",), str(error))
    yield from _without_users(settings, source)


def _without_users(settings: ScenarioSettings, source: Source) -> Iterator[Problem]:
    """Keys that have no meaning where there are no users."""
    if settings.holdout.share:
        yield source.problem(("holdout", "share"), "there are no users to hold out where values are drawn")
    if settings.exploration.share:
        yield source.problem(("exploration", "share"), "there are no ads to explore where values are drawn")
    for name, campaign in settings.campaigns.items():
        for key in ("targeting", "frequency_cap", "levers"):
            if key in campaign.model_fields_set:
                yield source.problem(
                    ("campaigns", name, key),
                    "has no meaning where values are drawn and there are no users; leave it out",
                )
        if settings.episode and campaign.daily_budget is not None:
            yield source.problem(
                ("campaigns", name, "daily_budget"),
                "does not go with episode, which gives each episode the whole budget",
            )


def _auction(settings: ScenarioSettings, source: Source, beside: Path | None) -> Iterator[Problem]:
    auction = settings.auction
    if list(auction.positions) != sorted(auction.positions, reverse=True):
        yield source.problem(("auction", "positions"), "must fall from the best position to the worst")
    for name in auction.reserves:
        if name not in settings.campaigns:
            yield source.problem(
                ("auction", "reserves", name), f"unknown campaign {name!r}{did_you_mean(name, settings.campaigns)}"
            )
    try:
        plugin = find("auction", auction.format, beside)
    except PluginNotFoundError:
        return  # told already
    if auction.charge is not None and auction.charge not in plugin.charges:
        yield source.problem(
            ("auction", "charge"), f"{auction.format!r} charges {' or '.join(plugin.charges)}, not {auction.charge!r}"
        )


def _model_path(settings: ScenarioSettings, source: Source, choice: Choice, path: KeyPath) -> Iterator[Problem]:
    """Load a model that is named by its folder, so that what is wrong with it is told before anything runs."""
    wanted = choice.params.get("path")
    if not isinstance(wanted, str):
        return
    try:
        load_model(model_folder(source.folder, wanted), settings.traffic.vocabulary(), choice.name)
    except (ModelError, OSError, ValueError) as error:
        yield source.problem((*path, "path"), str(error))


def model_folder(folder: Path, wanted: str) -> Path:
    """Folder of a trained model: beside the scenario first, then from the working directory."""
    beside = folder / wanted
    return beside if beside.exists() else Path(wanted)


def _seats(settings: ScenarioSettings, source: Source) -> Iterator[Problem]:
    used = {c.seat for c in settings.campaigns.values()}
    for name, seat in settings.seats.items():
        if seat.users[0] >= seat.users[1]:
            yield source.problem(
                ("seats", name, "users"), f"{seat.users} is empty: the first number must be below the second"
            )
        if len(settings.seats) > 1 and name not in used:
            yield source.problem(("seats", name), "no campaign bids through this seat; give it one or leave it out")


def _deadline(settings: ScenarioSettings, source: Source) -> Iterator[Problem]:
    deadline = settings.deadline
    measured = deadline is not None and deadline.clock == "measured"
    if deadline is not None and not measured and "slowdown" in deadline.model_fields_set:
        yield source.problem(("deadline", "slowdown"), "has an effect only with deadline.clock = 'measured'")
    queues = any(s.decision.workers for s in settings.seats.values())
    if deadline is not None and "volume" in deadline.model_fields_set and not queues:
        yield source.problem(
            ("deadline", "volume"), "has an effect only where a seat has decision.workers, so that requests wait"
        )
    for name, seat in settings.seats.items():
        path: KeyPath = ("seats", name, "decision")
        if "decision" in seat.model_fields_set and deadline is None:
            yield source.problem(path, "has no effect without a [deadline]; add one with tmax, or leave it out")
        if seat.decision.shed and not seat.decision.workers:
            yield source.problem(
                (*path, "shed"),
                "drops what has waited too long, but without workers nothing waits; set decision.workers",
            )
        if measured:
            for key in ("fixed", "per_tree", "spread"):
                if key in seat.decision.model_fields_set:
                    yield source.problem((*path, key), "has no effect with deadline.clock = 'measured'")


def _products(settings: ScenarioSettings, source: Source) -> Iterator[Problem]:
    sold = {c.product for c in settings.campaigns.values()}
    interests = settings.traffic.interests
    for name, product in settings.products.items():
        if product.interest is not None and product.interest not in interests:
            yield source.problem(
                ("products", name, "interest"),
                f"unknown interest {product.interest!r}{did_you_mean(product.interest, interests)}",
            )
        if name not in sold:
            yield source.problem(("products", name), "no campaign sells this product; give it one or leave it out")


def _traffic(settings: ScenarioSettings, source: Source) -> Iterator[Problem]:
    traffic = settings.traffic
    if len(set(traffic.interests)) < len(traffic.interests):
        yield source.problem(("traffic", "interests"), "an interest is named twice")
    if "unknown" in traffic.interests:
        yield source.problem(
            ("traffic", "interests"),
            "'unknown' is the name of the segment of users nobody knows; call the interest otherwise",
        )
    published = load_dataset("ipinyou")["exchanges"]
    if traffic.floors == "ipinyou":
        for name in traffic.exchanges:
            if name not in published:
                yield source.problem(
                    ("traffic", "exchanges", name),
                    f"floors 'ipinyou' are known for {', '.join(published)}{did_you_mean(name, published)}",
                )


def _times(settings: ScenarioSettings, source: Source) -> Iterator[Problem]:
    needed = settings.attribution.window + settings.history.evaluation + settings.history.warmup
    if settings.values is None and settings.history.duration <= needed:
        yield source.problem(
            ("history", "duration"),
            f"{format_duration(settings.history.duration)} leaves nothing to train on: history.warmup, "
            f"history.evaluation and attribution.window take {format_duration(needed)}",
        )
    for path, cells in (
        (("log", "bucket"), len(settings.campaigns) * (settings.duration // settings.log.bucket + 1)),
        (("monitoring", "window"), cells_of(settings)),
    ):
        if cells > _MOST_CELLS:
            yield source.problem(path, f"makes a table of {cells:,} rows; make it longer")
    if settings.monitoring.baseline is not None and settings.monitoring.baseline >= settings.duration:
        yield source.problem(
            ("monitoring", "baseline"),
            f"is not shorter than the run of {format_duration(settings.duration)}, so nothing is left to watch",
        )
    for n, (a, b) in enumerate(settings.monitoring.pairs):
        if a == b or [a, b] in settings.monitoring.pairs[:n]:
            yield source.problem(("monitoring", "pairs"), f"{[a, b]} names one field twice, or comes twice")


def _campaign(
    settings: ScenarioSettings,
    source: Source,
    name: str,
    campaign: CampaignSettings,
    vocabulary: dict[str, tuple[str, ...]],
) -> Iterator[Problem]:
    path: KeyPath = ("campaigns", name)
    if campaign.seat is None and len(settings.seats) > 1:
        yield source.problem((*path, "seat"), f"is missing: there are several seats ({', '.join(settings.seats)})")
    yield from _flight(settings, source, path, campaign)
    for field in CATEGORIES:
        for level in getattr(campaign.targeting, field) or ():
            if level not in vocabulary[field]:
                yield source.problem(
                    (*path, "targeting", field),
                    f"there is no {field} {level!r} in the traffic{did_you_mean(level, vocabulary[field])}",
                )


def _flight(settings: ScenarioSettings, source: Source, path: KeyPath, campaign: CampaignSettings) -> Iterator[Problem]:
    start, end = campaign.start or 0, campaign.end or settings.duration
    if start >= settings.duration:
        yield source.problem(
            (*path, "start"), f"the flight starts after the scenario's end of {format_duration(settings.duration)}"
        )
    elif campaign.end is not None and end > settings.duration:
        yield source.problem(
            (*path, "end"), f"the flight ends after the scenario's end of {format_duration(settings.duration)}"
        )
    elif start >= end:
        yield source.problem(
            (*path, "end"), f"the flight ends at {format_duration(end)}, before it starts at {format_duration(start)}"
        )
