"""An advertiser's page by the slow obvious way: pandas over the Parquet files, scipy for intervals and fits, sums for integrals."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
from scipy import optimize, stats

from bidsim.cvr.features import FEATURES

NANOS = 1e9


class Parquet:
    """The tables of a run, as pandas reads them."""

    def __init__(self, folder: Path, advertiser: str) -> None:
        self.folder = folder
        self.manifest = json.loads((folder / "manifest.json").read_text())
        self.every = {name: pd.read_parquet(folder / f"{name}.parquet") for name in self.manifest["tables"]}
        self.owner = dict(zip(self.every["campaigns"]["campaign"], self.every["campaigns"]["advertiser"], strict=True))
        self.advertiser = advertiser
        self.mine = {
            name: t[t["campaign"].map(self.owner) == advertiser] for name, t in self.every.items() if "campaign" in t
        }


def poisson(count: int) -> dict[str, float]:
    """Garwood's interval."""
    low = stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    return {"value": float(count), "low": low, "high": stats.chi2.ppf(0.975, 2 * count + 2) / 2}


def figures(timeline: pd.DataFrame, conversions: pd.DataFrame, *, by_ad: bool = False) -> dict[str, Any]:
    """Spend, conversions, CPA and ROAS of a time; ``by_ad``, all conversions that come of its ads."""
    spend, sales, count = (
        timeline["payment_nanos"].sum() / NANOS,
        timeline["sales_nanos"].sum() / NANOS,
        int(timeline["conversions"].sum()),
    )
    if by_ad:
        count, sales = len(conversions), conversions["value_nanos"].sum() / NANOS
    counted, spread = poisson(count), math.sqrt(sum((v / NANOS) ** 2 for v in conversions["value_nanos"]))
    return {
        "spend_nanos": int(timeline["payment_nanos"].sum()),
        "spend": spend,
        "sales": sales,
        "conversions": counted,
        "cpa": {"value": spend / count, "low": spend / counted["high"], "high": spend / counted["low"]},
        "roas": {
            "value": sales / spend,
            "low": stats.gamma.ppf(0.025, (sales / spread) ** 2, scale=spread**2 / sales) / spend,
            "high": stats.gamma.ppf(0.975, (sales / spread) ** 2 + 1, scale=spread**2 / sales) / spend,
        },
    }


