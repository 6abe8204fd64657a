"""Every key of a scenario has an effect: another value changes a result, or is refused."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import bidsim
from bidsim.core.contracts import Plugin
from bidsim.core.registry import find, names
from bidsim.scenario.model import ScenarioSettings
from tests.conftest import SMALL, fingerprint

LOGGED = {
    "seats.main.model": {"name": "logistic"},
    "history.requests": 12_000,
    "requests": 1500,
    "products.soap.conversion_rate": 0.5,
    "products.soap.click_rate": 0.3,
}
TREES = {**LOGGED, "seats.main.model": {"name": "lightgbm", "trees": 4, "leaves": 6, "min_rows": 30}}
DRAWN: dict[str, Any] = {"values": {"kind": "independent"}}
"""Stands for a world of drawn values, see `WITHOUT_USERS`."""
WITHOUT_USERS = """
name = "drawn"
seed = 3
requests = 1_500
duration = "2d"
market = { kind = "distribution" }

[values]
kind = "independent"

[auction]
format = "second_price"

[campaigns.lamp]
budget = 1e6

[campaigns.soap]
budget = 1e6
"""
DEADLINE: dict[str, Any] = {"deadline.tmax": "100ms", "deadline.network": "50ms"}
QUEUE: dict[str, Any] = {
    **DEADLINE,
    "seats.main.decision.fixed": "20ms",
    "seats.main.decision.workers": 1,
    "deadline.volume": 1e4,
}
FIRST = {"auction.format": "first_price", "campaigns.lamp.budget": 100.0}
VISIBLE = {
    "products.soap.conversion_rate": 0.5,
    "products.soap.click_rate": 0.4,
    "products.lamp.click_rate": 0.4,
    "products.lamp.conversion_rate": 0.5,
    "campaigns.soap-everyone.budget": 100.0,
    "campaigns.soap-everyone.daily_budget": 60.0,
}

# key -> (another value, what else must be set for it to matter)
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "seed": (8, {}),
    "requests": (3000, {}),
    "count": ("exact", {}),
    "duration": ("3d", {}),
    "name": ("other", {}),
    "traffic.users": (500, {}),
    "traffic.activity_spread": (0.2, {}),
    "traffic.hours": ({"amplitude": 0.5, "peak_hour": 3.0}, {}),
    "traffic.exchanges": ({"one": 1.0, "two": 3.0}, {}),
    "traffic.slots": ({"300x250": 1.0, "1x1": 1.0}, {}),
    "traffic.floors": ("ipinyou", {}),
    "traffic.geo": ({"US": 1.0, "GB": 3.0}, {}),
    "traffic.device": ({"mobile": 1.0, "watch": 1.0}, {}),
    "traffic.placements.above-fold": (
        {"share": 0.9, "view_rate": 0.75},
        {
            "traffic.placements": {
                "above-fold": {"share": 0.5, "view_rate": 0.75},
                "in-feed": {"share": 0.5, "view_rate": 0.5},
            }
        },
    ),
    "traffic.placements.above-fold.share": (
        0.9,
        {
            "traffic.placements": {
                "above-fold": {"share": 0.5, "view_rate": 0.75},
                "in-feed": {"share": 0.5, "view_rate": 0.5},
            }
        },
    ),
    "traffic.placements.above-fold.view_rate": (
        0.1,
        {
            "traffic.placements": {
                "above-fold": {"share": 0.5, "view_rate": 0.75},
                "in-feed": {"share": 0.5, "view_rate": 0.5},
            }
        },
    ),
    "traffic.placements.above-fold.intent_tilt": (
        1.5,
        {
            "traffic.placements": {
                "above-fold": {"share": 0.5, "view_rate": 0.75},
                "in-feed": {"share": 0.5, "view_rate": 0.5},
            }
        },
    ),
    "traffic.interests": (["household", "technology"], {}),
    "traffic.sites": (7, {}),
    "traffic.site_loyalty": (0.9, {}),
    "traffic.segment_accuracy": (0.1, {}),
    "traffic.engagement_noise": (0.1, {}),
    "traffic.intent_activity": (-0.5, {}),
    "products.soap.price": (6.0, {}),
    "products.soap.interest": ("beauty", {}),
    "products.soap.margin": (0.5, {}),
    "products.soap.repurchase": ("60d", VISIBLE),
    "products.soap.regularity": (5.0, VISIBLE),
    "products.soap.buyers": (0.9, VISIBLE),
    "products.soap.click_rate": (0.3, VISIBLE),
    "products.soap.conversion_rate": (0.9, VISIBLE),
    "products.soap.delay": ("5d", VISIBLE),
    "products.soap.basket_spread": (1.0, VISIBLE),
    "response.click_intent": (1.0, {}),
    "response.click_match": (1.0, {}),
    "response.fatigue": (1.0, {}),
    "response.creative_effect": (2.0, {"campaigns.lamp.levers.creative": 1.0}),
    "response.conversion_intent": (2.0, {}),
    "response.conversion_match": (2.0, {}),
    "response.landing_effect": (1.0, {"campaigns.lamp.levers.landing": 1.0}),
    "response.shipping_effect": (1.0, {"campaigns.lamp.levers.shipping_days": 9}),
    "response.price_elasticity": (9.0, {}),
    "response.price_sensitivity": (2.0, {}),
    "response.price_spread": (0.4, {}),
    "response.price_targeting": (-0.9, {}),
    "response.cycle_effect": (0.0, {}),
    "response.newcomer_effect": (2.0, {}),
    "response.organic_intent": (1.5, {}),
    "attribution.rule": ("last_view", VISIBLE),
    "attribution.window": ("2h", VISIBLE),
    "market.kind": ("none", {"market": {"kind": "landscape"}}),
    "auction.format": ("first_price", {}),
    "auction.reserve_cpm": (30.0, {}),
    "auction.fee": (0.5, {}),
    "auction.charge": ("click", {}),
    "auction.positions": ([1.0, 0.5], {}),
    "auction.reserves": ({"lamp": 60.0}, {"campaigns.lamp.policy": "truthful"}),
    "auction.tell_minimum": (
        False,
        {"campaigns.lamp.policy": "learned_shading", "auction.format": "first_price", "campaigns.lamp.budget": 100.0},
    ),
    "values": ({"kind": "types"}, DRAWN),
    "episode": (50, DRAWN | {"campaigns.lamp.budget": 5.0}),
    "seats.main.model": ("logistic", LOGGED | {"seats.main.model": "oracle"}),
    "seats.main.users": ([0.0, 0.3], {}),
    "seats.main.internal_auction": (True, {}),
    "seats.main.decision.fixed": ("80ms", DEADLINE),
    "seats.main.decision.per_tree": (1e5, {**TREES, **DEADLINE}),
    "seats.main.decision.spread": (1.5, {**DEADLINE, "seats.main.decision.fixed": "80ms"}),
    "seats.main.decision.workers": (1, {**QUEUE, "deadline.volume": 1e5, "seats.main.decision.workers": 2}),
    "seats.main.decision.shed": (True, QUEUE),
    "deadline": ({"tmax": "50ms", "network": "48ms"}, {}),
    "deadline.tmax": ("60ms", DEADLINE),
    "deadline.network": ("70ms", DEADLINE),
    "deadline.network_spread": (0.01, DEADLINE),
    "deadline.clock": ("measured", {"deadline.tmax": "1us"}),
    "deadline.slowdown": (1e5, {**DEADLINE, "deadline.clock": "measured"}),
    "deadline.volume": (1e6, QUEUE),
    "campaigns.lamp.advertiser": ("someone", {}),
    "campaigns.lamp.product": (
        "soap",
        {"campaigns.second-lamp": {"advertiser": "x", "product": "lamp", "budget": 1.0}},
    ),
    "campaigns.lamp.budget": (1.0, {}),
    "campaigns.lamp.seat": (
        "other",
        {
            "seats.other": {"model": "oracle", "users": [0.0, 0.5]},
            "campaigns.soap-mobile.seat": "other",
            "campaigns.soap-everyone.seat": "main",
            "campaigns.lamp.seat": "main",
        },
    ),
    "campaigns.soap-everyone.daily_budget": (1.0, {}),
    "campaigns.lamp.start": ("20h", {}),
    "campaigns.lamp.end": ("20h", {}),
    "campaigns.lamp.value": (300.0, {"campaigns.lamp.policy": "truthful"}),
    "campaigns.lamp.policy": ("truthful", {}),
    "campaigns.lamp.pacing": ("none", {}),
    "campaigns.lamp.frequency_cap": ({"count": 1, "per": "2d"}, {}),
    "campaigns.soap-mobile.frequency_cap.count": (1, {}),
    "campaigns.soap-mobile.frequency_cap.per": ("40h", {}),
    "campaigns.lamp.levers": ({"price": 20.0}, {}),
    "campaigns.lamp.levers.price": (20.0, {}),
    "campaigns.lamp.levers.creative": (2.0, {}),
    "campaigns.lamp.levers.landing": (2.0, {}),
    "campaigns.lamp.levers.shipping_days": (30, {}),
    "history.requests": (9_000, LOGGED),
    "history.duration": ("40d", LOGGED),
    "history.warmup": ("1d", LOGGED),
    "history.evaluation": ("6d", LOGGED),
    "history.keep": (0.9, LOGGED),
    "history.labels": ("imputed", LOGGED),
    "holdout.share": (0.5, {}),
    "log.wins": (50, {}),
    "log.decisions": (50, {}),
    "log.bucket": ("1d", {}),
    "monitoring.window": ("5h", {}),
    "log.landscape_every": (2, {}),
    "monitoring.pairs": ([["geo", "device"]], {}),
    "monitoring.most": (60, {}),
    "monitoring.rows": ("all", {}),
    "monitoring.share": (0.4, {"monitoring.rows": "all"}),
    "incidents": ([{"kind": "conversion_drop", "left": 0.0, "start": "3h"}], VISIBLE),
}
LATE: dict[str, Any] = {**VISIBLE, "notices.delay": "2h", "notices.expire": "3h"}
CASES |= {
    "notices.delay": ("5h", {**LATE, "notices.expire": "1d"}),
    "notices.lost": (0.5, LATE),
    "notices.expire": ("1h", LATE),
    "purchases.told": ("ad_driven", LOGGED),
    "purchases.delay": ("1d", LOGGED),
    "budgets.shared.total": (0.01, {"budgets.shared.campaigns": ["lamp", "soap-mobile"], "budgets.shared.total": 1e6}),
    "budgets.shared.daily": (0.01, {"budgets.shared.campaigns": ["lamp", "soap-mobile"], "budgets.shared.total": 1e6}),
    "budgets.shared.campaigns": (["lamp"], {"budgets.shared.campaigns": ["soap-mobile"], "budgets.shared.total": 0.01}),
    "budgets.shared.advertiser": ("bright", {"budgets.shared.advertiser": "clean", "budgets.shared.total": 0.01}),
}
READ_LATER = {"monitoring.baseline", "monitoring.false_alarms", "warm_start.run", "warm_start.fresh"}
"""Keys that the watch reads out of a finished run, and those that need an earlier run, tested with these."""
CASES |= {
    f"campaigns.lamp.targeting.{field}": ([level], {})
    for field, level in {
        "exchange": "exchange-1",
        "site": "technology-site-1",
        "placement": "in-feed",
        "device": "desktop",
        "geo": "DE",
        "slot": "300x250",
        "segment": "unknown",
        "age": "18-24",
    }.items()
}
EXPLORED: dict[str, Any] = {**VISIBLE, "exploration.share": 0.5}
CASES |= {
    "exploration.share": (0.9, EXPLORED),
    "exploration.levers": (["price", "bid"], EXPLORED),
    "exploration.reach": (1.0, EXPLORED),
    "exploration.steps.price": (0.2, EXPLORED),
    "exploration.steps.creative": (1.0, EXPLORED),
    "exploration.steps.landing": (1.0, EXPLORED),
    "exploration.steps.shipping_days": (0.5, EXPLORED),
    "exploration.steps.bid": (0.3, EXPLORED),
}
CASES["campaigns.lamp.targeting"] = ({"device": ["desktop"]}, {})

PLUGIN_CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "policy.shaded.factor": (0.3, {}),
    "policy.equilibrium.values": ({"type": "uniform", "high": 0.03}, {}),
    "policy.equilibrium.bidders": (5, {}),
    "policy.equilibrium.reserve_cpm": (5.0, {}),
    "policy.equilibrium.rival_high": (3.0, {}),
    "policy.equilibrium.soft_floor_cpm": (4.0, {}),
    "policy.best_response.landscape": ({"type": "uniform", "high": 0.05}, FIRST),
    "policy.learned_shading.first_factor": (0.1, FIRST),
    "policy.learned_shading.refresh": (20, FIRST),
    "policy.learned_shading.explore": (0.5, FIRST),
    "policy.learned_shading.memory": (100, FIRST),
    "policy.logistic_shading.rate": (0.9, FIRST),
    "policy.logistic_shading.steepness": (6.0, FIRST),
    "policy.logistic_shading.explore": (0.9, FIRST),
    "policy.value_maximiser.start": (4.0, {}),
    "policy.value_maximiser.step": (9.0, {}),
    "policy.value_maximiser.most": (1.0, {"campaigns.lamp.budget": 500.0}),
    "policy.target_roas.target": (9.0, {}),
    "policy.target_roas.step": (60.0, {"campaigns.lamp.budget": 100.0}),
    "policy.target_cpa.target": (3.0, {}),
    "policy.target_cpa.step": (60.0, {"campaigns.lamp.budget": 100.0}),
    "policy.thompson.width": (3.0, FIRST),
    "policy.thompson.discount": (0.5, FIRST),
    "policy.ucb.width": (3.0, FIRST),
    "policy.exp_weights.rate": (30.0, FIRST),
    "policy.exp_weights.explore": (0.9, FIRST),
    "policy.bandit.estimator": ("ips", FIRST),
    "policy.bandit.sharpness": (400.0, FIRST),
    "policy.bandit.explore": (0.9, FIRST),
    "policy.rlb.landscape": ({"type": "uniform", "high": 0.05}, {}),
    "policy.rlb.steps": (2, {}),
    "policy.lift.caused_share": (0.3, {}),
    "policy.shrunk.noise": (3.0, {}),
    "policy.shrunk.spread": (3.0, {}),
    "policy.shrunk.mean": (0.5, {}),
    "policy.ortb.form": (2, {}),
    "policy.ortb.c_cpm": (90.0, {}),
    "policy.max_ecpc.max_ecpc": (1.0, {}),
    "policy.max_ecpc.whole_cpm": (True, {}),
    "policy.max_ecpc.highest_cpm": (5.0, {}),
    "policy.fixed_bid.bid_cpm": (30.0, {}),
    "policy.random_bid.low_cpm": (
        3.0,
        {"auction.format": "first_price", "campaigns.lamp.policy": {"name": "random_bid", "high_cpm": 60.0}},
    ),
    "policy.random_bid.high_cpm": (60.0, {}),
    "policy.linear.mean_rate": (0.5, {}),
    "policy.linear.whole_cpm": (
        True,
        {"auction.format": "first_price", "campaigns.lamp.policy": {"name": "linear", "base_cpm": 30.0}},
    ),
    "policy.linear.highest_cpm": (5.0, {"campaigns.lamp.policy": {"name": "linear", "base_cpm": 30.0}}),
    "pacing.adaptive.target": ("fixed", {}),
    "pacing.adaptive.highest": (0.01, {"campaigns.lamp.policy": "truthful", "campaigns.lamp.budget": 1.0}),
    "pacing.pid.proportional": (90.0, {"campaigns.lamp.policy": "truthful"}),
    "pacing.pid.integral": (900.0, {"campaigns.lamp.policy": "truthful"}),
    "pacing.pid.derivative": (90.0, {"campaigns.lamp.policy": "truthful"}),
    "pacing.pid.every": (3, {"campaigns.lamp.policy": "truthful"}),
    "pacing.throttle.probability": (0.9, {}),
    "pacing.throttle.rate": (0.9, {}),
    "auction.second_price.increment_cpm": (2.0, {}),
    "auction.soft_floor.soft_floor_cpm": (60.0, {}),
    "auction.learned_reserve.every": (50, {}),
    "market.distribution.distribution": ({"type": "uniform", "high": 0.5}, DRAWN),
    "market.distribution.rivals": (3, DRAWN),
    "values.independent.distribution": ({"type": "uniform", "high": 0.5}, DRAWN),
    "values.independent.own": ({"lamp": {"type": "uniform", "high": 0.5}}, DRAWN),
    "values.independent.quality": ({"lamp": 0.5}, DRAWN | {"auction.charge": "click"}),
    "values.independent.common": (True, DRAWN),
    "values.independent.noise": (0.5, DRAWN),
    "values.independent.shift": (0.5, DRAWN),
    "values.independent.participants": ("rotate", DRAWN),
    "values.independent.count": (2.0, DRAWN | {"values": {"kind": "independent", "participants": "some"}}),
    "values.types.worth": ({"lamp": [0.7, 0.2]}, DRAWN),
    "values.types.in_turn": (
        True,
        DRAWN | {"values": {"kind": "types", "worth": {"lamp": [0.7, 0.2], "soap": [0.1, 0.9]}}},
    ),
    "values.auctiongym.catalogue_seed": (1, DRAWN | {"values": {"kind": "auctiongym"}}),
    "values.auctiongym.items": (3, DRAWN | {"values": {"kind": "auctiongym"}}),
    "values.auctiongym.participants": (1, DRAWN | {"values": {"kind": "auctiongym"}}),
    "policy.linear.base_cpm": (70.0, {}),
    "pacing.even.ahead": (0.5, {}),
    "pacing.adaptive.start": (3.0, {}),
    "pacing.adaptive.step": (9.0, {}),
    "market.landscape.median_cpm": (30.0, {}),
    "market.landscape.spread": (1.5, {}),
    "market.landscape.intent_tilt": (1.0, {}),
    "market.landscape.placement_spread": (1.0, {}),
    "market.landscape.fill": (0.3, {}),
    "market.ipinyou.win_rate": (0.05, {"traffic.floors": "ipinyou"}),
    "model.lightgbm.trees": (9, TREES),
    "model.lightgbm.leaves": (3, TREES),
    "model.lightgbm.learning_rate": (0.5, TREES),
    "model.lightgbm.min_rows": (300, TREES),
    "model.lightgbm.objective": ("regression", TREES),
    "model.lightgbm.ignore": (["campaign", "product", "days_since_purchase", "price"], TREES),
    "model.logistic.ridge": (500.0, LOGGED),
    "model.logistic.ignore": (["campaign", "product", "days_since_purchase", "price"], LOGGED),
}
CHOICE_KEY = {"market": "kind", "values": "kind", "auction": "format"}
PATHS = {
    "model.lightgbm.path",
    "model.logistic.path",
    "market.replay.path",
    "market.replay.missing",
    "market.replay.unit",
    "values.logged.event",
}
"""Tested with a trained model in tests/cvr/test_models.py, and with a log in tests/market/test_replay.py."""
TABLE_OF = {
    "auction": "auction",
    "values": "values",
    "policy": "campaigns.lamp.policy",
    "pacing": "campaigns.lamp.pacing",
    "market": "market",
    "model": "seats.main.model",
}


def _block_within(annotation: Any) -> Any:
    """Unwrap a dict, optional or annotated type down to the block inside."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inside = [a for a in getattr(annotation, "__args__", ()) if a is not type(None) and a is not str]
    return _block_within(inside[-1]) if inside else annotation


