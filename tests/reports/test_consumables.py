"""The operator's page on consumables: figures by pandas and LightGBM, sentences that follow from them."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest

import bidsim
from bidsim.core.result import load_result
from bidsim.cvr.features import FEATURES
from bidsim.explain.consumables import _answers, describe_consumables
from bidsim.reports.consumables import render_consumables
from bidsim.scenario.load import scenario_of
from tests.reports.test_advertiser import _parsed, _world


def _two(**changes: Any) -> dict[str, Any]:
    world = _world(["softly", "focal"], **{"products.soap.buyers": 0.6, **changes})
    world["products"]["camera"] = {
        **world["products"]["soap"],
        "price": 500.0,
        "repurchase": "400d",
        "conversion_rate": 0.1,
        "buyers": 0.1,
    }
    world["campaigns"]["focal"]["product"] = "camera"
    return world


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a consumable and a durable."""
    return bidsim.run(scenario_of(_two()), progress=lambda *a: None).save(tmp_path_factory.mktemp("c") / "run")


def test_sentences__are_true_of_their_own_figures(folder: Path) -> None:
    content = describe_consumables(load_result(folder))
    one, other = content["groups"]["consumable"], content["groups"]["durable"]
    apart = next(answer for answer in content["answers"] if answer.startswith("On sampled decisions"))
    parts = [float(x) for x in re.findall(r"[+-][0-9]+[.][0-9]+", apart)]
    assert parts[0] == pytest.approx(one["model"]["predicted"] - other["model"]["predicted"], abs=0.006)
    assert sum(parts[1:]) == pytest.approx(parts[0], abs=0.02)
    assert not any("%" in answer and "caused" in answer for answer in content["answers"])


def test_answers__are_worded_by_sign() -> None:
    group = {"predicted": 2.0, "impressions": 10, "spend": 1.0, "model": None, "caused_of_credited": 0.5}
    told = _answers(
        {"consumable": {**group, "credited": 1.0, "caused": 1.0}, "durable": {**group, "credited": 4.0, "caused": 5.0}}
    )
    assert (
        "3.00 fewer are credited to consumables: 4.00 fewer that their ads cause, 1.00 more that come round anyway"
        in " ".join(told)
    )
    alone = _answers({"consumable": {**group, "credited": 1.0, "caused": 1.0}, "durable": None})
    assert alone == ["The run has impressions of consumables only, so there is nothing to compare them with."]


def test_figures__by_pandas(folder: Path) -> None:
    content = describe_consumables(load_result(folder))
    table, arms = pd.read_parquet(folder / "campaigns.parquet"), pd.read_parquet(folder / "incrementality.parquet")
    for line in content["lines"]:
        row = table[table["advertiser"] == line["advertiser"]].iloc[0]
        arm = arms[arms["advertiser"] == line["advertiser"]].iloc[0]
        assert line["consumable"] == (line["advertiser"] == "softly")
        assert (line["impressions"], line["conversions"]) == (row["wins"], row["conversions"])
        assert line["spend"] == pytest.approx(row["payment_nanos"] / 1e9)
        for name, column in (("predicted", "pcvr_sum"), ("credited", "true_rate_sum"), ("caused", "direct_rate_sum")):
            assert line[name] == pytest.approx(1000 * row[column] / row["wins"])
        assert line["caused_realised"] == arm["served_purchases"] - arm["served_purchases_without_ads"]
        difference = arm["served_purchases"] / arm["served_users"] - arm["held_out_purchases"] / arm["held_out_users"]
        assert line["ghost_ads"]["value"] == pytest.approx(difference * arm["served_users"])
        users = pd.read_parquet(folder / "auctions.parquet").query("campaign == @line['advertiser']")["user"].nunique()
        assert line["users_kept"] == users
    for name, owner in (("consumable", "softly"), ("durable", "focal")):
        group, line = content["groups"][name], next(one for one in content["lines"] if one["advertiser"] == owner)
        assert group["caused_of_credited"] == pytest.approx(line["caused"] / line["credited"])
        assert group["spend_per_caused"] == pytest.approx(line["spend"] / (line["caused"] * line["impressions"] / 1000))


def test_parts__by_lightgbm(folder: Path) -> None:
    content = describe_consumables(load_result(folder))
    booster = lightgbm.Booster(model_file=str(folder / "model/main/model.txt"))
    offset = json.loads((folder / "model/main/meta.json").read_text())["offset"]
    rows = pd.read_parquet(folder / "requests.parquet")
    for line in content["lines"]:
        x = rows[rows["campaign"] == line["advertiser"]][[f"feature_{f}" for f in FEATURES]].to_numpy()
        x = x[[math.floor(k * (len(x) - 1) / 1_999) for k in range(2_000)]] if len(x) > 2_000 else x
        found = np.asarray(booster.predict(x, pred_contrib=True))
        start, total = found[:, -1] + offset, found[:, :-1].sum(axis=1)
        steps = (np.arange(2_000) + 0.5) / 2_000
        rate = 1 / (1 + np.exp(-(start[:, None] + steps[None, :] * total[:, None])))
        counted = 1000 * found[:, :-1] * (rate * (1 - rate)).mean(axis=1)[:, None]
        identity = sum(counted[:, FEATURES.index(f)].mean() for f in ("product", "campaign", "advertiser"))
        timing = counted[:, FEATURES.index("days_since_purchase")].mean()
        assert line["model"]["identity"] == pytest.approx(identity, rel=1e-5, abs=1e-6)
        assert line["model"]["timing"] == pytest.approx(timing, rel=1e-5, abs=1e-6)
        assert line["model"]["predicted"] == pytest.approx(1000 * (1 / (1 + np.exp(-(start + total)))).mean(), rel=1e-9)


def test_page__says_that_consumables_cause_less_of_what_is_credited(folder: Path) -> None:
    content = describe_consumables(load_result(folder))
    page = render_consumables(content)
    text = " ".join(" ".join(_parsed(page).text).split())
    assert content["groups"]["consumable"]["caused_of_credited"] < content["groups"]["durable"]["caused_of_credited"]
    assert "drawn to purchases of consumables that would have come anyway" in text
    assert page == render_consumables(content)
    assert {tag for tag, _ in _parsed(page).tags} & {"script", "img", "iframe", "link"} == set()
    for sentence in content["answers"]:
        assert sentence in text


def test_page__without_both_kinds() -> None:
    result = bidsim.run(
        scenario_of(_world(["a", "b"], **{"requests": 1_500, "seats.main.model": "oracle", "holdout.share": 0.0})),
        progress=lambda *a: None,
    )
    content = describe_consumables(result)
    assert content["groups"]["durable"] is None
    assert "impressions of consumables only" in content["answers"][0]
    assert "no hold-out" in render_consumables(content)
