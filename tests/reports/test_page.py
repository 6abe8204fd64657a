"""What the pages say in words: figures by pandas, and sentences that follow from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.console import Console

from bidsim.reports.page import _by_outcome, render_report
from bidsim.reports.sentences import evidence
from bidsim.reports.watching import slice_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    import bidsim

LOGGED: dict[str, Any] = {
    "seats.main.model": {"name": "logistic"},
    "history.requests": 12_000,
    "products.soap.conversion_rate": 0.5,
    "products.soap.click_rate": 0.3,
}


@pytest.mark.parametrize("settings", [{}, LOGGED], ids=["oracle", "logistic"])
def test_predictions__beside_the_truth_by_outcome(
    run_small: Callable[..., bidsim.Result], settings: dict[str, Any]
) -> None:
    result = run_small({**settings, "log.decisions": 1_000_000})
    sums = result.bids.groupby(result.bids["reason"] == "won")[["pcvr", "true_rate"]].sum()
    ratio = (sums["pcvr"] / sums["true_rate"]).to_dict()
    won, lost = ratio[True], ratio[False]
    page = render_report(result)
    assert (
        f"In this sample predictions are {won:.2f} of the truth where the bid won, and {lost:.2f} where it did not"
        in page
    )
    assert ("bids win where they think too well of an impression" in page) == (won >= lost + 0.01)
    assert (won, lost) == pytest.approx((1.0, 1.0)) or settings


@pytest.mark.parametrize(
    ("uplift", "told"),
    [
        (0.05, "With 1.9% probability it does not bring more conversions."),
        (-0.05, "With 1.9% probability it does not bring fewer conversions."),
    ],
)
def test_evidence__says_how_likely_it_is_wrong(uplift: float, told: str) -> None:
    row = {
        "impressions": 20_000,
        "conversions_seen": 282,
        "everyone": 1_308,
        "false_sign": 0.019,
        "uplift": {"value": uplift},
    }
    assert evidence(row).endswith(told)
    assert "20,000 randomised impressions and 282 conversions" in evidence({**row, "false_sign": None})
    assert "probability" not in evidence({**row, "false_sign": None})


def test_slice__without_impressions_has_no_ratio() -> None:
    numbers = {
        "predicted": [9.0, 0.0],
        "due": [8.0, 0.0],
        "converted": [7, 0],
        "ratio": [0.9, 0.9],
        "low": [0.7, 0.5],
        "high": [1.1, 1.3],
        "normal": [0.95, 0.95],
    }
    content = {
        "slices": {
            "slice": ["all traffic", "new"],
            "kind": [0, 1],
            "impressions": [1_000, 0],
            **numbers,
            "normalised_entropy": [None, None],
            "auc": [None, None],
            "cpm": [5.0, None],
        }
    }
    screen = Console(width=200)
    with screen.capture() as caught:
        screen.print(slice_rows(content))
    whole, new = caught.get().splitlines()[1:]
    assert "0.90 (0.70-1.10)" in whole
    assert "0.90" not in new
    assert new.split() == ["new", "0", "0", "0", "0", "-", "-", "-", "-", "-"]


@pytest.mark.parametrize(("gap", "curse"), [(0.5, True), (0.02, False), (-0.5, False)])
def test_predictions__speak_of_the_winners_curse_only_where_it_is_no_chance(gap: float, *, curse: bool) -> None:
    dice = np.random.default_rng(1)
    true, won = dice.uniform(0.01, 0.03, 400), np.arange(400) < 100
    predicted = true * dice.lognormal(0.0, 0.5, 400) * np.where(won, 1.0 + gap, 1.0)
    told = _by_outcome(predicted, true, {"won": won, "not won": ~won}, "the model")
    assert ("winner's curse" in told) == curse
    assert ("no more apart than chance explains" in told) == (abs(gap) < 0.1)
