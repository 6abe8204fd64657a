"""Slices and what the model saw, counted again from the rows by pandas."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from bidsim.core.requests import CATEGORIES
from bidsim.core.units import HOUR
from bidsim.observers.population import EDGES
from bidsim.observers.slices import BINS, bin_edges, score_bin
from tests.engine.test_incidents import RICH, TREES

if TYPE_CHECKING:
    from collections.abc import Callable

    import bidsim

WINDOW = 5 * HOUR
WATCHED: dict[str, Any] = {
    **RICH,
    **TREES,
    "monitoring.window": "5h",
    "monitoring.pairs": [["geo", "device"]],
    "monitoring.rows": "all",
    "attribution.window": "1d",
}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> bidsim.Result:
    """A run of which every row is kept."""
    import bidsim  # noqa: PLC0415
    from tests.conftest import SMALL  # noqa: PLC0415

    path = tmp_path_factory.mktemp("slices") / "small.toml"
    path.write_text(SMALL)
    return bidsim.run(bidsim.load_scenario(path, WATCHED), progress=lambda *a: None)


def _rows(result: bidsim.Result) -> pd.DataFrame:
    rows, campaigns = result.auctions.copy(), result.campaigns
    rows = rows.merge(campaigns[["campaign", "advertiser", "product"]], on="campaign")
    rows["start_us"] = rows["time_us"] // WINDOW * WINDOW
    rows["geo x device"] = rows["geo"] + " x " + rows["device"]
    p = rows["pcvr"]
    rows["ll"] = np.where(rows["converted"] == 1, np.log(p), np.log1p(-p))
    return rows


@pytest.mark.parametrize("field", [*CATEGORIES, "geo x device"])
def test_slices__by_pandas(result: bidsim.Result, field: str) -> None:
    rows = _rows(result)
    key = ["start_us", field, "advertiser", "product"]
    told = rows.groupby(key).agg(
        wins=("request", "size"), views=("viewed", "sum"), clicks=("clicked", "sum"), payment_nanos=("payment_nanos", "sum"), converted=("converted", "sum"),
        pcvr_sum=("pcvr", "sum"), true_rate_sum=("true_rate", "sum"), log_likelihood_sum=("ll", "sum"),
    )  # fmt: skip
    mine = result.slices[result.slices["field"] == field].rename(columns={"level": field})
    found = mine[mine["wins"] > 0].set_index(key).sort_index()
    pd.testing.assert_frame_equal(found[told.columns], told.sort_index(), check_dtype=False, rtol=1e-9)
    late = rows[rows["converted"] == 1].assign(start_us=lambda d: d["conversion_time_us"] // WINDOW * WINDOW)
    arrived = late.groupby(key).size()
    ours = mine[mine["arrived"] > 0].set_index(key)["arrived"].sort_index()
    pd.testing.assert_series_equal(ours, arrived.sort_index(), check_names=False, check_dtype=False)


def test_slices__of_all_rows_by_pandas(result: bidsim.Result) -> None:
    bids = result.bids.merge(result.requests[["request", "campaign", "feature_geo"]], on=["request", "campaign"]).merge(
        result.campaigns[["campaign", "advertiser"]], on="campaign"
    )
    bids = bids[bids["reason"] != "budget"]
    names = ["US", "CA", "GB", "DE"]
    bids["level"] = [names[int(g)] for g in bids["feature_geo"]]
    bids["start_us"] = bids["time_us"] // WINDOW * WINDOW
    told = bids.groupby(["start_us", "level", "advertiser"])["pcvr"].agg(["size", "sum"])
    mine = result.slices.query("field == 'geo'").set_index(["start_us", "level", "advertiser"])
    mine = mine[mine["offers"] > 0].sort_index()
    np.testing.assert_array_equal(mine["offers"], told.sort_index()["size"])
    np.testing.assert_allclose(mine["offered_pcvr_sum"], told.sort_index()["sum"], rtol=1e-9)


def test_scores__by_pandas(result: bidsim.Result) -> None:
    rows = _rows(result)
    rows["bin"] = [score_bin(bin_edges(), p) for p in rows["pcvr"]]
    for field in ("geo", "site"):
        told = rows.groupby(["start_us", field, "bin"])["converted"].agg(["size", "sum"])
        mine = result.frame("scores").query("field == @field").set_index(["start_us", "level", "bin"]).sort_index()
        np.testing.assert_array_equal(mine["wins"], told["size"])
        np.testing.assert_array_equal(mine["converted"], told["sum"])


def test_score_bin__rises_with_the_rate_and_stays_in_range() -> None:
    rates = np.concatenate([np.logspace(-9, -0.31, 400), [0.5, 0.9, 1.0]])
    bins = [score_bin(bin_edges(), float(p)) for p in rates]
    assert all(a <= b for a, b in pairwise(bins))
    assert (bins[0], bins[-1]) == (0, BINS - 1)
    edges = [1 / (1 + 2 ** ((BINS - 1 - b) / 2.25)) for b in (5, 20)]
    for b, edge in zip((5, 20), edges, strict=True):
        assert (score_bin(bin_edges(), edge * (1 - 1e-9)), score_bin(bin_edges(), edge * (1 + 1e-9))) == (b - 1, b)


def test_population__by_pandas(result: bidsim.Result) -> None:
    """What the model saw of each request, and of each impression."""
    seen = result.requests.merge(result.bids[["request", "campaign", "reason"]], on=["request", "campaign"])
    seen["start_us"] = seen["time_us"] // WINDOW * WINDOW
    counted = result.frame("population").set_index(["feature", "level", "start_us"])
    fourth = seen[seen["request"] % 4 == 0]
    won, asked = fourth[fourth["reason"] == "won"], fourth.drop_duplicates("request")
    for feature, bounds in EDGES.items():
        for rows, column in ((won, "wins"), (asked, "requests")):
            value = rows[f"feature_{feature}"]
            bins = np.where(value.isna(), 0, 1 + np.searchsorted(np.array(bounds), value, side="right"))
            told = pd.Series(bins).groupby([rows["start_us"].to_numpy(), bins]).size()
            names = list(dict.fromkeys(level for f, level, _ in counted.index if f == feature))
            if (column == "requests") == (feature in ("price", "frequency", "hours_since_seen", "days_since_purchase")):
                assert counted.loc[feature][column].sum() == 0
                continue
            for (start, b), count in told.items():
                ours = counted.loc[(feature, names[b], start), column]
                # requests without an eligible campaign are not logged, and the model saw them all the same
                assert ours == count if column == "wins" else ours >= count
    assert counted.loc["device"]["requests"].sum() == result.manifest["requests"]


def test_groups__grow_coarser_where_slices_would_be_too_many(run_small: Callable[..., bidsim.Result]) -> None:
    def groups(most: int) -> set[tuple[str, str]]:
        table = run_small(
            {**RICH, "requests": 800, "monitoring.most": most, "campaigns.soap-mobile.advertiser": "other"}
        ).tables["slices"]
        return set(zip(table["advertiser"], table["product"], strict=True))

    levels = 88 - 12
    assert groups(10_000) == {("clean", "soap"), ("other", "soap"), ("bright", "lamp")}
    assert groups(2 * levels + 20) == {("", "soap"), ("", "lamp")}
    assert groups(10) == {("", "")}
