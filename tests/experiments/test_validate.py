"""`validate`: figures with known answers, files nobody has seen, and what is wrong with a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bidsim.cli import main
from bidsim.core.errors import UsageError
from bidsim.experiments.truths import arrivals, auctions, pacing, shading
from bidsim.experiments.truths.cases import Case, Estimate, grade, load_cases, own_cases
from bidsim.experiments.truths.checks import CHECKS
from bidsim.experiments.truths.worlds import simulate
from bidsim.experiments.validate import UNKNOWN, run_case, validate

if TYPE_CHECKING:
    from pathlib import Path

UNIT = {"type": "uniform", "a": 0.0, "b": 1.0}
QUICK = {
    "ipv",
    "asym_fp",
    "poisson_n",
    "softfloor_truth",
    "softfloor_eq",
    "eager",
    "openrtb",
    "tie",
    "position",
    "sne",
    "sppe",
    "knap",
    "shade",
    "curse",
    "curse_thr",
    "homog",
}


def test_own_cases__have_sources_and_every_kind_of_check() -> None:
    cases = load_cases(own_cases())
    assert len(cases) >= 50
    assert all(c.source for c in cases)
    assert {c.check for c in cases} == set(CHECKS)
    assert len({c.id for c in cases}) == len(cases)


@pytest.mark.parametrize("case", [c for c in load_cases(own_cases()) if c.check in QUICK], ids=lambda c: c.id)
def test_case__holds(case: Case) -> None:
    verdicts = run_case(case, 11)
    assert verdicts
    assert [(v.metric, v.expected, v.simulated) for v in verdicts if not v.holds] == []


@pytest.mark.parametrize("case", [c for c in load_cases(own_cases()) if c.check not in QUICK], ids=lambda c: c.id)
def test_long_case__holds_in_a_twentieth_of_its_time(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer units the tolerance is wider; `bidsim validate` runs them whole."""
    monkeypatch.setattr(arrivals, "_DAYS", 100)
    monkeypatch.setattr(pacing, "_REPLICATIONS", 40)
    monkeypatch.setattr(shading, "_SAMPLES", 400)
    check = CHECKS[case.check]
    verdicts = grade(case, check.component, check.run(case.params, max(check.units // 20, 1), 11))
    assert len(verdicts) == len(case.expected)
    assert [(v.metric, v.expected, v.simulated) for v in verdicts if not v.holds] == []


OTHER: list[tuple[str, dict[str, Any], dict[str, float]]] = [
    (
        "ipv",
        {"n": 4, "dist": {"type": "uniform", "a": 1.0, "b": 3.0}, "format": "second", "reserve": 0.0},
        {"revenue": 1 + 2 * 3 / 5, "winner_value": 1 + 2 * 4 / 5},
    ),
    (
        "ipv",
        {
            "n": 3,
            "dist": {"type": "uniform", "a": 0.0, "b": 2.0},
            "format": "first_bne",
            "reserve": 0.0,
            "bid_points": [1.5],
        },
        {"revenue": 1.0, "bid@1.5": 1.0},
    ),
    (
        "ipv",
        {"n": 2, "dist": {"type": "exp", "rate": 2.0}, "format": "second", "reserve": 0.0},
        {"revenue": 0.25, "p_no_sale": 0.0},
    ),
    ("asym_fp", {"w1": 3.0, "w2": 1.0}, {"max_bid": 0.75}),
    ("softfloor_truth", {"n": 3, "soft": 0.5, "hard": 0.1}, {"p_no_sale": 0.001, "p_firstprice_regime": 0.125 - 0.001}),
    ("openrtb", {"bids": [1.0, 4.0], "floor": 0.5, "inc": 0.01, "at": 1}, {"sold": 1, "price": 4.0, "winner": 1}),
    ("openrtb", {"bids": [6.1], "floor": 0.5, "inc": 0.01, "at": 1}, {"sold": 1, "price": 6.1, "winner": 0}),
    (
        "openrtb",
        {"bids": [0.0060999999999999995 * 1000, 6.3], "floor": 0.5, "inc": 0.01, "at": 2},
        {"sold": 1, "price": 6.11, "winner": 1},
    ),
    ("openrtb", {"bids": [0.2], "floor": 0.5, "inc": 0.01, "at": 2}, {"sold": 0, "price": 0.0, "winner": -1}),
    ("tie", {"n": 4, "bid": 0.7, "reserve": 0.2, "format": "first"}, {"price": 0.7, "win_rate_bidder0": 0.25}),
    (
        "position",
        {"bids": [6.0, 5.0], "quality": [1.0, 0.5], "slots": [100.0, 60.0, 20.0]},
        {"gsp_ppc_0": 2.5, "vcg_ppc_0": 1.0, "slot_1": 1.0, "gsp_ppc_1": 0.0},
    ),
    ("power", {"k": 3}, {"multiplier": 0.75, "win_rate": 0.75**3 / 4}),
    ("curse_thr", {"sigma": 1.0, "tau": 1.0, "m": 0.0, "c": 0.0}, {"win_rate": 0.5}),
]
SD = dict.fromkeys(("revenue", "winner_value", "p_no_sale", "p_firstprice_regime", "win_rate_bidder0", "win_rate"), 0.8)


@pytest.mark.parametrize(("check", "params", "expected"), OTHER)
def test_case__other_parameters_work_as_well(check: str, params: dict[str, Any], expected: dict[str, float]) -> None:
    case = Case("other", check, params, expected, SD, {"multiplier": 0.03, "bid@1.5": 0.002, "max_bid": 0.002})
    assert [(v.metric, v.expected, v.simulated, v.note) for v in run_case(case, 5) if not v.holds] == []


@pytest.mark.parametrize("n", [2, 5, 10])
def test_best_reserve__does_not_depend_on_how_many_bid(n: int) -> None:
    for low, high in ((0.0, 1.0), (0.0, 3.0)):
        params = {"n": n, "dist": {"type": "uniform", "a": low, "b": high}}
        found = auctions.optimal_reserve(params, 100_000, 3)["optimal_reserve"].value
        assert found == pytest.approx(high / 2, rel=0.05)


def test_reserves__are_judged_on_the_same_bids() -> None:
    bids = [
        simulate(
            3,
            200,
            {name: {"policy": "truthful"} for name in "abc"},
            values={"kind": "independent"},
            auction={"format": "second_price", "reserve_cpm": reserve},
            keep_bids=True,
        ).tables["bids"]["bid_nanos"]
        for reserve in (0.0, 650.0)
    ]
    assert bids[0].tolist() == bids[1].tolist()


def test_multiplier__that_spends_a_budget_is_not_biased_where_it_is_above_one() -> None:
    """Uniform values and prices: a multiplier a above 1 spends (1 - 2 / (3 a)) / 2 an auction."""
    params = {"v": UNIT, "p": UNIT, "rho": 0.35, "objective": "value"}
    error = np.array([pacing._multiplier_that_spends(params, 20_000, seed) for seed in range(10)]) / (20 / 9) - 1.0
    assert np.sqrt((error**2).mean()) < 0.004
    assert abs(error.mean()) < 0.003


def test_grade__tolerates_what_it_says() -> None:
    case = Case("c", "ipv", {}, {"a": 1.0, "b": 2.0, "c": 0.0}, {"a": 0.5}, {"b": 0.1}, {"a": 0.01})
    a, b, c = grade(case, "engine", {"a": Estimate(1.2, 100), "b": Estimate(2.11, 100)})
    assert a.tolerance == pytest.approx(4 * (0.05**2 + 0.01**2) ** 0.5 + 1e-9)
    assert (a.holds, b.holds, c.holds) == (True, False, False)
    assert "no such metric" in c.note


def test_unknown_check__is_told_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.json").write_text(
        json.dumps({"cases": [{"id": "x1", "check": "astrology", "params": {}, "expected": {"luck": 1.0}}]})
    )
    assert main(["validate", "--cases", str(tmp_path / "c.json"), "--workers", "1"]) == 1
    assert UNKNOWN in capsys.readouterr().out
    assert main(["validate", "--cases", str(tmp_path / "c.json"), "--workers", "1", "--json"]) == 1
    figure = json.loads(capsys.readouterr().out)["figures"][0]
    assert (figure["id"], figure["holds"], figure["note"]) == ("x1/luck", False, UNKNOWN)


def test_command__prints_and_ends_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--only", "C1-eos", "--only", "knap", "--workers", "1"]) == 0
    out = capsys.readouterr().out
    assert "2 of 2 cases hold" in out
    assert main(["validate", "--only", "knap", "--workers", "1", "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert set(written) == {"name", "machine", "versions", "figures"}
    assert all(f["holds"] and f["component"] for f in written["figures"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "no list of cases"),
        ('{"cases": [1]}', "number 1: case: is not a table"),
        ('[{"check": "ipv", "params": {}, "expected": {}}]', "id: is missing"),
        ('[{"id": "a", "params": {}, "expected": {}}]', "case a: check: is missing"),
        ('[{"id": "a", "check": "ipv", "expected": {}}]', "case a: params: is missing"),
        (
            '[{"id": "a", "check": "ipv", "params": {}, "expected": {"r": "x"}}]',
            "case a: expected.r: 'x' is not a finite number",
        ),
        (
            '[{"id": "a", "check": "ipv", "params": {}, "expected": {}, "se_per_auction": 3}]',
            "case a: se_per_auction: is not a table",
        ),
        (
            '[{"id": "a", "check": "ipv", "params": {}, "expected": {}, "tolerance": {"abs": {"r": NaN}}}]',
            "tolerance.abs.r: nan",
        ),
    ],
)
def test_file__is_refused_with_case_and_field(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        load_cases(tmp_path / "c.json")


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"n": "two", "dist": {"type": "uniform"}, "format": "second"},
        {"n": 2, "dist": {"type": "cauchy"}, "format": "second"},
        {"n": 2, "dist": 3, "format": "second"},
    ],
)
def test_params__that_do_not_fit_fail_the_case_and_say_why(params: dict[str, Any]) -> None:
    verdicts = validate([Case("odd", "ipv", params, {"revenue": 1.0})], workers=1)
    assert not verdicts[0].holds
    assert "params" in verdicts[0].note


def test_command__suggests_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--only", "ipw"]) == 2
    assert "did you mean 'ipv'" in capsys.readouterr().err
    assert main(["validate", "--cases", "no/such/file.json"]) == 2
