"""`calibrated_traffic` beside the published marginals of iPinYou."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import bidsim
from bench.figures import Figure, Report
from bidsim.core.requests import EXCHANGE
from bidsim.core.units import HOUR, NANOS_PER_CPM
from bidsim.scenario.build import build

if TYPE_CHECKING:
    from argparse import Namespace

ROOT = Path(__file__).resolve().parent
SCENARIO = ROOT.parent / "scenarios" / "calibrated_traffic.toml"
_GROUPS = 5
_CHUNK = 65_536


def measure(options: Namespace) -> Report:
    """Compare requests (hours, exchanges, floors) and wins (prices paid, exchanges, impressions per user)."""
    published = json.loads((ROOT / "published" / "ipinyou.json").read_text(encoding="utf-8"))
    requests = 300_000 if options.quick else 1_000_000
    # the published impressions per user hold at the scenario's ratio of users to requests
    size = {"requests": requests, "traffic.users": int(3.2 * requests), "log.wins": requests}
    scenario = bidsim.load_scenario(SCENARIO, {"seed": options.seed, **size})
    report = Report("realism", quick=options.quick)
    hours, exchanges, floors = _requests(scenario)
    result = bidsim.run(scenario)
    wins = result.tables["auctions"]
    names = list(scenario.settings.traffic.vocabulary()["exchange"])
    add = report.add
    add(Figure("hour_of_week_total_variation", variation(hours, published["hour_of_week_share"]), "", goal="<= 0.02"))
    add(
        Figure(
            "exchange_mix_of_requests_total_variation",
            variation(exchanges, [published["exchange_share_of_requests"][n] for n in names]),
            "",
            goal="<= 0.01",
        )
    )
    won = np.array([wins["exchange"].count(n) for n in names])
    add(
        Figure(
            "exchange_mix_of_wins_total_variation",
            variation(won, [published["exchange_share_of_wins"][n] for n in names]),
            "",
            goal="<= 0.01",
        )
    )
    add(
        Figure(
            "floors_of_requests_kolmogorov_smirnov",
            distance(floors, published["floor_cpm"], published["floor_share"]),
            "",
            goal="<= 0.05",
        )
    )
    paid = wins["payment_nanos"] / NANOS_PER_CPM
    add(
        Figure(
            "prices_paid_kolmogorov_smirnov",
            distance(paid, published["paid_cpm"], published["paid_share"]),
            "",
            goal="<= 0.08",
        )
    )
    counts = np.unique(wins["user"], return_counts=True)[1]
    add(
        Figure(
            "impressions_per_user_total_variation",
            variation(_grouped(np.bincount(counts)[1:]), _grouped(np.array(published["users_by_impressions"]))),
            "",
            goal="<= 0.05",
        )
    )
    add(Figure("win_rate", len(paid) / result.manifest["requests"], "share of requests"))
    return report


def _requests(scenario: Any) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Counts by hour of the week and by exchange, and all floors in CPM."""
    simulation, _ = build(scenario)
    hours, exchanges = np.zeros(168, np.int64), np.zeros(len(scenario.settings.traffic.exchanges), np.int64)
    floors = []
    for lo in range(0, simulation.total, _CHUNK):
        batch, _ = simulation.traffic.chunk(lo, min(lo + _CHUNK, simulation.total))
        hours += np.bincount((batch.time // HOUR) % 168, minlength=168)
        exchanges += np.bincount(batch.categories[:, EXCHANGE], minlength=len(exchanges))
        floors.append(batch.floor / NANOS_PER_CPM)
    return hours, exchanges, np.concatenate(floors)


def variation(counts: Any, shares: Any) -> float:
    """Total variation between counts and shares: half the sum of absolute differences."""
    counts, shares = np.asarray(counts, np.float64), np.asarray(shares, np.float64)
    return float(0.5 * np.abs(counts / counts.sum() - shares / shares.sum()).sum())


def distance(sample: NDArray[np.float64], values: list[float], shares: list[float]) -> float:
    """Kolmogorov-Smirnov distance between a sample and a discrete distribution."""
    order = np.argsort(values)
    points = np.unique(np.concatenate([np.asarray(values), sample]))
    published = np.concatenate([[0.0], np.cumsum(np.asarray(shares)[order])])[
        np.searchsorted(np.asarray(values)[order], points, side="right")
    ]
    own = np.searchsorted(np.sort(sample), points, side="right") / len(sample)
    return float(np.abs(own - published / published[-1]).max())


def _grouped(users: NDArray[np.int64]) -> NDArray[np.int64]:
    """Users with 1, 2, 3, 4 and 5 or more impressions."""
    padded = np.concatenate([users, np.zeros(_GROUPS, np.int64)])
    return np.concatenate([padded[: _GROUPS - 1], [padded[_GROUPS - 1 :].sum()]])
