"""Audits: every rule is named from its payments alone, and a made-up next bid is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bidsim
from bidsim.cli import main
from bidsim.core.errors import UsageError
from bidsim.experiments.audit import audit_path, audit_run
from bidsim.metrics.audit import audit
from bidsim.scenario.load import scenario_of

DICE = np.random.default_rng(0)


def _run(pricing: dict[str, Any]) -> bidsim.Result:
    world = {
        "name": "w",
        "requests": 4_000,
        "duration": "1d",
        "values": {"kind": "independent"},
        "auction": pricing,
        "campaigns": {k: {"budget": 1e6} for k in "abc"},
    }
    return bidsim.run(scenario_of(world), progress=lambda *a: None)


@pytest.mark.parametrize(
    ("pricing", "rule"),
    [
        ({"format": "first_price"}, "first price"),
        ({"format": "second_price"}, "second price"),
        ({"format": "second_price", "reserve_cpm": 500.0}, "second price"),
        ({"format": "soft_floor", "soft_floor_cpm": 700.0}, "soft floor"),
    ],
)
def test_audit__names_the_rule_of_a_run(pricing: dict[str, Any], rule: str) -> None:
    assert audit_run(_run(pricing)).rule == rule


def test_audit__finds_a_point_mass_at_a_share_of_the_bid() -> None:
    bid = DICE.lognormal(0, 0.5, 20_000)
    second = bid * DICE.random(20_000)
    cheated = DICE.random(20_000) < 0.05
    payment = np.where(cheated, 0.85 * bid, second)
    found = audit(bid, payment, unit=1e-9)
    assert found.rule == "second price with a point mass"
    assert found.evidence["point_mass_at"] == pytest.approx(0.85, abs=1e-6)
    assert found.evidence["share_there"] == pytest.approx(0.05, abs=0.01)
    assert audit(bid, second, unit=1e-9).rule == "second price"


def test_audit__ties_make_no_soft_floor() -> None:
    """Who bids as much as the next one pays its own bid in second price, too."""
    bid = DICE.integers(1_000, 9_000, 5_000).astype(float)
    second = np.floor(bid * DICE.random(5_000))
    second[[17, *DICE.integers(0, 5_000, 5)]] = bid[[17, *DICE.integers(0, 5_000, 5)]]
    second[bid == bid.min()] = bid.min()
    assert audit(bid, second, unit=0.5).rule != "soft floor"
    assert audit(bid, second, second, 0.5).rule == "second price"


def test_audit__says_when_no_rule_fits() -> None:
    bid = DICE.random(5000) + 0.1
    payment = np.where(DICE.random(5000) < 0.5, bid, bid * DICE.random(5000))
    assert audit(bid, payment, bid * 0.5, 1e-9).rule == "unknown"
    assert audit(np.zeros(3), np.zeros(3)).rule == "unknown"


def test_command__audits_runs_and_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _run({"format": "first_price"}).save(tmp_path / "run")
    assert main(["audit", str(tmp_path / "run")]) == 0
    assert "this is first price" in capsys.readouterr().out
    rows = "\n".join(f"{b},{p},{p}" for b, p in zip(range(100, 600), range(50, 550), strict=True))
    (tmp_path / "log.csv").write_text("bid,payment,next_bid\n" + rows + "\n")
    assert main(["audit", str(tmp_path / "log.csv"), "--json"]) == 0
    assert '"rule": "second price"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("bid,price\n1,1\n", "no column 'payment'"),
        ("bid,payment\n1,x\n", "log.csv:2: payment: 'x' is not a number"),
        ("bid;payment\n1;2\n", "separated by semicolons"),
        ("bid,payment,bid\n1,2,3\n", "the column 'bid' is there 2 times"),
        ("PK\x03\x04xl/", "this is a spreadsheet; save it as CSV"),
        ("bid,payment\n1,1\n-2,1\n", "log.csv:3: bid: -2"),
        ("", "cannot be read"),
    ],
)
def test_log__is_refused_with_line_and_field(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "log.csv").write_text(content)
    with pytest.raises(UsageError, match=message):
        audit_path(tmp_path / "log.csv")


def test_path__that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a run directory"):
        audit_path(tmp_path)
    with pytest.raises(UsageError, match="no such run or log"):
        audit_path(tmp_path / "nothing.csv")


@pytest.mark.parametrize(("count", "rule"), [(1, "unknown"), (12, "unknown"), (71, "unknown"), (72, "first price")])
def test_audit__too_few_payments_name_no_rule(count: int, rule: str) -> None:
    """The interval of the share that obeys it must lie above 95%."""
    bid = np.linspace(2.0, 3.0, count)
    first = audit(bid, bid, bid / 2, 1e-9)
    assert first.rule == rule
    assert ("too few to be sure" in first.sentence) == (rule == "unknown")
    for least in (bid / 2, None):
        second = audit(bid, bid / 2 if least is not None else bid * np.linspace(0.4, 0.6, count), least, 1e-9)
        assert (second.rule == "second price") == (rule != "unknown")


def test_audit__a_soft_floor_needs_payments_on_both_sides() -> None:
    for below, above in ((1, 1), (19, 200), (200, 19)):
        bid = np.concatenate([np.linspace(1.0, 2.0, below), np.linspace(2.1, 3.0, above)])
        payment = np.concatenate([bid[:below], bid[below:] * np.linspace(0.2, 0.5, above)])
        assert audit(bid, payment, bid * 0.1, 1e-9).rule == "unknown"


def test_audit__rules_that_ask_the_same_are_not_told_apart() -> None:
    """Where the next bid is as high as the winner's, both rules charge the same."""
    bid = np.linspace(2.0, 3.0, 500)
    found = audit(bid, bid, bid, 1e-9)
    assert found.rule == "unknown"
    assert "cannot be told apart" in found.sentence
