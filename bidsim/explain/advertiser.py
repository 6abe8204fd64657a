"""All that an advertiser's page says, as plain figures and sentences.

`describe_advertiser` makes what HTML and JSON both carry.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bidsim.core.units import DAY
from bidsim.explain.advice import advise, experiment, never_varied
from bidsim.explain.effects import FEWEST
from bidsim.explain.levers import Explored, LeverEffect, explore
from bidsim.explain.model_use import explained_model, feature_rows, feature_use, what_if
from bidsim.metrics.advertiser import (
    Account,
    account_of,
    advertisers_of,
    bid_arms,
    bid_curve,
    campaign_rows,
    funnel,
    headline,
)
from bidsim.metrics.calibration import calibration
from bidsim.metrics.intervals import told
from bidsim.metrics.segments import FEWEST_PEERS, FEWEST_USERS, segments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bidsim.core.result import Result

_FEATURES_SHOWN = 12


def describe_advertisers(result: Result) -> Iterator[tuple[str, dict[str, Any]]]:
    """All advertisers of a run, each with the content of its page; the exploration slice is fitted once."""
    explored = explore(result)
    for name in advertisers_of(result):
        yield name, _describe(account_of(result, name), explored)


def describe_advertiser(result: Result, advertiser: str) -> dict[str, Any]:
    """Content of one advertiser's page.

    Returns:
        JSON-ready: ``advertiser``, ``campaigns``, a row each, ``run``, ``headline``, ``funnel``, ``model``,
        ``effects``, ``advice``, ``bids``, ``segments``, ``trust``. Money in currency units unless a key ends in
        ``_nanos``; intervals as ``value``, ``low``, ``high``; None where nothing can be said.

    Raises:
        UsageError: The run has no such advertiser.

    """
    return _describe(account_of(result, advertiser), explore(result))


def _describe(account: Account, explored: Explored | None) -> dict[str, Any]:
    result, facts = account.result, headline(account)
    used = _model(account)
    effects = _effects(account, explored, used)
    charge = result.facts.charge
    return {
        "advertiser": account.advertiser,
        "campaigns": campaign_rows(account),
        "run": {
            "scenario": result.facts.scenario,
            "seed": result.facts.seed,
            "hash": result.facts.scenario_hash,
            "days": result.facts.duration_us / DAY,
            "charge": charge,
            "incidents": result.facts.incidents,
            "window_days": result.facts.attribution_window_us / DAY,
        },
        "headline": facts,
        "funnel": funnel(account),
        "model": {seat: part["features"][:_FEATURES_SHOWN] for seat, part in used.items()},
        "effects": effects,
        "advice": _advice(account, explored, facts, charge),
        "bids": {
            "curve": bid_curve(account),
            "arms": bid_arms(account),
            "surveyed": 1 / result.facts.landscape_every,
        },
        "segments": {
            "rows": segments(account),
            "fewest_users": FEWEST_USERS,
            "fewest_peers": FEWEST_PEERS,
            "share": result.facts.kept_wins,
        },
        "trust": calibration(account),
    }


def _model(account: Account) -> dict[str, dict[str, Any]]:
    """By seat: the trees, sampled rows, and what features they use."""
    table = account.result.tables["campaigns"]
    found: dict[str, dict[str, Any]] = {}
    for seat in sorted({table["seat"][k] for k in account.rows}):
        model = explained_model(account.result, seat)
        rows = feature_rows(account.result, account.campaigns, seat)
        if model is not None and len(rows):
            found[seat] = {"model": model, "rows": rows, "features": feature_use(model, rows)}
    return found


def _effects(account: Account, explored: Explored | None, used: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What changes conversions, beside what the model makes of the same levers."""
    if explored is None:
        return {
            "known": False,
            "why": "no lever was varied in this run, so what changes conversions is unknown",
            "levers": [],
        }
    own = explored.own[account.advertiser]
    if explored.fitted is None:
        return {"known": False, "why": own[0].silence if own else "no lever of the ad was varied", "levers": []}
    together = {e.lever: e for e in explored.together}
    return {"known": True, "why": None, "levers": [_effect(e, together[e.lever], used) for e in own]}


def _effect(effect: LeverEffect, together: LeverEffect, used: dict[str, dict[str, Any]]) -> dict[str, Any]:
    asked = [what_if(part["model"], part["rows"], effect.lever, effect.change) for part in used.values()]
    model = [said for said in asked if said is not None]
    says = math.expm1(sum(model) / len(model)) if model and len(model) == len(asked) else None
    found, every = (told(e.belief.uplift if e.belief else None) for e in (effect, together))
    return {
        "lever": effect.lever,
        "change": effect.change,
        "uplift": found,
        "false_sign": effect.belief.false_sign if effect.belief else None,
        "everyone": every if together.change * effect.change > 0 else None,
        "impressions": effect.impressions,
        "conversions": effect.conversions,
        "all_conversions": effect.everyone,
        "model_says": says,
        "disagrees": says is not None and found is not None and not found["low"] <= says <= found["high"],
        "kind": "direct",
    }


def _advice(account: Account, explored: Explored | None, facts: dict[str, Any], charge: str) -> dict[str, Any]:
    if explored is None or explored.fitted is None:
        few = explored.rows.conversions if explored is not None else 0
        varied = bool(explored is not None and explored.levers)
        return {
            "actions": [],
            "silent": [],
            "unknown": True,
            "varied": varied,
            "randomised_conversions": few,
            "needed": FEWEST,
            "experiments": experiment(account, explored),
        }
    products = {account.result.tables["campaigns"]["product"][k] for k in account.rows}
    margin = min(account.result.facts.products[p].margin for p in products)
    advice = [advise(e, facts, margin, by_click=charge == "click") for e in explored.own[account.advertiser]]
    advice += never_varied(explored)
    return {
        "actions": sorted((asdict(a) for a in advice if a.silence is None), key=lambda a: -a["earnings"]["value"]),
        "silent": [asdict(a) for a in advice if a.silence is not None],
        "unknown": False,
        "varied": True,
        "randomised_conversions": explored.rows.conversions,
        "needed": FEWEST,
        "experiments": experiment(account, explored),
    }
