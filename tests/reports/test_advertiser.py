"""The advertiser's page: every figure by a naive path, hostile names, silence where nothing is known, and a look with a browser."""

from __future__ import annotations

import json
import math
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import bidsim
from bidsim.cli import main
from bidsim.core.result import load_result
from bidsim.explain.advertiser import describe_advertiser
from bidsim.explain.shrinkage import _BETWEEN, known_prior
from bidsim.metrics.advertiser import account_of, headline
from bidsim.reports.advertiser import page_name, render_advertiser, write_advertiser, write_advertisers
from bidsim.reports.sentences import figure
from bidsim.scenario.load import scenario_of
from tests.browser import CHROMIUM, assert_opens
from tests.reports import naive_page as naive

NAMES = [f"shop-{k}" for k in range(13)]


def _world(names: list[str], **changes: Any) -> dict[str, Any]:
    world: dict[str, Any] = tomllib.loads(
        """
        name = "many"
        seed = 5
        requests = 24_000
        duration = "2d"
        traffic = { users = 4_000 }
        history = { requests = 12_000, duration = "14d", warmup = "2d", evaluation = "2d" }
        market = { kind = "landscape", median_cpm = 10.0 }
        auction = { format = "first_price", positions = [1.0, 0.8] }
        attribution = { rule = "last_click", window = "12h" }
        holdout = { share = 0.2 }
        exploration = { share = 0.9 }
        log = { wins = 1_000_000, decisions = 20_000 }

        [seats.main]
        model = { name = "lightgbm", trees = 6, leaves = 8, min_rows = 30 }

        [products.soap]
        price = 5.0
        repurchase = "10d"
        click_rate = 0.35
        conversion_rate = 0.35
        delay = "2h"
        margin = 0.5
        """
    )
    world["campaigns"] = {
        name: {
            "advertiser": name,
            "product": "soap",
            "budget": 1000.0,
            "policy": {"name": "random_bid", "low_cpm": 5.0, "high_cpm": 30.0},
        }
        for name in names
    }
    for key, value in changes.items():
        *path, last = key.split(".")
        block = world
        for name in path:
            block = block.setdefault(name, {})
        block[last] = value
    return world


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of thirteen advertisers, saved."""
    result = bidsim.run(scenario_of(_world(NAMES)), progress=lambda *a: None)
    return result.save(tmp_path_factory.mktemp("run") / "many")


def _same(found: Any, expected: Any, where: str = "") -> None:
    """Whether two nested structures agree, numbers to nine digits."""
    if isinstance(expected, dict):
        assert set(found) >= set(expected), where
        for key in expected:
            _same(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for k, (a, b) in enumerate(zip(found, expected, strict=True)):
            _same(a, b, f"{where}[{k}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12), where
    else:
        assert found == expected, where


def test_page__figures_by_a_naive_path(many: Path) -> None:
    content, run = describe_advertiser(load_result(many), "shop-4"), naive.Parquet(many, "shop-4")
    _same(content["headline"], naive.headline(run), "headline")
    _same(content["funnel"], naive.funnel(run), "funnel")
    _same(content["bids"]["curve"], naive.bid_curve(run), "curve")
    _same(content["bids"]["arms"], naive.bid_arms(run), "arms")
    _same(content["segments"]["rows"], naive.segments(run), "segments")
    _same(content["trust"], naive.trust(run), "trust")
    assert len(content["segments"]["rows"]) > 10
    assert any(row["peers"] is not None for row in content["segments"]["rows"])
    assert content["trust"]["conversions"] > 20


def test_page__model_by_lightgbm_itself(many: Path) -> None:
    content, run = describe_advertiser(load_result(many), "shop-4"), naive.Parquet(many, "shop-4")
    for found, expected in zip(content["model"]["main"], naive.model_use(run, "main"), strict=True):
        assert found["feature"] == expected["feature"]
        for key in ("size_log_odds", "share"):
            assert found[key] == pytest.approx(expected[key], rel=1e-9)
        for key in ("size_per_thousand", "mean_per_thousand"):
            assert found[key] == pytest.approx(expected[key], rel=1e-5, abs=1e-7)
    for row in content["effects"]["levers"]:
        assert row["model_says"] == pytest.approx(naive.what_if(run, "main", row["lever"], row["change"]), abs=1e-9)


def test_page__effects_by_a_general_optimiser(many: Path) -> None:
    content, run = describe_advertiser(load_result(many), "shop-4"), naive.Parquet(many, "shop-4")
    experiment, prior = naive.Experiment(run), known_prior()
    place = experiment.names.index("shop-4")
    mine = experiment.owner == place
    assert content["effects"]["known"]
    assert [row["lever"] for row in content["effects"]["levers"]] == list(naive.Experiment.LEVERS)
    compared = 0
    for row in content["effects"]["levers"]:
        sign = 1.0 if row["change"] * experiment.action[row["lever"]] > 0 else -1.0
        own = [experiment.own(a, row["lever"], sign) for a in range(13)]
        mean, low, high, false_sign = naive.posterior(own, place, list(prior.weights), list(prior.spreads), _BETWEEN)
        assert math.log1p(row["uplift"]["value"]) == pytest.approx(mean, abs=4e-4)
        assert math.log1p(row["uplift"]["low"]) == pytest.approx(low, abs=1e-3)
        assert math.log1p(row["uplift"]["high"]) == pytest.approx(high, abs=1e-3)
        assert row["false_sign"] == pytest.approx(false_sign, abs=5e-3)
        assert row["disagrees"] == (not row["uplift"]["low"] <= row["model_says"] <= row["uplift"]["high"])
        assert row["conversions"] == experiment.y[mine].sum()
        assert row["all_conversions"] == experiment.y.sum()
        assert row["impressions"] == experiment.shown["shop-4"]
        value, error = experiment.common(row["lever"], 1.0)
        needed = math.ceil((2.8 * error * math.sqrt(experiment.y.sum()) / math.log(1.05)) ** 2)
        assert next(e for e in content["advice"]["experiments"] if e["lever"] == row["lever"])[
            "needed"
        ] == pytest.approx(needed, abs=1)
        mean, low, high, _ = naive.posterior([(value, error)], 0, list(prior.weights), list(prior.spreads), (0.0,))
        if row["everyone"] is not None and sign > 0:
            assert [math.log1p(row["everyone"][k]) for k in ("value", "low", "high")] == pytest.approx(
                [mean, low, high], abs=1e-3
            )
            compared += 1
    assert compared


def test_page__advice_follows_from_effects(many: Path) -> None:
    result = load_result(many)
    content, told = describe_advertiser(result, "shop-4"), 0
    effects = {row["lever"]: row for row in content["effects"]["levers"]}
    facts, scenario = content["headline"], result.manifest["scenario"]
    before = facts["conversions"]["value"]
    for row in [*content["advice"]["actions"], *content["advice"]["silent"]]:
        effect, told = effects[row["lever"]], told + 1
        same = row["change"] == effect["change"]
        assert same or row["lever"] == "price"
        each = (0.5 + row["change"]) / 0.5 if row["lever"] == "price" else 1.0
        for end in ("value", "low", "high"):
            assert not same or row["uplift"][end] == effect["uplift"][end]
            assert row["conversions"][end] == pytest.approx(before * row["uplift"][end])
            assert row["earnings"][end] == pytest.approx((1 + row["uplift"][end]) * each - 1)
        assert row["cpa"]["value"] == pytest.approx(facts["spend"] / (before * (1 + row["uplift"]["value"])))
        if same:
            assert (row["silence"] is None) == (effect["false_sign"] < 0.025 and row["earnings"]["low"] > 0)
    assert told == 4
    explored = result.tables["explorations"]
    change = (explored["true_rate"] - explored["natural_rate"]).sum()
    days = scenario["duration"] / 86_400_000_000
    for plan in content["advice"]["experiments"]:
        assert plan["days"] == pytest.approx(plan["needed"] / (explored["converted"].sum() / days))
        assert plan["conversions_change"] == pytest.approx(change * plan["days"] / days)
        assert plan["spend_change"] == pytest.approx(
            result.summary["exploration"]["spend_change"] * plan["days"] / days
        )


def test_spend__of_all_pages_is_the_ledger(many: Path) -> None:
    result = load_result(many)
    market = dict(zip(result.tables["market"]["figure"], result.tables["market"]["amount"].tolist(), strict=True))
    pages = [headline(account_of(result, name))["spend_nanos"] for name in NAMES]
    assert sum(pages) == market["publisher_revenue_nanos"] + market["exchange_fee_nanos"]
    assert all(isinstance(spend, int) for spend in pages)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside != "style":
            self.text.append(data)


def _parsed(page: str) -> _Page:
    parsed = _Page()
    parsed.feed(page)
    return parsed


def test_page__tables_say_all_without_pictures(many: Path) -> None:
    content = describe_advertiser(load_result(many), "shop-4")
    page = render_advertiser(content)
    text = " ".join(" ".join(_parsed(re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)).text).split())
    wanted = [figure(content["headline"]["spend"], "money"), figure(content["headline"]["roas"]["low"], "money")]
    wanted += [figure(v, "whole") for v in content["funnel"]["steps"].values()]
    wanted += [figure(row["worth"], "money") for row in content["funnel"]["losses"] if row["worth"] is not None]
    wanted += [figure(row["share"], "percent") for row in content["model"]["main"]]
    wanted += [
        figure(row["uplift"][end], "change") for row in content["effects"]["levers"] for end in ("value", "low", "high")
    ]
    wanted += [figure(row["spend"], "money") for row in content["bids"]["curve"]]
    wanted += [figure(row["rate"]["high"], "short") for row in content["segments"]["rows"]]
    wanted += [figure(row["predicted"], "short") for row in content["trust"]["groups"]]
    for figure_told in wanted:
        assert figure_told in text
    order = [
        page.index(f"<h2>{heading}")
        for heading in (
            "What happened",
            "Where opp",
            "What drives",
            "What I should",
            "What other bids",
            "Where conv",
            "How far",
            "Words",
        )
    ]
    assert order == sorted(order)


def test_pages__same_bytes_and_small(many: Path, tmp_path: Path) -> None:
    result = load_result(many)
    for folder in ("one", "two"):
        write_advertisers(result, tmp_path / folder)
    names = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert len(names) == 2 * 13 + 1
    for name in names:
        text = (tmp_path / "one" / name).read_bytes()
        assert text == (tmp_path / "two" / name).read_bytes()
        assert len(text) < 1_000_000
    page, content = (
        (tmp_path / "one" / "001-shop-0.html").read_text(),
        json.loads((tmp_path / "one" / "001-shop-0.json").read_text()),
    )
    assert content == json.loads(json.dumps(describe_advertiser(result, "shop-0")))
    parsed = _parsed(page)
    assert (
        "meta",
        {
            "http-equiv": "Content-Security-Policy",
            "content": "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
        },
    ) in parsed.tags
    assert "@media print" in page
    index = _parsed((tmp_path / "one" / "index.html").read_text())
    links = [a["href"] for tag, a in index.tags if tag == "a"]
    assert {f"{k + 1:03d}-{name}.html" for k, name in enumerate(sorted(NAMES))} <= set(links)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"exploration.share": 0.0}, "no lever was varied"),
        ({"exploration.share": 0.02}, "300 are needed before anything can be said"),
        ({"exploration.levers": ["bid"]}, "no lever of the ad was varied"),
    ],
)
def test_page__says_that_effects_are_unknown(changes: dict[str, Any], said: str) -> None:
    content = describe_advertiser(
        bidsim.run(scenario_of(_world(NAMES[:3], requests=6_000, **changes)), progress=lambda *a: None), "shop-1"
    )
    assert not content["effects"]["known"]
    assert content["effects"]["levers"] == []
    assert content["advice"]["actions"] == []
    assert content["advice"]["unknown"]
    text = " ".join(" ".join(_parsed(render_advertiser(content)).text).split())
    assert said in text
    assert "Effects are unknown" in text
    assert "No advice" in text
    assert "Expected:" not in text
    for plan in content["advice"]["experiments"]:
        assert plan["needed"] >= 300


def test_page__says_what_was_never_varied() -> None:
    world = _world(NAMES[:3], **{"exploration.levers": ["creative", "bid"], "seats.main.model": "oracle"})
    content = describe_advertiser(bidsim.run(scenario_of(world), progress=lambda *a: None), "shop-1")
    assert [row["lever"] for row in content["effects"]["levers"]] == ["creative"]
    silent = {row["lever"]: row["silence"] for row in content["advice"]["silent"]}
    assert all("never varied" in silent[lever] for lever in ("price", "landing", "shipping_days"))
    assert len(content["advice"]["experiments"]) == 4
    assert "Landing page: it was never varied" in " ".join(" ".join(_parsed(render_advertiser(content)).text).split())


def test_page__price_that_sells_more_and_earns_less_is_not_advised() -> None:
    """A margin of 10% does not bear a price 5% lower, whatever it sells."""
    world = _world(
        NAMES[:4],
        **{"products.soap.margin": 0.1, "response.price_elasticity": 4.0, "exploration.share": 1.0, "requests": 24_000},
    )
    content = describe_advertiser(bidsim.run(scenario_of(world), progress=lambda *a: None), "shop-1")
    price = next(row for row in content["effects"]["levers"] if row["lever"] == "price")
    assert price["uplift"]["low"] > 0.02
    assert price["change"] < 0
    told = {row["lever"]: row for row in [*content["advice"]["silent"], *content["advice"]["actions"]]}
    assert told["price"]["change"] > 0, "with so thin a margin the opposite earns more"
    assert told["price"]["uplift"]["value"] < 0 < told["price"]["earnings"]["value"]


HOSTILE = [
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)", "../../x", "..\\..\\x", "/etc/passwd",
    "a\u202eb", "\u2066x\u2069", "x" * 10_000, "{{ 7 * 7 }}", "{% raw %}", "$\\frac{1}{2}$", "line\nbreak", "tab\there", "&amp;", "<!-- comment", "]]>", "javascript:alert(1)",
    "data:text/html,<b>", "%00", "con", "nul.html", ".", "..", "~", "a/b/c", "C:\\x", "emoji 🎈", "日本語の広告主", "עברית", "İstanbul", "ß", "´`¨", "\\n", "\\u0041", "--advertiser",
    "-rf", "* ? [a]", "$(id)", "`id`", "; rm -rf /", "| cat", "> out", "= 1 + 1", "@import url(x)", "</style><style>*{display:none}", "</svg>", "<svg onload=alert(1)>",
    "<iframe src=//x>", "<a href=//x>y</a>", "<base href=//x>", "<meta http-equiv=refresh content=0>", "<link rel=stylesheet href=//x>", "<form action=//x>", "\x7f", "\ufeffbom",
    "\u00a0", " leading", "trailing ", "  ", "0", "-1", "1e999", "nan", "None", "null", "true", "[]", "{}", "a" * 300, "é" * 200, "\u0301combining", "\ud7ff", "\uffff"[:0] + "private \ue000",
]  # fmt: skip
HOSTILE += [f"name {k} <b>&'\"" for k in range(100 - len(HOSTILE))]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a hundred hostile names, as advertisers, campaigns and interests, with its pages."""
    world = _world(HOSTILE, **{"requests": 6_000, "traffic.interests": HOSTILE[:12], "seats.main.model": "oracle"})
    folder = tmp_path_factory.mktemp("hostile")
    result = bidsim.run(scenario_of(world), progress=lambda *a: None)
    result.save(folder / "run")
    assert main(["report", str(folder / "run")]) == 0
    return folder