def _keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Every key, tables of named things (campaigns, products, ...) written as ``*``."""
    found = set()
    for name, field in model.model_fields.items():
        if prefix == "auction." and name == "params":
            continue
        inside = _block_within(field.annotation)
        if f"{prefix}{name}" in (
            "traffic.hours",
            "auction.positions",
            "auction.reserves",
            "incidents",
            "notices.delay",
        ):
            inside = None
        if isinstance(inside, type) and issubclass(inside, BaseModel) and inside.__name__ not in ("Choice", "Floor"):
            named = "dict" in str(field.annotation)
            if not named:
                found |= _keys(inside, f"{prefix}{name}.")
            else:
                found |= _keys(inside, f"{prefix}{name}.*.")
        else:
            found.add("market.kind" if f"{prefix}{name}" == "market" else f"{prefix}{name}")
    return found


def test_cases__cover_every_key_there_is() -> None:
    covered = set()
    for key in CASES:
        parts = key.split(".")
        for position in (1, 2):
            if len(parts) > position and (
                (parts[0] in ("products", "seats", "campaigns", "budgets") and position == 1)
                or (parts[:2] == ["traffic", "placements"] and position == 2)
            ):
                parts[position] = "*"
        covered.add(".".join(parts))
    assert _keys(ScenarioSettings) - covered == READ_LATER


def _other(default: Any) -> Any:
    """Another value than the default, for parameters that have no line in `PLUGIN_CASES`; None where none can be guessed."""
    if isinstance(default, bool):
        return not default
    if isinstance(default, int):
        return default + 1 if default else 1
    return default * 0.75 + (0.25 if default == 0 else 0.0) if isinstance(default, float) else None


def _plugin_cases() -> dict[str, tuple[Any, dict[str, Any]]]:
    """The cases written above, and a guess for each parameter that is in none of them."""
    found = dict(PLUGIN_CASES)
    for family in ("policy", "pacing", "market", "values", "model", "auction"):
        for name in names(family):
            plugin: type[Plugin] = find(family, name)
            for key, field in plugin.Params.model_fields.items():
                if f"{family}.{name}.{key}" not in {*found, *PATHS}:
                    found[f"{family}.{name}.{key}"] = (_other(field.default), {})
    return found


@cache
def _outcome(overrides: str) -> Any:
    import ast  # noqa: PLC0415

    changes = ast.literal_eval(overrides)
    path = Path(_FOLDER[0]) / "small.toml"
    path.write_text(WITHOUT_USERS if "values" in changes else SMALL)
    result = bidsim.run(bidsim.load_scenario(path, changes), progress=lambda *a: None)
    return fingerprint(result) | {
        "name": result.manifest["scenario"]["name"],
        "evaluation": str(result.manifest["evaluation"]),
    }


_FOLDER: list[str] = []


@pytest.fixture(autouse=True)
def _folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    if not _FOLDER:
        _FOLDER.append(str(tmp_path_factory.mktemp("keys")))


@pytest.mark.parametrize("key", CASES)
def test_key__another_value_changes_the_result(key: str) -> None:
    value, with_this = CASES[key]
    assert _outcome(repr(with_this)) != _outcome(repr({**with_this, key: value}))


@pytest.mark.parametrize("key", _plugin_cases())
def test_plugin_key__another_value_changes_the_result(key: str) -> None:
    value, with_this = _plugin_cases()[key]
    assert value is not None, (
        f'say in PLUGIN_CASES which other value has an effect: "{key}": (value, {{what it needs beside}})'
    )
    family, name, parameter = key.split(".")
    table = TABLE_OF[family]
    base = with_this.get(table, {}) if isinstance(with_this.get(table), dict) else {}
    chosen = {CHOICE_KEY.get(family, "name"): name, **{k: v for k, v in base.items() if k not in ("name", "kind")}}
    with_this = {k: v for k, v in with_this.items() if not (family == "auction" and k.startswith("auction"))}
    same = _outcome(repr({**with_this, table: chosen})) == _outcome(
        repr({**with_this, table: {**chosen, parameter: value}})
    )
    assert not same, (
        f"{parameter} = {value} changes nothing; where it needs something beside it, say so in PLUGIN_CASES"
    )
