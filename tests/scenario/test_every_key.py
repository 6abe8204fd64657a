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
from bidsim.scenario.problems import _block_within
from tests.conftest import SMALL, fingerprint

LOGGED = {"seats.main.model": {"name": "logistic"}, "history.requests": 12_000, "requests": 1500, "products.soap.conversion_rate": 0.5, "products.soap.click_rate": 0.3}
TREES = {**LOGGED, "seats.main.model": {"name": "lightgbm", "trees": 4, "leaves": 6, "min_rows": 30}}
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
    "traffic.hours": ("flat", {}),
    "traffic.exchanges": ({"one": 1.0, "two": 3.0}, {}),
    "traffic.slots": ({"300x250": 1.0, "1x1": 1.0}, {}),
    "traffic.floors": ("ipinyou", {}),
    "traffic.geo": ({"US": 1.0, "GB": 3.0}, {}),
    "traffic.device": ({"mobile": 1.0, "watch": 1.0}, {}),
    "traffic.placements.above-fold": (
        {"share": 0.9, "view_rate": 0.75},
        {"traffic.placements": {"above-fold": {"share": 0.5, "view_rate": 0.75}, "in-feed": {"share": 0.5, "view_rate": 0.5}}},
    ),
    "traffic.placements.above-fold.share": (0.9, {"traffic.placements": {"above-fold": {"share": 0.5, "view_rate": 0.75}, "in-feed": {"share": 0.5, "view_rate": 0.5}}}),
    "traffic.placements.above-fold.view_rate": (0.1, {"traffic.placements": {"above-fold": {"share": 0.5, "view_rate": 0.75}, "in-feed": {"share": 0.5, "view_rate": 0.5}}}),
    "traffic.placements.above-fold.intent_tilt": (1.5, {"traffic.placements": {"above-fold": {"share": 0.5, "view_rate": 0.75}, "in-feed": {"share": 0.5, "view_rate": 0.5}}}),
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
    "seats.main.model": ("logistic", LOGGED | {"seats.main.model": "oracle"}),
    "seats.main.users": ([0.0, 0.3], {}),
    "seats.main.internal_auction": (True, {}),
    "campaigns.lamp.advertiser": ("someone", {}),
    "campaigns.lamp.product": ("soap", {"campaigns.second-lamp": {"advertiser": "x", "product": "lamp", "budget": 1.0}}),
    "campaigns.lamp.budget": (1.0, {}),
    "campaigns.lamp.seat": (
        "other",
        {"seats.other": {"model": "oracle", "users": [0.0, 0.5]}, "campaigns.soap-mobile.seat": "other", "campaigns.soap-everyone.seat": "main", "campaigns.lamp.seat": "main"},
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
    "holdout.share": (0.5, {}),
    "log.wins": (50, {}),
    "log.decisions": (50, {}),
    "log.bucket": ("1d", {}),
    "log.slices": ("5h", {}),
    "log.landscape_every": (2, {}),
}
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
CASES["campaigns.lamp.targeting"] = ({"device": ["desktop"]}, {})

PLUGIN_CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "policy.shaded.factor": (0.3, {}),
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
    "model.lightgbm.ignore": (["campaign", "product", "days_since_purchase", "price"], TREES),
    "model.logistic.ridge": (500.0, LOGGED),
    "model.logistic.ignore": (["campaign", "product", "days_since_purchase", "price"], LOGGED),
}
PATHS = {"model.lightgbm.path", "model.logistic.path"}
"""Tested with a trained model in tests/cvr/test_models.py."""
TABLE_OF = {"policy": "campaigns.lamp.policy", "pacing": "campaigns.lamp.pacing", "market": "market", "model": "seats.main.model"}


def _keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Every key, tables of named things (campaigns, products, ...) written as ``*``."""
    found = set()
    for name, field in model.model_fields.items():
        if prefix == "auction." and name == "params":
            continue
        inside = _block_within(field.annotation)
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
            if len(parts) > position and ((parts[0] in ("products", "seats", "campaigns") and position == 1) or (parts[:2] == ["traffic", "placements"] and position == 2)):
                parts[position] = "*"
        covered.add(".".join(parts))
    assert _keys(ScenarioSettings) - covered == set()


def test_cases__cover_every_parameter_of_every_plugin() -> None:
    wanted = set()
    for family in ("policy", "pacing", "market", "model", "auction"):
        for name in names(family):
            plugin: type[Plugin] = find(family, name)
            wanted |= {f"{family}.{name}.{key}" for key in plugin.Params.model_fields}
    assert wanted - set(PLUGIN_CASES) - PATHS == set()


@cache
def _outcome(overrides: str) -> Any:
    import ast  # noqa: PLC0415

    path = Path(_FOLDER[0]) / "small.toml"
    path.write_text(SMALL)
    result = bidsim.run(bidsim.load_scenario(path, ast.literal_eval(overrides)), progress=lambda *a: None)
    return fingerprint(result) | {"name": result.manifest["scenario"]["name"], "evaluation": str(result.manifest["evaluation"])}


_FOLDER: list[str] = []


@pytest.fixture(autouse=True)
def _folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    if not _FOLDER:
        _FOLDER.append(str(tmp_path_factory.mktemp("keys")))


@pytest.mark.parametrize("key", CASES)
def test_key__another_value_changes_the_result(key: str) -> None:
    value, with_this = CASES[key]
    assert _outcome(repr(with_this)) != _outcome(repr({**with_this, key: value}))


@pytest.mark.parametrize("key", PLUGIN_CASES)
def test_plugin_key__another_value_changes_the_result(key: str) -> None:
    value, with_this = PLUGIN_CASES[key]
    family, name, parameter = key.split(".")
    table = TABLE_OF[family]
    base = with_this.get(table, {}) if isinstance(with_this.get(table), dict) else {}
    chosen = {"kind" if family == "market" else "name": name, **{k: v for k, v in base.items() if k != "name"}}
    assert _outcome(repr({**with_this, table: chosen})) != _outcome(repr({**with_this, table: {**chosen, parameter: value}}))