def test_hostile_names__run_nothing_and_break_nothing(hostile: Path) -> None:
    assert len(HOSTILE) == len(set(HOSTILE)) == 100
    assert sorted(p.name for p in hostile.iterdir()) == ["run"]
    pages = sorted((hostile / "run" / "advertisers").glob("*.html"))
    assert len(pages) == 101
    sound = None
    for page in pages:
        assert re.fullmatch(r"(\d{3}(-[a-z0-9-]+)?|index)\.html", page.name)
        parsed = _parsed(page.read_text(encoding="utf-8"))
        assert {tag for tag, _ in parsed.tags} & {"script", "img", "iframe", "link", "object", "form", "base"} == set()
        assert not any(key.startswith("on") for _, attributes in parsed.tags for key in attributes)
        links = [
            attributes.get(key) or ""
            for _, attributes in parsed.tags
            for key in ("src", "href", "xlink:href", "action")
        ]
        assert all(re.fullmatch(r"|#[\w-]+|\.\./report\.html|\d{3}[a-z0-9-]*\.html", link) for link in links)
        assert page.stat().st_size < 1_000_000
        if page.name != "index.html":
            skeleton = [tag for tag, _ in parsed.tags if tag in ("h1", "h2", "main", "dl")]
            sound = sound or skeleton
            assert skeleton == sound
    assert page_name(4, "../../x") == "005-x"


