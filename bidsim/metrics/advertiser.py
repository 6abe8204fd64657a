"""What one advertiser's money did.

Headline, both halves of the run, where opportunities went, what other bids would have bought.

Everything is read from a run's tables and in currency units unless a name says otherwise; ``None`` stands for what
cannot be told.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bidsim.core.errors import UsageError, did_you_mean
from bidsim.core.reasons import REASONS
from bidsim.core.units import NANOS_PER_UNIT
from bidsim.metrics.incrementality import ghost_ad_estimate
from bidsim.metrics.intervals import Interval, poisson_interval, told

if TYPE_CHECKING:
    from bidsim.core.result import Columns, Result


@dataclass(frozen=True)
class Account:
    """An advertiser's part of a run.

    Attributes:
        result: The run.
        advertiser: Name.
        campaigns: Names of its campaigns, as in the tables.
        rows: Their rows in ``campaigns``.

    """

    result: Result
    advertiser: str
    campaigns: tuple[str, ...]
    rows: NDArray[np.int64]

    def part(self, table: str, *columns: str) -> Columns:
        """Rows of a table that are about its campaigns; all columns, or those named."""
        rows = self.rows_of(table)
        found: Columns = {}
        for name in columns or self.result.tables[table]:
            values = self.result.tables[table][name]
            found[name] = values[rows] if isinstance(values, np.ndarray) else [values[k] for k in rows]
        return found

    def rows_of(self, table: str) -> NDArray[np.int64]:
        """Places of the rows that are about its campaigns."""
        names, codes = self.result.coded(table, "campaign")
        mine = np.array([name in self.campaigns for name in names], np.bool_)
        return np.flatnonzero(mine[codes]) if len(names) else np.zeros(0, np.int64)

    def total(self, column: str) -> int:
        """Sum of a whole-numbered column of ``campaigns``."""
        return int(self.result.tables["campaigns"][column][self.rows].sum())


def advertisers_of(result: Result) -> list[str]:
    """Names of a run's advertisers."""
    return sorted(set(result.tables["campaigns"]["advertiser"]))


def account_of(result: Result, advertiser: str) -> Account:
    """Find an advertiser's part of a run.

    Raises:
        UsageError: There is no such advertiser.

    """
    table = result.tables["campaigns"]
    rows = np.flatnonzero(np.array([name == advertiser for name in table["advertiser"]], np.bool_))
    if not len(rows):
        known = advertisers_of(result)
        raise UsageError(
            f"--advertiser {advertiser}: the run has no such advertiser{did_you_mean(advertiser, known)}; it has "
            f"{', '.join(known[:20])}"
        )
    return Account(result, advertiser, tuple(table["campaign"][k] for k in rows), rows)


def headline(account: Account) -> dict[str, Any]:
    """Spend, conversions attributed and incremental, CPA and ROAS, with 95% intervals, of the run and of its halves."""
    halves, sold = _halves(account), account.part("conversions", "observed", "value_nanos")
    spread = _sales_spread(sold["value_nanos"][sold["observed"]])
    return {
        **_figures(account.total("payment_nanos"), account.total("conversions"), account.total("sales_nanos"), spread),
        "conversions_eventual": account.total("conversions_eventual"),
        "incremental": _incremental(account),
        **halves,
    }


def _figures(spend_nanos: int, conversions: int, sales_nanos: int, spread: float | None) -> dict[str, Any]:
    """Figures of a period; ``spread`` is the standard error of its sales, None where single sales are not known."""
    spend, sales, counted = spend_nanos / NANOS_PER_UNIT, sales_nanos / NANOS_PER_UNIT, poisson_interval(conversions)
    cpa = counted.under(spend) if conversions else None
    earned = _roas(sales, spend, conversions, spread) if spend_nanos and spread is not None else None
    return {
        "spend_nanos": spend_nanos,
        "spend": spend,
        "sales": sales,
        "conversions": counted._asdict(),
        "cpa": told(cpa),
        "roas": told(earned),
    }


def _roas(sales: float, spend: float, conversions: int, spread: float) -> Interval | None:
    """Sales over spend; None without a sale, for nothing then tells what one would have been worth.

    Sales are a compound Poisson sum: the interval of a Poisson count, scaled to have the sum's own relative error (Fay
    and Feuer 1997).
    """
    if not conversions or sales <= 0.0 or spread <= 0.0:
        return None
    each = spread**2 / sales  # as many sales of this worth have the same sum and error
    counted = poisson_interval(sales / each)
    return Interval(sales / spend, counted.low * each / spend, counted.high * each / spend)


def _sales_spread(value_nanos: NDArray[np.int64]) -> float | None:
    """Standard error of sales: of a compound Poisson sum, the root of the sum of squares; None where there are none."""
    return float(np.sqrt(((value_nanos / NANOS_PER_UNIT) ** 2).sum())) if len(value_nanos) else None


