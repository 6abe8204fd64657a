"""The watch on whole runs: everything it says of a window by pandas, quiet when nothing is wrong, and each incident on one page."""

from __future__ import annotations

import html
import json
import math
import re
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bidsim
from bidsim.core.errors import UsageError
from bidsim.core.units import DAY, HOUR
from bidsim.experiments.worlds import training_digest
from bidsim.monitoring.arrivals import development, expected_arrivals, lag_shares
from bidsim.monitoring.cells import LEVEL, TrafficSlice, read_cells, slicing_of
from bidsim.monitoring.monitor import Watch, monitor
from bidsim.monitoring.pages import BOTS, FEWER, LATE, MORE, OUTAGE, SHIFT, STUCK
from bidsim.monitoring.replay import quiet_windows
from bidsim.monitoring.table import missing_rates, score_bins, slice_table
from bidsim.monitoring.words import advice, as_planned, headline, moment, others
from bidsim.observers.slices import bin_edges, score_bin
from bidsim.reports.monitoring import _likelier, describe_watch, middle_of_bin, prometheus, render_watch, write_watch
from bidsim.scenario import build
from bidsim.scenario.load import scenario_of
from bidsim.scenario.models import prepare_models
from bidsim.watching import Looker, until
from tests.browser import CHROMIUM, assert_opens
from tests.conftest import ROOT, SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bidsim.scenario.load import Scenario
    from bidsim.scenario.models import SeatModels

WINDOW = 6 * HOUR
SMALLER: dict[str, Any] = {
    "requests": 500_000,
    "duration": "12d",
    "traffic.users": 40_000,
    "history.requests": 700_000,
    "monitoring.baseline": "6d",
    "log.wins": 1_000_000,
    **{
        f"campaigns.{name}.budget": budget
        for name, budget in (
            ("softly", 110.0),
            ("morning", 130.0),
            ("gloss", 90.0),
            ("fleur", 150.0),
            ("stride", 180.0),
            ("soundly", 180.0),
        )
    },
}
"""The quiet market, quicker."""
BEGUN = 8 * DAY // WINDOW


def _run(name: str = "quiet_market", **changes: Any) -> bidsim.Result:
    path = SCENARIOS / ("" if name == "quiet_market" else "incidents") / f"{name}.toml"
    with patch.object(build, "prepare_models", _models_once):
        return bidsim.run(bidsim.load_scenario(path, {**SMALLER, **changes}), progress=lambda *a: None)


_MODELS: dict[tuple[str, int], SeatModels] = {}


def _models_once(scenario: Scenario, *world: Any) -> SeatModels:
    """What goes wrong goes wrong after the history: the models of all these runs are the same."""
    key = training_digest(scenario), scenario.settings.seed
    if key not in _MODELS:
        _MODELS[key] = prepare_models(scenario, *world)
    return _MODELS[key]


@pytest.fixture(scope="module")
def quiet() -> bidsim.Result:
    """A run in which nothing goes wrong."""
    return _run()


@pytest.fixture(scope="module")
def watch(quiet: bidsim.Result) -> Watch:
    """What the watch makes of it."""
    return monitor(quiet)


def test_quiet_run__has_nothing_red(quiet: bidsim.Result, watch: Watch) -> None:
    assert watch.pages == []
    page = render_watch(describe_watch(quiet, watch), quiet, watch)
    assert "Quiet</h1>" in page
    assert '<span class="flag">open' not in page