def test_hostile_names__are_told_apart(hostile: Path) -> None:
    told = [json.loads(p.read_text())["advertiser"] for p in sorted((hostile / "run" / "advertisers").glob("*.json"))]
    assert sorted(told) == sorted(HOSTILE)


def test_advertiser__by_name(many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(many), "--advertiser", "shop-3", "--out", str(tmp_path / "p.html")]) == 0
    assert (tmp_path / "p.html").read_text() == render_advertiser(describe_advertiser(load_result(many), "shop-3"))
    assert json.loads((tmp_path / "p.json").read_text())["advertiser"] == "shop-3"
    assert main(["report", str(many), "--advertiser", "shop-33"]) == 2
    assert "did you mean 'shop-3'" in capsys.readouterr().err
    (tmp_path / "mine.json").write_text("{}")
    assert main(["report", str(many), "--advertiser", "shop-3", "--out", str(tmp_path / "mine.html")]) == 2
    assert (tmp_path / "mine.json").read_text() == "{}"


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: pages are not opened in a browser")
@pytest.mark.parametrize("which", ["many", "hostile"])
def test_page__in_a_browser(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """No error on the console, and no request but for the page itself."""
    folder: Path = request.getfixturevalue(which)
    pages = (
        [write_advertiser(load_result(folder), "shop-4", tmp_path / "p.html")]
        if which == "many"
        else sorted((folder / "run" / "advertisers").glob("*.html"))[:6]
    )
    for page in pages:
        assert_opens(page, tmp_path)