def _halves(account: Account) -> dict[str, Any]:
    """The second half of the run, and the first one to compare it with, by time of the ad.

    Both have all that is reported of them in the end.

    By time of the report the first half would lack the conversions of ads before it. Where values are drawn,
    conversions come at once and only their number is known.
    """
    table, sold = account.part("timeline"), account.part("conversions", "credit_time_us", "value_nanos", "reported_us")
    drawn = account.result.facts.values_are_drawn
    starts = np.unique(table["start_us"])
    middle = int(starts[len(starts) // 2])
    first, early, told_of = table["start_us"] < middle, sold["credit_time_us"] < middle, sold["reported_us"] >= 0
    found = {}
    for name, rows, mine in (("preceding", first, early), ("latest", ~first, ~early)):
        values = sold["value_nanos"][mine & told_of]
        count, sales = (
            (int(table[key][rows].sum()) for key in ("conversions", "sales_nanos"))
            if drawn
            else (len(values), int(values.sum()))
        )
        found[name] = _figures(int(table["payment_nanos"][rows].sum()), count, sales, _sales_spread(values))
    return found


def campaign_rows(account: Account) -> list[dict[str, Any]]:
    """Spend, impressions, conversions and CPA of each of its campaigns, the largest spender first."""
    table = account.result.tables["campaigns"]
    found = []
    for k, name in zip(account.rows, account.campaigns, strict=True):
        figures = _figures(
            int(table["payment_nanos"][k]), int(table["conversions"][k]), int(table["sales_nanos"][k]), 0.0
        )
        shown = {key: figures[key] for key in ("spend", "conversions", "cpa")}
        found.append(
            {
                "campaign": name,
                **shown,
                "impressions": int(table["wins"][k]),
                "conversions_eventual": int(table["conversions_eventual"][k]),
            }
        )
    return sorted(found, key=lambda row: (-row["spend"], row["campaign"]))


def _incremental(account: Account) -> dict[str, Any]:
    """Purchases that the ads caused.

    The ghost-ad estimate where users were held out, and the truth, which only a simulation knows.
    """
    table = account.result.tables["incrementality"]
    value, below, above, known, true = 0.0, 0.0, 0.0, True, 0
    for k, name in enumerate(table["advertiser"]):
        if name != account.advertiser:
            continue
        arms = [
            [int(table[f"{arm}_{what}"][k]) for what in ("users", "purchases", "purchases_squared")]
            for arm in ("served", "held_out")
        ]
        found = ghost_ad_estimate(*arms[0], *arms[1])
        true += arms[0][1] - int(table["served_purchases_without_ads"][k])
        if found is None:
            known = False
        else:
            value = value + found.value
            below, above = math.hypot(below, found.value - found.low), math.hypot(above, found.high - found.value)
    held = account.result.facts.holdout_share > 0
    return {
        "estimate": {"value": value, "low": value - below, "high": value + above} if known and held else None,
        "truth": true if held else None,
    }


def funnel(account: Account) -> dict[str, Any]:
    """From matching requests to conversions, and what was lost on the way, by reason.

    What was lost comes with what it was believed to be worth.
    """
    table = account.result.tables["campaigns"]
    lost = {reason: int(table[f"lost_{reason}"][account.rows].sum()) for reason in REASONS if reason != "not_targeted"}
    steps = {"matched": account.total("wins") + sum(lost.values())} | {
        name: account.total(name) for name in ("eligible", "bids", "wins", "views", "clicks", "conversions")
    }
    bids = account.part("bids", "reason", "value_nanos")
    reason, value = np.array(bids["reason"], object), bids["value_nanos"] / NANOS_PER_UNIT
    losses = []
    for name, count in sorted(lost.items(), key=lambda item: -item[1]):
        if count:
            rows = reason == name
            sampled = int(rows.sum())
            mean = float(value[rows].mean()) if sampled else None
            losses.append(
                {
                    "reason": name,
                    "count": count,
                    "share": count / steps["matched"],
                    "worth": None if mean is None else mean * count,
                    "sampled": sampled,
                }
            )
    return {"steps": steps, "losses": losses}


def bid_curve(account: Account) -> list[dict[str, Any]]:
    """What multiples of the advertiser's bids would have bought in the surveyed auctions.

    Rivals' bids and budgets are left aside.
    """
    table = account.part("landscape")
    found = []
    for factor in np.unique(table["bid_factor"]):
        rows = table["bid_factor"] == factor
        paid, conversions = int(table["payment_nanos"][rows].sum()), float(table["expected_conversions"][rows].sum())
        found.append(
            {
                "factor": float(factor),
                "wins": int(table["wins"][rows].sum()),
                "spend": paid / NANOS_PER_UNIT,
                "conversions": conversions,
            }
        )
    return _with_margins(found)


def _with_margins(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add what each further conversion costs from one point to the next."""
    previous: dict[str, Any] | None = None
    for point in points:
        more = point["conversions"] - (previous["conversions"] if previous else 0.0)
        paid = point["spend"] - (previous["spend"] if previous else 0.0)
        point["marginal_cpa"] = paid / more if more > 0 else None
        previous = point
    return points


def bid_arms(account: Account) -> list[dict[str, Any]]:
    """What randomised bids led to: by arm the opportunities, wins, spend and conversions.

    Empty where none were randomised.
    """
    arms, rows = account.part("bid_arms"), account.part("explorations", "converted", "assigned_bid")
    if not len(arms["campaign"]) or len(np.unique(arms["bid_factor"])) == 1:
        return []
    found = []
    for factor in np.unique(arms["bid_factor"]):
        mine = arms["bid_factor"] == factor
        conversions = int(rows["converted"][np.abs(rows["assigned_bid"] - factor) < 1e-9].sum())  # noqa: PLR2004
        offered, spend = int(arms["offered"][mine].sum()), int(arms["payment_nanos"][mine].sum()) / NANOS_PER_UNIT
        found.append(
            {
                "factor": float(factor),
                "offered": offered,
                "wins": int(arms["wins"][mine].sum()),
                "spend": spend,
                "conversions": told(poisson_interval(conversions)),
                "spend_per_thousand": 1000 * spend / offered if offered else None,
            }
        )
    return found
