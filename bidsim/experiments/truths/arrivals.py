"""When requests come, and what spend does over the day; and the world of AuctionGym."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bidsim.core.units import SECOND
from bidsim.experiments.truths.cases import Estimate
from bidsim.experiments.truths.worlds import figure, simulate, worth
from bidsim.traffic.arrivals import Arrivals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bidsim.core.result import Result

_SECOND = {"format": "second_price"}
_DAYS = 400
_DAYS_AT_ONCE = 50
_GONE = 0.999
_UNIFORM: dict[str, Any] = {"values": {"kind": "independent"}, "market": {"kind": "distribution"}, "auction": _SECOND}


def daily_traffic(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """A day's wave of traffic and a bidder's spend (check ``arrivals``)."""
    alpha, rho, mean = float(params["alpha"]), float(params["rho"]), float(params["Lam"])
    requests, wins, spend, spent_out = [], [], [], []
    for part in range(_DAYS // _DAYS_AT_ONCE):
        paced = _days(params, seed + part, {"policy": {"name": "shaded", "factor": alpha}}, "30m")
        requests.append(_by_day(paced, "eligible"))
        wins.append(_by_day(paced, "wins"))
        spend.append(_by_day(paced, "payment_nanos") * 1e-9)
        broke = _days(params, seed + part, {"policy": "truthful", "daily_budget": mean * rho}, "1m")
        share = np.cumsum(_by_day(broke, "payment_nanos") * 1e-9, axis=1) / (mean * rho)
        # cut bids stretch the last thousandth of the budget out
        spent_out.append((np.argmax(share >= _GONE, axis=1) + 0.5) * 24.0 / share.shape[1])
    r, w, s = (np.concatenate(x) for x in (requests, wins, spend))
    days = len(r)
    total = r.sum(axis=1)
    peak = (r.shape[1] * float(params["phi"])) / 24.0
    # an hour around the peak, in half-hour buckets
    near = (
        np.array([int(np.floor(peak)) - 1, int(np.floor(peak))]) % r.shape[1]
        if peak == int(peak)
        else np.array([int(peak - 0.5), int(peak + 0.5)]) % r.shape[1]
    )
    found = {
        "total": total.mean(),
        "fano_total": total.var(ddof=1) / total.mean(),
        "peak_hour_count": r[:, near].sum(axis=1).mean(),
        "spend_mean": s.sum(axis=1).mean(),
        "spend_sd": s.sum(axis=1).std(ddof=1),
        "wins_mean": w.sum(axis=1).mean(),
        "wins_fano": w.sum(axis=1).var(ddof=1) / w.sum(axis=1).mean(),
        "unpaced_exhaust_hour": np.concatenate(spent_out).mean(),
        "even_in_time_value_ratio": _even_in_time(params, seed),
    }
    for hour in (6, 12, 18):
        found[f"share_by_{hour}h"] = (r[:, : 2 * hour].sum(axis=1) / total).mean()
        found[f"spend_share_by_{hour}h"] = (s[:, : 2 * hour].sum(axis=1) / s.sum(axis=1)).mean()
    return {name: Estimate(float(value), days) for name, value in found.items()}


def _wave(params: Mapping[str, Any]) -> dict[str, Any]:
    return {"hours": {"amplitude": float(params["amp"]), "peak_hour": float(params["phi"]) % 24.0}}


def _days(params: Mapping[str, Any], seed: int, campaign: Mapping[str, Any], bucket: str) -> Result:
    requests = round(float(params["Lam"]) * _DAYS_AT_ONCE)
    return simulate(
        seed,
        requests,
        {"c": campaign},
        duration=f"{_DAYS_AT_ONCE}d",
        count="poisson",
        traffic=_wave(params),
        log={"bucket": bucket},
        **_UNIFORM,
    )


def _by_day(result: Result, column: str) -> NDArray[np.float64]:
    """A column of the timeline, float64[days, buckets]."""
    return np.asarray(result.tables["timeline"][column], np.float64).reshape(_DAYS_AT_ONCE, -1)


_SLICES = 96


def _even_in_time(params: Mapping[str, Any], seed: int) -> float:
    """Value of equal spend per hour over that of one multiplier.

    A campaign for each quarter of an hour, on many days at once.
    """
    rho, amp, phi = float(params["rho"]), float(params["amp"]), float(params["phi"])
    requests = round(float(params["Lam"]) * _DAYS)
    width = 24.0 / _SLICES
    turn = 2.0 * np.pi / 24.0
    value = []
    for even in (True, False):
        campaigns = {}
        for k in range(_SLICES):
            ends = turn * (np.array([k, k + 1]) * width - phi)
            relative = 1.0 + amp * (np.sin(ends[1]) - np.sin(ends[0])) / (turn * width)
            factor = min(float(np.sqrt(6.0 * rho / relative)), 1.0) if even else float(params["alpha"])
            flight = {"start": f"{k * 15}m"} if k else {}
            campaigns[f"slice-{k:02d}"] = {
                "policy": {"name": "shaded", "factor": factor},
                "end": f"{(k + 1) * 15}m",
                **flight,
            }
        world: dict[str, Any] = _UNIFORM | {"values": {"kind": "independent", "common": True}}
        value.append(worth(simulate(seed, requests, campaigns, duration="1d", traffic=_wave(params), **world)))
    return value[0] / value[1]


_GAPS = 2_000_000


def steady_traffic(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """Gaps between requests at a steady rate (check ``homog``)."""
    rate = float(params["lam"])
    duration = max(round(_GAPS / rate * SECOND), SECOND)
    arrivals = Arrivals(seed, "run", requests=_GAPS, start=0, duration=duration, hours="flat", exact=False)
    times = np.zeros(arrivals.total, np.int64)
    arrivals.fill(0, times)
    gaps = np.diff(times) / SECOND
    bins = np.bincount((times / SECOND * 2.0 * rate).astype(np.int64), minlength=int(duration / SECOND * 2.0 * rate))
    return {
        "mean_gap": Estimate(float(gaps.mean()), len(gaps)),
        "cv_gap": Estimate(float(gaps.std() / gaps.mean()), len(gaps)),
        "p_gap_gt_2mean": Estimate(float((gaps > 2.0 / rate).mean()), len(gaps)),
        "p2_half": Estimate(float((bins > 1).mean()), len(bins)),
    }


def auctiongym(params: Mapping[str, Any], units: int, seed: int) -> dict[str, Estimate]:
    """The world of AuctionGym, in second price and in first (check ``ag``)."""
    agents = {f"agent-{k}": {"policy": "truthful"} for k in range(1, 7)}
    values = {"kind": "auctiongym", "participants": int(params["n"]), "catalogue_seed": int(params["seed"])}
    second = simulate(seed, units, agents, values=values, auction=_SECOND)
    first = simulate(seed, units, agents, values=values, auction={"format": "first_price"})
    found = {
        "revenue": figure(second, "payment_nanos"),
        "welfare": worth(second),
        "surplus": worth(second) - figure(second, "payment_nanos"),
        "fp_truthful_revenue": figure(first, "payment_nanos"),
        "fp_truthful_surplus": worth(first) - figure(first, "payment_nanos"),
    }
    return {name: Estimate(value / units, units) for name, value in found.items()}