# scenario -> kind of incident, signal, slice
FOUND: dict[str, tuple[str, str, TrafficSlice]] = {
    "feature_outage": (OUTAGE, "traffic", TrafficSlice("days_since_purchase", "missing")),
    "stuck_feature": (STUCK, "traffic", TrafficSlice("engagement", "0 to 0.5")),
    "traffic_shift": (SHIFT, "traffic", TrafficSlice("geo", "CA")),
    "new_site": (SHIFT, "traffic", TrafficSlice("site", "coupon-corner")),
    "budget_change": (MORE, "wins", TrafficSlice(advertiser="stride")),
    "price_shift": (FEWER, "wins", TrafficSlice()),
    "tracker_outage": (FEWER, "conversions", TrafficSlice(advertiser="gloss")),
    "late_labels": (LATE, "delay", TrafficSlice("reported", "later still")),
    "conversion_drop": (FEWER, "conversions", TrafficSlice("geo", "GB")),
    "faulty_model": (FEWER, "conversions", TrafficSlice()),
    "bots": (BOTS, "clicks", TrafficSlice("placement", "above-fold")),
}


def test_incidents__every_scenario_is_looked_at() -> None:
    assert {p.stem for p in (SCENARIOS / "incidents").glob("*.toml")} == set(FOUND)


def test_flight_as_planned__is_told_and_is_no_incident() -> None:
    result = _run(**{"campaigns.softly.start": "8d", "campaigns.stride.end": "10d"})
    found = monitor(result)
    assert found.pages == []
    assert [(p.campaign, p.begins, p.window) for p in found.planned] == [
        ("softly", True, BEGUN),
        ("stride", False, BEGUN + 8),
    ]
    assert all("wins" in {signal.kind for signal, _ in p.followed} for p in found.planned)
    begins, ends = (as_planned(p, found) for p in found.planned)
    assert begins.startswith("softly begins as planned, day 9 (Tue) 00:00; with it ")
    assert "auctions won (stride) at 0% of before" in ends
    content = describe_watch(result, found)
    assert content["planned"] == [begins, ends]
    assert html.escape(ends) in render_watch(content, result, found)
    # what is not planned is an incident all the same
    kept = monitor(
        bidsim.Result({**result.manifest, "scenario": _without_flights(result.manifest["scenario"])}, result.tables)
    )
    assert {page.what for page in kept.pages} <= {FEWER, MORE}
    assert len(kept.pages) >= 2


def _without_flights(scenario: dict[str, Any]) -> dict[str, Any]:
    return {
        **scenario,
        "campaigns": {
            name: {**campaign, "start": None, "end": None} for name, campaign in scenario["campaigns"].items()
        },
    }


@cache
def _outage() -> bidsim.Result:
    return _run("tracker_outage")


@pytest.mark.parametrize("name", FOUND)
def test_incident__is_one_page_that_names_it(name: str) -> None:
    result = _outage() if name == "tracker_outage" else _run(name)
    found = monitor(result)
    assert len(found.pages) == 1
    page = found.pages[0]
    assert (page.what, page.signal.kind, page.about) == FOUND[name]
    assert 0 <= page.noticed - BEGUN <= 4
    assert abs(page.since - BEGUN) <= 1
    assert page.until is None
    sentence = headline(page, found)
    assert f"since {moment(page.since, WINDOW)}" in sentence
    assert page.about.field in sentence
    assert page.about.advertiser in sentence
    assert html.escape(sentence) in render_watch(describe_watch(result, found), result, found)
    assert len(advice(page)) > 40
    assert others(page, found)