def headline(run: Parquet) -> dict[str, Any]:
    """All of the first section."""
    timeline, sold = run.mine["timeline"], run.mine["conversions"]
    every, sold = sold, sold[sold["observed"]]
    starts = sorted(timeline["start_us"].unique())
    middle = starts[len(starts) // 2]
    arms = run.every["incrementality"]
    arms = arms[arms["advertiser"] == run.advertiser]
    value = below = above = 0.0
    for _, line in arms.iterrows():
        arms_of_line = []
        for arm in ("served", "held_out"):
            n, total, squares = (float(line[f"{arm}_{what}"]) for what in ("users", "purchases", "purchases_squared"))
            v, w = squares - total**2 / n, max(squares / total - total / n, 1.0) if total else 1.0
            low = v / (2 * total) * stats.chi2.ppf(0.025, 2 * total**2 / v) if total else 0.0
            high = (v + w**2) / (2 * (total + w)) * stats.chi2.ppf(0.975, 2 * (total + w) ** 2 / (v + w**2))
            arms_of_line.append([x * line["served_users"] / n for x in (total, low, high)])
        (s, s_low, s_high), (h, h_low, h_high) = arms_of_line
        value += s - h
        below += (s - s_low) ** 2 + (h_high - h) ** 2
        above += (s_high - s) ** 2 + (h - h_low) ** 2
    return {
        **figures(timeline, sold),
        "incremental": {
            "estimate": {"value": value, "low": value - math.sqrt(below), "high": value + math.sqrt(above)},
            "truth": int((arms["served_purchases"] - arms["served_purchases_without_ads"]).sum()),
        },
        "preceding": figures(
            timeline[timeline["start_us"] < middle], every[every["credit_time_us"] < middle], by_ad=True
        ),
        "latest": figures(
            timeline[timeline["start_us"] >= middle], every[every["credit_time_us"] >= middle], by_ad=True
        ),
    }


def funnel(run: Parquet) -> dict[str, Any]:
    """Steps, and losses by reason with their worth."""
    rows, bids = run.mine["campaigns"], run.mine["bids"]
    lost = {
        c.removeprefix("lost_"): int(rows[c].sum()) for c in rows if c.startswith("lost_") and c != "lost_not_targeted"
    }
    steps = {
        "matched": int(rows["wins"].sum()) + sum(lost.values()),
        **{c: int(rows[c].sum()) for c in ("eligible", "bids", "wins", "views", "clicks", "conversions")},
    }
    losses = []
    for reason, count in lost.items():
        sampled = bids[bids["reason"] == reason]
        if count:
            worth = sampled["value_nanos"].mean() / NANOS * count if len(sampled) else None
            losses.append(
                {
                    "reason": reason,
                    "count": count,
                    "share": count / steps["matched"],
                    "worth": worth,
                    "sampled": len(sampled),
                }
            )
    return {"steps": steps, "losses": sorted(losses, key=lambda row: -row["count"])}


def bid_curve(run: Parquet) -> list[dict[str, Any]]:
    """Points of the landscape, with what each further conversion costs."""
    found, spent, brought = [], 0.0, 0.0
    for factor, rows in run.mine["landscape"].groupby("bid_factor"):
        spend, conversions = rows["payment_nanos"].sum() / NANOS, rows["expected_conversions"].sum()
        more = conversions - brought
        found.append(
            {
                "factor": factor,
                "wins": int(rows["wins"].sum()),
                "spend": spend,
                "conversions": conversions,
                "marginal_cpa": (spend - spent) / more if more > 0 else None,
            }
        )
        spent, brought = spend, conversions
    return found


def bid_arms(run: Parquet) -> list[dict[str, Any]]:
    """What bids multiplied by dice led to."""
    found = []
    for factor, rows in run.mine["bid_arms"].groupby("bid_factor"):
        explored = run.mine["explorations"]
        explored = explored[np.isclose(explored["assigned_bid"], factor)]
        found.append(
            {
                "factor": factor,
                "offered": int(rows["offered"].sum()),
                "wins": len(explored),
                "spend": explored["payment_nanos"].sum() / NANOS,
                "conversions": poisson(int(explored["converted"].sum())),
                "spend_per_thousand": 1000 * explored["payment_nanos"].sum() / NANOS / rows["offered"].sum(),
            }
        )
    return found


def segments(run: Parquet) -> list[dict[str, Any]]:
    """Segments of 50 users or more, beside peers."""
    found = []
    every = run.every["auctions"].assign(owner=run.every["auctions"]["campaign"].map(run.owner))
    for field in ("placement", "device", "geo", "segment", "age"):
        for level, rows in every.groupby(field):
            mine = rows[rows["owner"] == run.advertiser]
            if mine["user"].nunique() < 50:
                continue
            counted = poisson(int(mine["converted"].sum()))
            peers = [
                1000 * theirs["converted"].mean()
                for name, theirs in rows.groupby("owner")
                if name != run.advertiser and theirs["user"].nunique() >= 50
            ]
            found.append(
                {
                    "field": field,
                    "level": level,
                    "users": mine["user"].nunique(),
                    "impressions": len(mine),
                    "clicks": int(mine["clicked"].sum()),
                    "conversions": int(mine["converted"].sum()),
                    "rate": {key: 1000 * v / len(mine) for key, v in counted.items()},
                    "peers": float(np.mean(peers)) if len(peers) >= 10 else None,
                }
            )
    return found


def trust(run: Parquet) -> dict[str, Any]:
    """Predicted beside observed on matured rows."""
    scenario = run.manifest["scenario"]
    rows = run.mine["auctions"]
    rows = rows.assign(
        pcvr=rows["pcvr"]
        * [scenario["auction"]["positions"][p] / scenario["auction"]["positions"][0] for p in rows["position"]]
    )
    rows = rows[rows["time_us"] <= scenario["duration"] - scenario["attribution"]["window"]].sort_values(
        "pcvr", kind="stable"
    )
    count, predicted = int(rows["converted"].sum()), rows["pcvr"].sum()
    interval = poisson(count)
    groups = []
    sizes = [len(rows) // 5 + (k < len(rows) % 5) for k in range(5)]
    for k in range(5):
        part = rows.iloc[sum(sizes[:k]) : sum(sizes[: k + 1])]
        groups.append(
            {
                "impressions": len(part),
                "predicted": part["pcvr"].sum(),
                "observed": poisson(int(part["converted"].sum())),
            }
        )
    return {
        "impressions": len(rows),
        "predicted": predicted,
        "conversions": count,
        "over_observed": {
            "value": predicted / count,
            "low": predicted / interval["high"],
            "high": predicted / interval["low"],
        },
        "groups": groups,
    }


def model_use(run: Parquet, seat: str) -> list[dict[str, Any]]:
    """LightGBM's own contributions, turned into conversions along a straight line by plain integration."""
    folder = run.folder / "model" / seat
    booster = lightgbm.Booster(model_file=str(folder / "model.txt"))
    offset = json.loads((folder / "meta.json").read_text())["offset"]
    x = run.mine["requests"][[f"feature_{name}" for name in FEATURES]].to_numpy()
    x = x[[math.floor(k * (len(x) - 1) / 1999) for k in range(2000)]] if len(x) > 2000 else x
    found = np.asarray(booster.predict(x, pred_contrib=True))
    own, start = found[:, :-1], found[:, -1] + offset
    total = own.sum(axis=1)
    steps = (np.arange(2000) + 0.5) / 2000
    rate = 1 / (1 + np.exp(-(start[:, None] + steps[None, :] * total[:, None])))
    counted = 1000 * own * (rate * (1 - rate)).mean(axis=1)[:, None]
    sizes = np.abs(own).mean(axis=0)
    rows = [
        {
            "feature": FEATURES[k],
            "size_log_odds": sizes[k],
            "share": sizes[k] / sizes.sum(),
            "size_per_thousand": np.abs(counted[:, k]).mean(),
            "mean_per_thousand": counted[:, k].mean(),
        }
        for k in np.argsort(-sizes, kind="stable")
        if sizes[k] > 0
    ]
    return rows[:12]


def what_if(run: Parquet, seat: str, lever: str, change: float) -> float:
    """Ratio of LightGBM's predictions with the lever moved, less 1."""
    folder = run.folder / "model" / seat
    booster = lightgbm.Booster(model_file=str(folder / "model.txt"))
    offset = json.loads((folder / "meta.json").read_text())["offset"]
    x = run.mine["requests"][[f"feature_{name}" for name in FEATURES]].to_numpy().astype(np.float32)
    x = x[[math.floor(k * (len(x) - 1) / 1999) for k in range(2000)]] if len(x) > 2000 else x
    moved = x.copy()
    j = FEATURES.index(lever)
    moved[:, j] = moved[:, j] * (1 + change) if lever == "price" else moved[:, j] + change
    rates = [(1 / (1 + np.exp(-(booster.predict(rows, raw_score=True) + offset)))).mean() for rows in (moved, x)]
    return float(rates[0] / rates[1] - 1)


class Experiment:
    """The randomised slice, fitted by a general optimiser."""

    LEVERS = ("price", "creative", "landing", "shipping_days")

    def __init__(self, run: Parquet) -> None:
        rows = run.every["explorations"]
        self.shown = rows["campaign"].map(run.owner).value_counts()
        happened = rows["converted"].to_numpy(float)
        self.keep = min(1.0, 20 * happened.sum() / max((happened == 0).sum(), 1))
        kept = (happened > 0) | (np.random.default_rng(0).random(len(rows)) < self.keep)
        rows = rows[kept]
        self.names = sorted(set(run.owner.values()))
        self.owner = np.array([self.names.index(run.owner[c]) for c in rows["campaign"]])
        self.unit = rows["user"].to_numpy() * 1000 + self.owner
        self.y = rows["converted"].to_numpy(float)
        self.weight = np.where(self.y > 0, 1.0, 1 / self.keep)
        steps = run.manifest["scenario"]["exploration"]["steps"]
        self.action = {
            "price": math.log(1 - steps["price"]),
            "creative": steps["creative"],
            "landing": steps["landing"],
            "shipping_days": -steps["shipping_days"],
        }
        self.natural = self._units(rows, "natural")
        self.assigned = self._units(rows, "assigned")
        score = np.log(rows["pcvr"] / (1 - rows["pcvr"])).to_numpy()
        self.score = score - np.average(score, weights=self.weight)
        self.middle = np.average(self.natural, axis=0, weights=self.weight)
        self.x0, self.x = self.columns(self.natural), self.columns(self.assigned)
        dummies, mains, products = (
            len(self.names),
            len(self.LEVERS),
            self.x.shape[1] - len(self.names) - 1 - 2 * len(self.LEVERS),
        )
        self.precision = np.array([1e-4] * (dummies + 1 + mains) + [1.0] * mains + [1 / 0.04**2] * products)
        self.beta, self.covariance = fit(self.x, self.y, self.precision, np.zeros(len(self.y)), self.unit)

    def _units(self, rows: pd.DataFrame, which: str) -> Any:
        values = [np.log(rows[f"{which}_{v}"]) if v == "price" else rows[f"{which}_{v}"] for v in self.LEVERS]
        return np.column_stack([v / abs(self.action[name]) for v, name in zip(values, self.LEVERS, strict=True)])

    def _products(self, values: Any) -> Any:
        n = len(self.LEVERS)
        parts = [values[:, k] * self.score for k in range(n)] + [values[:, k] ** 2 for k in range(n)]
        parts += [values[:, i] * values[:, j] for i in range(n) for j in range(i + 1, n)]
        return np.column_stack(parts)

    def columns(self, values: Any) -> Any:
        """All columns of the model with the levers at ``values``."""
        dummies = np.array([[float(o == a) for a in range(len(self.names))] for o in self.owner])
        a0, a = self.natural - self.middle, values - self.middle
        return np.column_stack([dummies, self.score, a0, a - a0, self._products(a) - self._products(a0)])

    def moved(self, lever: str, sign: float) -> Any:
        """Natural values, one lever moved by its action."""
        values = self.natural.copy()
        k = self.LEVERS.index(lever)
        values[:, k] += sign * self.action[lever] / abs(self.action[lever])
        return values

    def common(self, lever: str, sign: float) -> tuple[float, float]:
        """Effect on all, and its error by numerical derivatives."""
        after = self.columns(self.moved(lever, sign))

        def effect(beta: Any) -> float:
            rates = [self.weight @ (1 / (1 + np.exp(-(x @ beta + math.log(self.keep))))) for x in (after, self.x0)]
            return math.log(rates[0] / rates[1])

        slope = optimize.approx_fprime(self.beta, effect, 1e-6)
        return effect(self.beta), math.sqrt(1.1**2 * slope @ self.covariance @ slope + (0.05 * effect(self.beta)) ** 2)

    def own(self, advertiser: int, lever: str, sign: float) -> tuple[float, float]:
        """Effect on one advertiser's rows from its own departures."""
        mine = self.owner == advertiser
        change = np.column_stack([np.ones(mine.sum()), (self.assigned - self.natural)[mine]])
        precision = np.array([1e-4] + [1.0] * len(self.LEVERS))
        delta, covariance = fit(change, self.y[mine], precision, self.x[mine] @ self.beta, self.unit[mine])
        after, moved = self.columns(self.moved(lever, sign))[mine], (self.moved(lever, sign) - self.natural)[mine]

        def effect(d: Any) -> float:
            base = self.x0[mine] @ self.beta + math.log(self.keep) + d[0]
            rates = [
                self.weight[mine] @ (1 / (1 + np.exp(-eta)))
                for eta in (base + (after - self.x0[mine]) @ self.beta + moved @ d[1:], base)
            ]
            return math.log(rates[0] / rates[1])

        slope = optimize.approx_fprime(delta, effect, 1e-6)
        return effect(delta), math.sqrt(1.3**2 * slope @ covariance @ slope + (0.05 * effect(delta)) ** 2)


def fit(x: Any, y: Any, precision: Any, offset: Any, unit: Any) -> tuple[Any, Any]:
    """Ridge logistic regression by scipy's trust region; errors clustered by unit, one at a time."""

    def loss(beta: Any) -> float:
        eta = x @ beta + offset
        return float(np.logaddexp(0, eta).sum() - y @ eta + 0.5 * (precision * beta**2).sum())

    def rate(beta: Any) -> Any:
        return 1 / (1 + np.exp(-(x @ beta + offset)))

    def slope(beta: Any) -> Any:
        return x.T @ (rate(beta) - y) + precision * beta

    def curve(beta: Any) -> Any:
        p = rate(beta)
        return (x.T * (p * (1 - p))) @ x + np.diag(precision)

    beta = optimize.minimize(
        loss, np.zeros(x.shape[1]), jac=slope, hess=curve, method="trust-exact", options={"gtol": 1e-9, "maxiter": 500}
    ).x
    residual = y - rate(beta)
    meat = np.diag(precision).astype(float)
    for one in np.unique(unit):
        g = residual[unit == one] @ x[unit == one]
        meat += np.outer(g, g)
    inverse = np.linalg.inv(curve(beta))
    return beta, inverse @ meat @ inverse


def posterior(
    own: list[tuple[float, float]], which: int, weights: list[float], spreads: list[float], between: tuple[float, ...]
) -> tuple[float, float, float, float]:
    """Mean, 2.5% and 97.5% points and false-sign rate of one advertiser's effect, by sums over a fine grid of the common effect."""
    value, error = (np.array(column) for column in zip(*own, strict=True))
    grid = np.linspace(-0.6, 0.6, 12_001)
    fine = np.linspace(-0.6, 0.6, 12_001)
    density = np.zeros_like(fine)
    atom = 0.0
    for tau in between:
        sd = np.sqrt(error**2 + tau**2)
        likelihood = stats.norm.logpdf(value[:, None], grid[None, :], sd[:, None]).sum(axis=0)
        at_zero = stats.norm.logpdf(value, 0.0, sd).sum()
        for weight, spread in zip(weights, spreads, strict=True):
            if weight == 0:
                continue
            if spread == 0:
                parts = [(0.0, weight * math.exp(at_zero - 200))]
                mu, mass = np.array([0.0]), np.array([parts[0][1]])
            else:
                mu, mass = (
                    grid,
                    weight * stats.norm.pdf(grid, 0, spread) * np.exp(likelihood - 200) * (grid[1] - grid[0]),
                )
            if tau == 0:
                if spread == 0:
                    atom += float(mass[0])
                else:
                    density += np.interp(fine, mu, mass / (grid[1] - grid[0]), left=0, right=0)
                continue
            trust = tau**2 / (tau**2 + error[which] ** 2)
            middle, wide = trust * value[which] + (1 - trust) * mu, math.sqrt(tau**2 * (1 - trust))
            coarse = slice(None, None, 40) if len(mu) > 1 else slice(None)
            scale = 40 if len(mu) > 1 else 1
            for m, w in zip(middle[coarse], mass[coarse] * scale, strict=True):
                if w > 0:
                    density += w * stats.norm.pdf(fine, m, wide)
    step = fine[1] - fine[0]
    total = density.sum() * step + atom
    mean = (density * fine).sum() * step / total
    cumulative = np.cumsum(density) * step + atom * (fine >= 0)
    cumulative /= total
    negative = (density[fine < 0]).sum() * step / total
    low, high = (float(fine[np.searchsorted(cumulative, q)]) for q in (0.025, 0.975))
    return float(mean), low, high, float(min(1 - negative, negative + atom / total))
