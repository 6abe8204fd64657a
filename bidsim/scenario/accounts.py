"""Whose money it is: campaigns' own budgets, and those that several draw on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bidsim.bidder.ledger import NO_LIMIT, Ledger, open_ledger
from bidsim.core.errors import Problem, did_you_mean
from bidsim.core.units import DAY, to_nanos

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bidsim.scenario.model import BudgetSettings, CampaignSettings, ScenarioSettings
    from bidsim.scenario.sources import Source


@dataclass(frozen=True)
class Purse:
    """What a campaign paces its spend by.

    Attributes:
        account: The account that binds: its own, or the first shared one where it has none.
        budget: Nanos of the flight, or of an episode.
        daily: Nanos a day, `NO_LIMIT` where days do not bind.
        by_day: Whether the days' budgets of its flight come to no more than the whole.
        shown: Budget as tables show it, nanos.

    """

    account: int
    budget: int
    daily: int
    by_day: bool
    shown: int


def draws_on(settings: ScenarioSettings, name: str) -> list[int]:
    """Places, among the shared budgets, of those that a campaign draws on."""
    return [place for place, budget in enumerate(settings.budgets.values()) if _shares(settings, budget, name)]


def _shares(settings: ScenarioSettings, budget: BudgetSettings, name: str) -> bool:
    return name in (budget.campaigns or ()) or settings.campaigns[name].advertiser == budget.advertiser


def _nanos(money: float | None) -> int:
    return NO_LIMIT if money is None else to_nanos(money)


def prepare_ledger(settings: ScenarioSettings, names: Sequence[str]) -> Ledger:
    """Open an account for each campaign, in the engine's order, and one for each shared budget."""
    own = [settings.campaigns[name] for name in names]
    shared = list(settings.budgets.values())
    begins_anew = settings.episode > 0
    return open_ledger(
        [NO_LIMIT if begins_anew else _nanos(c.budget) for c in own] + [_nanos(b.total) for b in shared],
        [_nanos(c.budget if begins_anew else c.daily_budget) for c in own] + [_nanos(b.daily) for b in shared],
        [[len(own) + place for place in draws_on(settings, name)] for name in names],
    )


def purses(settings: ScenarioSettings, names: Sequence[str]) -> list[Purse]:
    """What each campaign, in the engine's order, paces by."""
    return [_purse(settings, names, k) for k in range(len(names))]


def _purse(settings: ScenarioSettings, names: Sequence[str], k: int) -> Purse:
    campaign = settings.campaigns[names[k]]
    days = -(-(campaign.end or settings.duration) // DAY) - (campaign.start or 0) // DAY
    if campaign.budget is not None:
        whole, daily = to_nanos(campaign.budget), _nanos(campaign.daily_budget)
        by_day = campaign.daily_budget is not None and campaign.daily_budget * days <= campaign.budget
        return Purse(k, whole, whole if settings.episode else daily, by_day, whole)
    place = draws_on(settings, names[k])[0]
    shared = list(settings.budgets.values())[place]
    whole, daily = _nanos(shared.total), _nanos(shared.daily)
    by_day = daily < NO_LIMIT and daily * days <= whole
    shown = min(whole, daily * days) if daily < NO_LIMIT else whole
    return Purse(len(names) + place, whole, daily, by_day, shown)


def check_budgets(settings: ScenarioSettings, source: Source) -> Iterator[Problem]:
    """Find what is wrong with budgets that are shared, and campaigns without any."""
    advertisers = {c.advertiser for c in settings.campaigns.values()}
    for name, budget in settings.budgets.items():
        path = ("budgets", name)
        if budget.total is None and budget.daily is None:
            yield source.problem(path, "limits nothing; add total or daily")
        if (budget.advertiser is None) == (budget.campaigns is None):
            yield source.problem(path, "needs either advertiser or campaigns: who draws on it")
        if budget.advertiser is not None and budget.advertiser not in advertisers:
            hint = did_you_mean(budget.advertiser, advertisers)
            yield source.problem((*path, "advertiser"), f"unknown advertiser {budget.advertiser!r}{hint}")
        for one in budget.campaigns or ():
            if one not in settings.campaigns:
                hint = did_you_mean(one, settings.campaigns)
                yield source.problem((*path, "campaigns"), f"unknown campaign {one!r}{hint}")
        if settings.episode:
            yield source.problem(path, "budgets by episode are of single campaigns; leave out episode, or this budget")
    for name, campaign in settings.campaigns.items():
        yield from _own_budget(settings, source, name, campaign)


def _own_budget(settings: ScenarioSettings, source: Source, name: str, campaign: CampaignSettings) -> Iterator[Problem]:
    path = ("campaigns", name)
    if campaign.budget is None and not draws_on(settings, name):
        yield source.problem((*path, "budget"), "is missing; add it, or a block of budgets that the campaign draws on")
    if campaign.daily_budget is not None and campaign.budget is None:
        yield source.problem((*path, "daily_budget"), "needs a budget of the campaign's own; add budget")
    elif campaign.daily_budget is not None and campaign.budget is not None and campaign.daily_budget > campaign.budget:
        more = f"{campaign.daily_budget:g} is more than the whole budget of {campaign.budget:g}"
        yield source.problem((*path, "daily_budget"), more)
