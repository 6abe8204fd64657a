"""What goes wrong at a known moment: each kind does what it says, from then on and where it says, and nothing else."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import bidsim
from bidsim.core.errors import ScenarioError
from bidsim.core.units import DAY, HOUR
from bidsim.scenario.load import load_scenario
from tests.conftest import SMALL, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START = DAY
RICH: dict[str, Any] = {
    "requests": 9_000,
    "products.soap.click_rate": 0.4,
    "products.lamp.click_rate": 0.4,
    "products.soap.conversion_rate": 0.5,
    "products.lamp.conversion_rate": 0.4,
    "products.lamp.delay": "2h",
    "products.soap.delay": "1h",
    **{f"campaigns.{c}.budget": 1e6 for c in ("soap-everyone", "soap-mobile", "lamp")},
    "campaigns.soap-everyone.daily_budget": 1e6,
    "campaigns.soap-mobile.pacing": "none",
    "campaigns.lamp.pacing": "none",
    "log.wins": 1_000_000,
    "log.decisions": 1_000_000,
}
TREES: dict[str, Any] = {
    "seats.main.model": {"name": "lightgbm", "trees": 4, "leaves": 6, "min_rows": 30},
    "history.requests": 8_000,
}


@pytest.fixture
def world(run_small: Callable[..., bidsim.Result]) -> Callable[..., bidsim.Result]:
    """Run the rich world with incidents that begin after a day."""

    def run(*incidents: dict[str, Any], **changes: Any) -> bidsim.Result:
        return run_small({**RICH, **changes, "incidents": [{"start": "1d", **i} for i in incidents]})

    return run


def _before(result: bidsim.Result, table: str) -> pd.DataFrame:
    frame = result.frame(table)
    hidden = ["converted", "conversion_time_us"] if table == "auctions" else []
    return frame[frame["time_us"] < START].drop(columns=hidden).reset_index(drop=True)


ANY: list[dict[str, Any]] = [
    {"kind": "feature_outage", "feature": "engagement"},
    {"kind": "stuck_feature", "feature": "device", "value": "desktop"},
    {"kind": "traffic_shift", "to": {"geo": ["CA"]}, "share": 0.5},
    {"kind": "new_site", "site": "fresh", "share": 0.5},
    {"kind": "budget_change", "advertiser": "clean", "factor": 2.0},
    {"kind": "price_shift", "factor": 3.0},
    {"kind": "tracker_outage", "advertiser": "clean"},
    {"kind": "late_labels", "delay": "3h"},
    {"kind": "conversion_drop", "left": 0.3},
    {"kind": "faulty_model", "factor": 3.0},
    {"kind": "bots", "share": 0.5, "clicks": 0.9},
]


@pytest.mark.parametrize("incident", ANY, ids=lambda i: i["kind"])
def test_incident__changes_nothing_before_it_begins(
    world: Callable[..., bidsim.Result], incident: dict[str, Any]
) -> None:
    quiet, struck = world(**TREES), world(incident, **TREES)
    for table in ("auctions", "requests", "bids"):
        pd.testing.assert_frame_equal(_before(quiet, table), _before(struck, table))
    assert fingerprint(quiet) != fingerprint(struck)


@pytest.mark.parametrize("incident", ANY, ids=lambda i: i["kind"])
def test_incident__is_the_same_for_any_chunk(small: Path, incident: dict[str, Any]) -> None:
    scenario = load_scenario(small, {**RICH, "requests": 1_500, "incidents": [{"start": "1d", **incident}]})
    one, other = (bidsim.run(scenario, progress=lambda *a: None, chunk=size) for size in (10_000, 101))
    assert fingerprint(one) == fingerprint(other)


def test_feature_outage__hides_it_from_the_model_within_its_place(world: Callable[..., bidsim.Result]) -> None:
    seen = world(
        {"kind": "feature_outage", "feature": "visits", "within": {"device": ["mobile"]}, "end": "36h"}, **TREES
    ).requests
    mobile = seen["feature_device"] == 0
    during = (seen["time_us"] >= START) & (seen["time_us"] < START + 12 * HOUR)
    assert seen.loc[mobile & during, "feature_visits"].isna().all()
    assert seen.loc[~(mobile & during), "feature_visits"].notna().all()
    pair = world({"kind": "feature_outage", "feature": "price"}, **TREES).requests
    assert (pair["feature_price"].isna() == (pair["time_us"] >= START)).all()
    coded = world({"kind": "feature_outage", "feature": "geo"}, **TREES).requests
    assert ((coded["feature_geo"] == -1) == (coded["time_us"] >= START)).all()


def test_stuck_feature__reads_one_value(world: Callable[..., bidsim.Result]) -> None:
    seen = world({"kind": "stuck_feature", "feature": "device", "value": "tablet"}, **TREES).requests
    late = seen["time_us"] >= START
    assert set(seen.loc[late, "feature_device"]) == {2.0}
    assert set(seen.loc[~late, "feature_device"]) == {0.0, 1.0, 2.0}
    number = world({"kind": "stuck_feature", "feature": "hours_since_seen", "value": 7.5}, **TREES).requests
    assert set(number.loc[number["time_us"] >= START, "feature_hours_since_seen"]) == {7.5}


def test_traffic_shift__moves_its_share_and_no_other_field(world: Callable[..., bidsim.Result]) -> None:
    quiet, struck = (
        r.requests.drop_duplicates("request").set_index("request")
        for r in (world(), world({"kind": "traffic_shift", "to": {"geo": ["CA"]}, "share": 0.4}))
    )
    both = quiet.index.intersection(struck.index)
    before, after = quiet.loc[both, "feature_geo"], struck.loc[both, "feature_geo"]
    late = quiet.loc[both, "time_us"] >= START
    assert (before[~late] == after[~late]).all()
    moved = before != after
    assert set(after[moved]) == {1.0}
    # whoever is logged had an eligible campaign: two of them go everywhere
    assert moved[late & (before != 1)].mean() == pytest.approx(0.4, abs=0.03)
    for name in ("device", "site", "slot", "segment", "engagement", "floor_cpm"):
        pd.testing.assert_series_equal(quiet.loc[both, f"feature_{name}"], struck.loc[both, f"feature_{name}"])


def test_new_site__is_unknown_to_the_model_and_converts_less(world: Callable[..., bidsim.Result]) -> None:
    quiet, struck = world(**TREES), world({"kind": "new_site", "site": "fresh", "share": 0.5, "left": 0.0}, **TREES)
    assert quiet.models["main"]["model.txt"] == struck.models["main"]["model.txt"]
    rows = struck.auctions
    there = rows["site"] == "fresh"
    assert not there[rows["time_us"] < START].any()
    assert there[rows["time_us"] >= START].mean() == pytest.approx(0.5, abs=0.03)
    assert (rows.loc[there, ["true_rate", "direct_rate"]] == 0).all().all()
    assert rows.loc[there, "converted"].sum() == 0
    assert rows.loc[~there & (rows["time_us"] >= START), "converted"].sum() > 10


def test_budget_change__lets_an_advertiser_spend_more_and_stays(run_small: Callable[..., bidsim.Result]) -> None:
    poor = {"requests": 6_000, "campaigns.soap-everyone.budget": 3.0, "campaigns.soap-everyone.daily_budget": 2.0}
    quiet = run_small(poor).campaigns.set_index("campaign")
    struck = run_small(
        {**poor, "incidents": [{"kind": "budget_change", "advertiser": "clean", "factor": 3.0, "start": "12h"}]}
    ).campaigns.set_index("campaign")
    mine, other = "soap-everyone", "lamp"
    assert struck.loc[mine, "budget_nanos"] == 3 * quiet.loc[mine, "budget_nanos"]
    assert struck.loc[other, "budget_nanos"] == quiet.loc[other, "budget_nanos"]
    assert (
        quiet.loc[mine, "payment_nanos"]
        <= quiet.loc[mine, "budget_nanos"]
        < struck.loc[mine, "payment_nanos"]
        <= struck.loc[mine, "budget_nanos"]
    )


def test_price_shift__multiplies_rivals_bids(world: Callable[..., bidsim.Result]) -> None:
    quiet, struck = (
        r.auctions.drop_duplicates("request").set_index("request")["rival_nanos"]
        for r in (world(), world({"kind": "price_shift", "factor": 1.5}))
    )
    time = world().auctions.drop_duplicates("request").set_index("request")["time_us"]
    both = quiet.index.intersection(struck.index).intersection(time.index)
    late = time[both] >= START
    np.testing.assert_array_equal(struck[both][~late], quiet[both][~late])
    np.testing.assert_array_equal(struck[both][late], np.rint(quiet[both][late] * 1.5).astype(np.int64))
    assert late.sum() > 100


def test_tracker_outage__loses_reports_and_not_purchases(world: Callable[..., bidsim.Result]) -> None:
    quiet, struck = world(), world({"kind": "tracker_outage", "advertiser": "clean", "end": "40h"})
    a, b = quiet.conversions, struck.conversions
    pd.testing.assert_frame_equal(
        a.drop(columns=["observed", "reported_us"]), b.drop(columns=["observed", "reported_us"])
    )
    lost = (
        b["campaign"].isin(["soap-everyone", "soap-mobile"])
        & (b["time_us"] >= START)
        & (b["time_us"] < START + 16 * HOUR)
    )
    assert (b.loc[lost, "reported_us"] == -1).all()
    assert not b.loc[lost, "observed"].any()
    pd.testing.assert_frame_equal(a[~lost], b[~lost])
    assert lost.sum() > 10
    counted = struck.campaigns.set_index("campaign")["conversions"]
    for name in counted.index:
        assert counted[name] == (b["observed"] & (b["campaign"] == name)).sum()
    half = world({"kind": "tracker_outage", "advertiser": "clean", "share": 0.5}).conversions
    late = half["campaign"].isin(["soap-everyone", "soap-mobile"]) & (half["time_us"] >= START)
    assert (half.loc[late, "reported_us"] == -1).mean() == pytest.approx(0.5, abs=0.12)


def test_late_labels__come_later_and_all_come(world: Callable[..., bidsim.Result]) -> None:
    quiet, struck = (
        world().conversions,
        world({"kind": "late_labels", "delay": "5h", "advertiser": "bright"}).conversions,
    )
    late = (quiet["time_us"] >= START) & (quiet["campaign"] == "lamp")
    np.testing.assert_array_equal(struck["reported_us"], quiet["time_us"] + np.where(late, 5 * HOUR, 0))
    np.testing.assert_array_equal(struck["observed"], struck["reported_us"] < 2 * DAY)
    np.testing.assert_array_equal(struck["time_us"], quiet["time_us"])


def test_conversion_drop__leaves_its_part_of_conversions_and_credit(run_small: Callable[..., bidsim.Result]) -> None:
    total = {"quiet": 0, "struck": 0}
    expected = 0.0
    for seed in range(6):
        for name, incidents in (
            ("quiet", []),
            ("struck", [{"kind": "conversion_drop", "left": 0.4, "within": {"device": ["mobile"]}, "start": "1h"}]),
        ):
            rows = run_small({**RICH, "seed": seed, "incidents": incidents}).auctions
            mobile = (rows["device"] == "mobile") & (rows["time_us"] >= HOUR)
            total[name] += int(rows.loc[mobile, "converted"].sum())
            if name == "struck":
                expected += float(rows.loc[mobile, "true_rate"].sum())
            else:
                expected -= 0.4 * float(rows.loc[mobile, "true_rate"].sum())
    assert total["struck"] / total["quiet"] == pytest.approx(0.4, abs=0.06)
    assert abs(expected) < 0.05 * total["quiet"]
    none = run_small({**RICH, "incidents": [{"kind": "conversion_drop", "left": 0.0, "start": "1h"}]})
    assert (none.conversions["credit_time_us"] < HOUR).all()
    assert (none.auctions.query("time_us >= 3600000000")["direct_rate"] == 0).all()


def test_faulty_model__multiplies_the_odds_of_one_seat(world: Callable[..., bidsim.Result]) -> None:
    quiet, struck = (
        r.bids.set_index(["request", "campaign"])["pcvr"]
        for r in (world(**TREES), world({"kind": "faulty_model", "factor": 3.0}, **TREES))
    )
    time = world(**TREES).bids.set_index(["request", "campaign"])["time_us"]
    # the first auctions after the start still meet the same users
    first = time[(time >= START)].index[:20]
    odds = quiet[first] / (1 - quiet[first])
    np.testing.assert_allclose(struck[first], 3 * odds / (1 + 3 * odds), rtol=1e-12)
    seats = {
        "seats.other": {"model": "oracle"},
        "campaigns.lamp.seat": "other",
        "campaigns.soap-everyone.seat": "main",
        "campaigns.soap-mobile.seat": "main",
    }
    apart = world({"kind": "faulty_model", "factor": 3.0, "seat": "main"}, **TREES, **seats).bids
    rows = apart[(apart["campaign"] == "lamp") & (apart["reason"] != "budget")]
    np.testing.assert_allclose(rows["pcvr"], rows["true_rate"], rtol=1e-12)


def test_bots__click_and_never_buy(world: Callable[..., bidsim.Result]) -> None:
    rows = world(
        {"kind": "bots", "share": 1.0, "clicks": 0.8, "within": {"placement": ["above-fold"]}}, **TREES
    ).auctions
    hit = (rows["placement"] == "above-fold") & (rows["time_us"] >= START)
    assert hit.sum() > 100
    viewed = hit & (rows["viewed"] == 1)
    assert rows.loc[viewed, "clicked"].mean() == pytest.approx(0.8, abs=0.06)
    assert rows.loc[hit, "converted"].sum() == 0
    assert (rows.loc[hit, "true_rate"] == 0).all()
    assert (rows.loc[hit, "true_click"] == 0.8).all()


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ('kind = "feature_outage"\nstart = "1d"', "feature: is missing; add it"),
        ('kind = "feature_outage"\nstart = "1d"\nfeature = "enagement"', "did you mean 'engagement'"),
        ('kind = "feature_outage"\nstart = "1d"\nfeature = "creative"', "belongs to the campaign"),
        ('kind = "stuck_feature"\nstart = "1d"\nfeature = "geo"\nvalue = 3.0', "name of a level"),
        ('kind = "stuck_feature"\nstart = "1d"\nfeature = "geo"\nvalue = "UK"', "no geo 'UK'"),
        ('kind = "traffic_shift"\nstart = "1d"\nshare = 0.1\nto = { geo = ["US", "CA"] }', "one level of one field"),
        ('kind = "traffic_shift"\nstart = "1d"\nshare = 0.1\nto = { geo = ["USA"] }', "no geo 'USA'"),
        ('kind = "price_shift"\nstart = "1d"\nfactor = 2.0\nclicks = 0.1', "unknown key; known here: end, factor"),
        ('kind = "price_shift"\nstart = "3d"\nfactor = 2.0', "begins after the scenario's end"),
        ('kind = "price_shift"\nstart = "1d"\nend = "2h"\nfactor = 2.0', "before it starts"),
        (
            'kind = "budget_change"\nstart = "1d"\nend = "30h"\nfactor = 2.0\nadvertiser = "clean"',
            "means nothing to a budget_change",
        ),
        ('kind = "tracker_outage"\nstart = "1d"\nadvertiser = "claen"', "did you mean 'clean'"),
        ('kind = "new_site"\nstart = "1d"\nshare = 0.1\nsite = "household-site-1"', "is not new"),
        ('kind = "faulty_model"\nstart = "1d"\nfactor = 2.0\nseat = "mian"', "did you mean 'main'"),
        ('kind = "outage"\nstart = "1d"', "tracker_outage"),
    ],
)
def test_incident__what_is_typed_wrong_is_told_with_its_line(small: Path, typed: str, told: str) -> None:
    small.write_text(textwrap.dedent(SMALL) + f"\n[[incidents]]\n{typed}\n")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(small)
    assert told in str(caught.value)
    lines = SMALL.count("\n")
    assert all(int(line.split(":")[1]) >= lines for line in str(caught.value).split("\n"))


def test_incident__needs_users(tmp_path: Path) -> None:
    path = tmp_path / "drawn.toml"
    path.write_text(
        'name = "drawn"\nrequests = 100\nduration = "2d"\nmarket = { kind = "distribution" }\n[values]\nkind = "independent"\n[campaigns.a]\nbudget = 1.0\n'
        '[[incidents]]\nkind = "price_shift"\nstart = "1d"\nfactor = 2.0\n'
    )
    with pytest.raises(ScenarioError, match="happens to users"):
        load_scenario(path)