def test_incident__that_ends_is_closed() -> None:
    """Of an advertiser with conversions enough in a window: with a dozen, chance may hide the end for one window more."""
    found = monitor(_run(incidents=[{"kind": "tracker_outage", "advertiser": "morning", "start": "8d", "end": "9d"}]))
    assert len(found.pages) == 1
    assert found.open == []
    assert found.pages[0].until is not None
    assert abs(found.pages[0].until - 9 * DAY // WINDOW) <= 1
    assert " until day 10" in headline(found.pages[0], found)


def test_table__of_a_broken_slice_is_what_its_columns_say() -> None:
    """However many slices are as they always were, one that lost most of its reports is not drawn back to them."""
    result = _outage()
    found = monitor(result)
    table = pd.DataFrame(slice_table(result, found, BEGUN - 8, found.cells.windows)).set_index("slice")
    gloss = table.loc["gloss"]
    assert gloss["due"] > 100
    assert gloss["low"] <= gloss["converted"] / gloss["due"] <= gloss["high"]
    assert gloss["ratio"] == pytest.approx((gloss["converted"] + 1) / (gloss["due"] + 1 / gloss["normal"]), rel=1e-6)
    whole = table.loc["all traffic"]
    assert abs(whole["ratio"] - whole["normal"]) < abs(whole["converted"] / whole["due"] - whole["normal"])


def test_table__of_one_window_by_pandas(quiet: bidsim.Result, watch: Watch) -> None:  # noqa: PLR0915  (one look at every column)
    """Every column, from the rows: nothing of the package but the curve of delays and what is normal."""
    at = 30
    table = pd.DataFrame(slice_table(quiet, watch, at, at + 1)).set_index("slice")
    rows = quiet.auctions.merge(quiet.campaigns[["campaign", "advertiser"]], on="campaign")
    rows = rows[rows["time_us"] // WINDOW == at]
    rows["geo x device"] = rows["geo"] + " x " + rows["device"]
    curve, _ = development(quiet, watch.cells, watch.quiet)
    ripe = {
        advertiser: curve[g, : watch.cells.windows - at].sum() for g, (advertiser, _) in enumerate(watch.cells.groups)
    }
    rows["due"] = rows["pcvr"] * rows["advertiser"].map(ripe)
    asked = quiet.frame("population").query("start_us == @at * @WINDOW").set_index(["feature", "level"])["requests"]
    baseline = watch.detectors["conversions"].baseline
    level, left = baseline.level()
    checked = 0
    for k, one in enumerate(watch.slicing.slices):
        mine = rows
        if one.advertiser:
            mine = mine[mine["advertiser"] == one.advertiser]
        if one.field:
            mine = mine[mine[one.field] == one.level]
        told = table.loc[one.name]
        assert told["impressions"] == len(mine)
        if not len(mine):
            continue
        checked += 1
        assert told["share"] == pytest.approx(len(mine) / len(rows))
        assert told["cpm"] == pytest.approx(mine["payment_nanos"].mean() / 1e6)
        assert told["ctr"] == pytest.approx(mine["clicked"].mean())
        assert told["predicted"] == pytest.approx(mine["pcvr"].sum())
        assert told["true_rate"] == pytest.approx(mine["true_rate"].mean())
        assert told["due"] == pytest.approx(mine["due"].sum())
        converted = int(mine["converted"].sum())
        assert told["converted"] == converted
        parent = baseline.family.parent[k]
        sure = 1 / (baseline.spread[k] + left[k] + (left[parent] if parent != k else 0))
        assert [told[c] for c in ("ratio", "low", "high")] == pytest.approx(
            _ratio_by_grid(sure, level[k], mine["due"].sum(), converted), rel=5e-3
        )
        if not one.advertiser and (not one.field or (one.field, one.level) in asked.index):
            whole = asked.loc["geo"].sum() if not one.field else asked[one.field, one.level]
            assert told["win_rate"] == pytest.approx(len(mine) / whole)
        else:
            assert math.isnan(told["win_rate"])
        if converted >= 20 and mine["due"].sum() >= 0.95 * mine["pcvr"].sum():
            p, y = mine["pcvr"], mine["converted"]
            loss, rate = -(y * np.log(p) + (1 - y) * np.log1p(-p)).mean(), y.mean()
            assert told["normalised_entropy"] == pytest.approx(
                loss / -(rate * math.log(rate) + (1 - rate) * math.log1p(-rate))
            )
        else:
            assert math.isnan(told["normalised_entropy"])
        if converted >= 20 and not one.advertiser and " x " not in one.field and one.field:
            box = mine["pcvr"].map(lambda p: score_bin(bin_edges(), p))
            hit, miss = box[mine["converted"] == 1].to_numpy(), box[mine["converted"] == 0].to_numpy()
            wins = (hit[:, None] > miss[None, :]).mean() + 0.5 * (hit[:, None] == miss[None, :]).mean()
            assert told["auc"] == pytest.approx(wins)
    assert checked > 100
    assert table["normalised_entropy"].notna().sum() > 5
    assert table["auc"].notna().sum() > 5


def test_arrivals__by_a_plain_loop(quiet: bidsim.Result, watch: Watch) -> None:
    cells = watch.cells
    curve, reported = development(quiet, cells, watch.quiet)
    found = expected_arrivals(cells.columns["pcvr_sum"], curve)
    for t in (0, 3, 20):
        told = sum(cells.columns["pcvr_sum"][t - lag] * curve[:, lag] for lag in range(min(t + 1, curve.shape[1])))
        np.testing.assert_allclose(found[t], told)
    rows = quiet.conversions.query("observed").merge(
        quiet.campaigns[["campaign", "advertiser", "product"]], on="campaign"
    )
    told = rows.groupby(
        [
            rows["credit_time_us"] // WINDOW,
            (rows["reported_us"] // WINDOW) - (rows["credit_time_us"] // WINDOW),
            "advertiser",
        ]
    ).size()
    for (window, lag, advertiser), count in told.items():
        g = [a for a, _ in cells.groups].index(advertiser)
        assert reported[g, window, lag] == count
    np.testing.assert_allclose(curve.sum(axis=1), 1.0, atol=0.12)


def test_lag_shares__of_uniform_starts() -> None:
    dice = np.random.default_rng(1)
    delay = dice.exponential(1.4, 400)
    start = dice.random((400, 4_000))
    told = np.bincount(np.floor(start + delay[:, None]).astype(int).ravel(), minlength=8)[:6] / start.size
    np.testing.assert_allclose(lag_shares(delay, 1.0, 6), told, atol=2e-3)


def test_slicing__sums_cells_as_pandas_does(quiet: bidsim.Result) -> None:
    cells = read_cells(quiet)
    slicing = slicing_of(cells)
    found = pd.DataFrame(slicing.total(cells.columns["wins"]), columns=[s.name for s in slicing.slices])
    table = quiet.slices.assign(window=lambda d: d["start_us"] // WINDOW)
    told = table.groupby(["window", "field", "level"])["wins"].sum()
    for (window, field, level), wins in told.items():
        assert found.loc[window, f"{field} = {level}"] == wins
    for (window, advertiser, level), wins in (
        table.query("field == 'geo'").groupby(["window", "advertiser", "level"])["wins"].sum().items()
    ):
        assert found.loc[window, f"{advertiser}, geo = {level}"] == wins
    np.testing.assert_array_equal(found["all traffic"], table.query("field == 'geo'").groupby("window")["wins"].sum())
    np.testing.assert_array_equal(
        found["softly"], table.query("field == 'geo' and advertiser == 'softly'").groupby("window")["wins"].sum()
    )


def test_quiet_windows__have_the_means_and_the_scatter_asked_for(watch: Watch) -> None:
    cells, slicing = watch.cells, watch.slicing
    fields = [
        np.flatnonzero([f == name for f, _ in cells.levels]) for name in dict.fromkeys(f for f, _ in cells.levels)
    ]
    mean = cells.columns["pcvr_sum"][:20].mean(axis=0)
    drawn = quiet_windows(mean, fields, slicing, 0.004, 0.016, 6_000, np.random.default_rng(2))
    expected = slicing.total(mean[None])[0]
    np.testing.assert_allclose(drawn.mean(axis=0), expected, atol=5 * np.sqrt(expected.max() * 3 / 4_000), rtol=0.05)
    owner = slicing.slices.index(TrafficSlice(advertiser="softly"))
    assert drawn[:, owner].var() == pytest.approx(expected[owner] + (1.004 * 1.016 - 1) * expected[owner] ** 2, rel=0.1)
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, slicing.kind == 2].sum(axis=1))


def test_keys__that_the_watch_reads(quiet: bidsim.Result) -> None:
    def told(**keys: Any) -> Watch:
        scenario = {**quiet.manifest["scenario"], "monitoring": {**quiet.manifest["scenario"]["monitoring"], **keys}}
        return monitor(bidsim.Result({**quiet.manifest, "scenario": scenario}, quiet.tables), replay=False)

    assert told(baseline=4 * DAY).quiet == 16
    assert told(baseline=None).quiet == 16
    often, seldom = (told(false_alarms=rate).detectors["price"].threshold for rate in (10.0, 1.0))
    assert often == pytest.approx(seldom / 10)


def _ratio_by_grid(sure: float, normal: float, due: float, converted: int) -> list[float]:
    """Mean and 95% interval of a rate, from its prior times its likelihood at many points."""
    grid = np.linspace(1e-6, 8.0, 20_001)
    prior = 0.98 * stats.gamma.pdf(grid, sure, scale=normal / sure) + 0.02 * stats.expon.pdf(grid, scale=normal)
    density = prior * stats.poisson.pmf(converted, grid * due)
    below = np.cumsum(density) / density.sum()
    return [
        float((grid * density).sum() / density.sum()),
        *(float(grid[np.searchsorted(below, p)]) for p in (0.025, 0.975)),
    ]


def test_run__that_ends_within_a_window_is_watched_to_the_last_whole_one(quiet: bidsim.Result) -> None:
    """In a window that the end cuts off reports are missing, and nothing is wrong."""
    cut = _run(duration="289h")
    found = monitor(cut)
    assert found.cells.windows == 48
    assert not found.open
    assert read_cells(quiet).windows == 48
    np.testing.assert_array_equal(read_cells(cut).columns["wins"].shape, read_cells(quiet).columns["wins"].shape)


def test_reports__that_come_sooner_are_told_so() -> None:
    """Late reports are normal here, and then they are late no more."""
    late = {"kind": "late_labels", "delay": "12h", "start": "1m", "end": "8d"}
    found = monitor(_run(incidents=[late]))
    told = [headline(page, found) for page in found.pages if page.signal.kind == "delay"]
    assert told
    assert all("are reported sooner" in sentence for sentence in told)


def test_intervals__of_a_part_are_no_narrower_than_what_is_known_of_the_whole() -> None:
    """Where hardly anything came, least is known of the parts."""
    few = _run(requests=6_000, **{"history.requests": 300_000})
    table = slice_table(few, monitor(few, quiet=24), 24, 48)
    width = (table["high"] - table["low"]) / np.maximum(table["ratio"], 1e-9)
    levels = np.flatnonzero((table["kind"] == LEVEL) & (table["converted"] < 5))
    assert len(levels)
    assert np.median(width[levels]) > 0.8 * width[0]


@pytest.mark.parametrize("name", ["Acme, Inc.", "a = b", "back\\door", "<b>&\"'"])
def test_names__of_any_kind_are_owners(name: str) -> None:
    def named(text: str) -> str:
        return name if text == "gloss" else text

    result = _outage()
    tables = {
        t: {c: [named(v) for v in values] if c == "advertiser" else values for c, values in columns.items()}
        for t, columns in result.tables.items()
    }
    other = bidsim.Result(result.manifest, tables, result.summary, result.models)
    found = monitor(other)
    assert [page.about.advertiser for page in found.pages] == [name]
    content = describe_watch(other, found)
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    assert f'slice="{escaped}"' in prometheus(content)
    page = render_watch(content, other, found)
    assert name in html.unescape(page)
    assert "<b>&" not in page


def test_watch__needs_windows_and_slices(quiet: bidsim.Result) -> None:
    for wrong in (-5, 0, 1, 48, 9999):
        with pytest.raises(UsageError, match=f"--quiet {wrong}: the run has 48 windows"):
            monitor(quiet, wrong)
    with pytest.raises(UsageError, match="too few to watch"):
        monitor(_run(**{"requests": 3_000, "monitoring.window": "3d", "monitoring.baseline": "3d"}))
    drawn = bidsim.run(
        scenario_of(
            {
                "name": "d",
                "requests": 50,
                "duration": "2d",
                "market": {"kind": "distribution"},
                "values": {"kind": "independent"},
                "campaigns": {"a": {"budget": 1.0}},
            }
        )
    )
    with pytest.raises(UsageError, match="no slices to watch"):
        monitor(drawn)


def test_page__json_and_prometheus_say_the_same(quiet: bidsim.Result, watch: Watch) -> None:
    content = json.loads(json.dumps(describe_watch(quiet, watch)))
    table = slice_table(quiet, watch, watch.quiet, watch.cells.windows)
    assert content["slices"]["slice"] == table["slice"]
    np.testing.assert_array_equal(content["slices"]["converted"], table["converted"])
    lines = prometheus(content).splitlines()
    assert 'bidsim_incidents_open{scenario="quiet_market",seed="0"} 0.0' in lines
    for line in lines:
        assert line.startswith("# ") or re.fullmatch(
            r'bidsim_\w+\{(\w+="(?:[^"\\\n]|\\.)*",?)+\} (NaN|-?[0-9.e+-]+)', line
        )
    ratio = next(line for line in lines if line.startswith("bidsim_slice_ratio") and 'slice="geo = US"' in line)
    assert float(ratio.split()[-1]) == content["slices"]["ratio"][content["slices"]["slice"].index("geo = US")]


def test_likelier__in_words_from_the_logarithm() -> None:
    assert [_likelier(evidence) for evidence in (math.log(2_500.0), 780.0)] == [
        "2,500 times likelier",
        "more than a million times likelier",
    ]


def test_middle_of_bin__lies_in_its_bin() -> None:
    for box in range(1, 31):
        assert score_bin(bin_edges(), middle_of_bin(box)) == box


def test_score_bins__of_all_traffic_is_the_sum_of_a_field(quiet: bidsim.Result, watch: Watch) -> None:
    bins = score_bins(quiet, watch, 0, 10)
    for field in ("geo", "site"):
        total = np.sum([wins for (f, _), (wins, _) in bins.items() if f == field], axis=0)
        np.testing.assert_array_equal(bins["", ""][0], total)


def test_moment__is_read_as_a_clock() -> None:
    assert moment(0, WINDOW) == "day 1 (Mon) 00:00"
    assert moment(33, WINDOW) == "day 9 (Tue) 06:00"


def test_looking__while_it_goes_shows_what_the_end_of_that_window_would() -> None:
    frames: list[tuple[int, list[dict[str, Any]], list[str], str]] = []
    looker = Looker(lambda *frame: frames.append(frame))
    world = bidsim.load_scenario(SCENARIOS / "incidents" / "tracker_outage.toml", SMALLER)

    def look(done: int, so_far: Callable[[], bidsim.Result]) -> None:
        looker._next = 0.0
        looker(done, so_far)

    struck = bidsim.run(world, progress=lambda *a: None, chunk=80_000, look=look)
    assert [done for done, *_ in frames] == sorted(done for done, *_ in frames)
    assert len(frames) == math.ceil(struck.manifest["requests"] / 80_000)
    done, rows, incidents, when = frames[-1]
    assert done == struck.manifest["requests"]
    assert [r["advertiser"] for r in rows] == [
        "fleur perfume",
        "gloss shampoo",
        "morning coffee",
        "softly paper",
        "soundly headphones",
        "stride shoes",
    ]
    assert len(incidents) == 1
    assert "gloss" in incidents[0]
    assert when.startswith("day 12")
    table = (
        struck.slices.query("field == 'geo' and start_us < 47 * @WINDOW")
        .groupby("advertiser")[["wins", "clicks", "arrived"]]
        .sum()
    )
    for row in rows:
        told = table.loc[row["advertiser"].split()[0]]
        assert (row["wins"], row["clicks"], row["reported"]) == tuple(told)
    assert all(not found for done, _, found, _ in frames if done < 0.65 * struck.manifest["requests"])
    cut = until(struck, 30)
    assert cut.tables["slices"]["start_us"].max() < 30 * WINDOW
    assert read_cells(cut).windows == 30


@pytest.mark.parametrize("broken", [False, True])
def test_command__exit_code_page_and_files(tmp_path: Path, quiet: bidsim.Result, broken: bool) -> None:
    run = tmp_path / "run"
    result = _outage() if broken else quiet
    result.save(run)
    told = subprocess.run(
        [sys.executable, "-m", "bidsim", "monitor", str(run), "--prometheus", str(tmp_path / "x" / "b.prom")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert (told.returncode, told.stderr) == (int(broken), "")
    assert ("OPEN  Conversions for gloss are 0%" in told.stdout) == broken
    assert ("Quiet: no alarm sounded." in told.stdout) != broken
    name = "tracker_outage" if broken else "quiet_market"
    assert (
        f'bidsim_incidents_open{{scenario="{name}",seed="0"}} {float(broken)}'
        in (tmp_path / "x" / "b.prom").read_text()
    )
    page = (run / "monitor.html").read_text()
    assert "<script" not in page
    assert "http://" not in re.sub(r'xmlns(:xlink)?="http://[^"]*"', "", page)
    assert len(page) < 3_000_000
    again = subprocess.run(
        [sys.executable, "-m", "bidsim", "monitor", str(run), "--json", "--out", str(tmp_path / "p.html")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert json.loads(again.stdout)["open"] == int(broken)
    assert (tmp_path / "p.html").read_text() == page


@pytest.mark.parametrize("many", [False, True])
def test_page__in_a_browser_and_small(tmp_path: Path, quiet: bidsim.Result, many: bool) -> None:
    """Ten thousand slices still make a page under 3 MB; no error on the console, and no request but for the page itself."""
    result = (
        _run(
            **{
                "requests": 150_000,
                "traffic.sites": 1_600,
                "monitoring.most": 100_000,
                "campaigns.softly.advertiser": "<script>alert(1)</script>",
            }
        )
        if many
        else quiet
    )
    found = monitor(result)
    assert len(found.slicing.slices) > (10_000 if many else 500)
    path = write_watch(describe_watch(result, found), result, found, tmp_path / "p.html")
    text = path.read_text()
    assert len(text.encode()) < 3_000_000
    assert "<script" not in text
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: the page is not opened in a browser")
    assert_opens(path, tmp_path)


def test_missing_rates__by_pandas(quiet: bidsim.Result, watch: Watch) -> None:
    found = missing_rates(quiet, watch, 10, 20)
    rows = quiet.frame("population")
    rows = rows[(rows["start_us"] >= 10 * WINDOW) & (rows["start_us"] < 20 * WINDOW)]
    for feature, told in found.items():
        mine = rows[rows["feature"] == feature]
        for of in ("requests", "wins"):
            whole = mine[of].sum()
            assert told[of] == (
                pytest.approx(mine.loc[mine["level"] == "missing", of].sum() / whole) if whole else None
            )
    assert found["engagement"]["requests"] is not None
    assert found["price"]["requests"] is None
    assert 0.5 < float(found["days_since_purchase"]["wins"] or 0.0) < 1.0


def test_selection__shows_where_all_rows_are_counted() -> None:
    result = _run(**{"requests": 150_000, "monitoring.rows": "all"})
    found = monitor(result)
    table = slice_table(result, found, 0, found.cells.windows)
    rows = result.slices.query("field == 'geo'")
    assert table["offers"][0] == rows["offers"].sum()
    assert table["offered_rate"][0] == pytest.approx(rows["offered_pcvr_sum"].sum() / rows["offers"].sum())
    assert table["won_rate"][0] == pytest.approx(rows["pcvr_sum"].sum() / rows["wins"].sum())
    assert table["won_rate"][0] > table["offered_rate"][0], "what is won is what was predicted high"
