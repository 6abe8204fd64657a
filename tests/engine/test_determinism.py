"""Same seed, same bits: for any chunking, any number of threads, library or command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import bidsim
from bidsim.scenario.build import build
from tests.conftest import ROOT, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

TRAINED = {
    "seats.main.model": {"name": "lightgbm", "trees": 10},
    "history.requests": 20_000,
    "products.soap.conversion_rate": 0.5,
    "requests": 1500,
}


@pytest.mark.parametrize("chunk", [1, 7, 1_000])
def test_run__does_not_depend_on_chunk_size(run_small: Callable[..., bidsim.Result], chunk: int) -> None:
    assert fingerprint(run_small(chunk=chunk)) == fingerprint(run_small(chunk=65_536))


def test_run__does_not_depend_on_threads_process_or_front(small: Path, tmp_path: Path) -> None:
    here = bidsim.run(bidsim.load_scenario(small, TRAINED), progress=lambda *a: None)
    sets = [
        '--set=seats.main.model={ name = "lightgbm", trees = 10 }',
        *(f"--set={k}={v}" for k, v in TRAINED.items() if k != "seats.main.model"),
    ]
    for threads in ("1", "2", "4"):
        out = tmp_path / f"threads-{threads}"
        environment = {**os.environ, "NUMBA_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        subprocess.run(
            [sys.executable, "-m", "bidsim", "run", str(small), *sets, "--out", str(out)],
            cwd=ROOT,
            check=True,
            capture_output=True,
            env=environment,
        )
        there = bidsim.load_result(out)
        assert fingerprint(there) == fingerprint(here)
        assert there.models == {seat: dict(files) for seat, files in here.models.items()}


def test_run__differs_by_seed(run_small: Callable[..., bidsim.Result]) -> None:
    assert fingerprint(run_small()) != fingerprint(run_small({"seed": 4}))


def _stream(path: Path, overrides: dict[str, object]) -> list[bytes]:
    simulation, _ = build(bidsim.load_scenario(path, overrides))
    requests, latent = simulation.traffic.chunk(0, simulation.total)
    return [column.tobytes() for column in (*requests, *latent)]


def test_campaigns__policy_or_newcomer_leaves_the_request_stream_alone(small: Path) -> None:
    newcomer = {"advertiser": "new", "product": "lamp", "budget": 3.0}
    plain = _stream(small, {})
    assert _stream(small, {"campaigns.lamp.policy": "truthful"}) == plain
    assert _stream(small, {"campaigns.new-one": newcomer}) == plain


def test_campaigns__newcomer_without_money_leaves_everyone_elses_dice_alone(
    run_small: Callable[..., bidsim.Result],
) -> None:
    """A newcomer that can pay one nano never wins, so every other number must stay to the bit."""
    # a linear bid is anchored at the mean prediction on the history, which a newcomer changes; the others' dice are not
    same = {"campaigns.lamp.policy": "truthful"}
    plain = run_small(same)
    # its name sorts first, so every campaign's row number changes
    more = run_small(
        same
        | {"campaigns.aaa": {"advertiser": "aaa", "product": "lamp", "budget": 1e-9, "policy": {"name": "truthful"}}}
    )
    for table in ("campaigns", "auctions", "conversions", "timeline"):
        old, new = plain.frame(table), more.frame(table)
        new = new[new["campaign"] != "aaa"]
        keys = [c for c in old.columns if c in ("campaign", "request", "time_us", "start_us", "user")]
        old, new = old.sort_values(keys).reset_index(drop=True), new.sort_values(keys).reset_index(drop=True)
        assert old.equals(new[old.columns])


def test_dice__are_fixed_before_anyone_bids(run_small: Callable[..., bidsim.Result]) -> None:
    """Impressions that two policies both win have the same views and, at equal rates, the same clicks."""
    keep = {"response.fatigue": 0.0, "campaigns.lamp.pacing": "none", "campaigns.lamp.budget": 1000.0}
    cheap = run_small({**keep, "campaigns.lamp.policy": {"name": "linear", "base_cpm": 20.0}}).auctions
    dear = run_small({**keep, "campaigns.lamp.policy": {"name": "linear", "base_cpm": 60.0}}).auctions
    both = cheap.merge(dear, on=["request", "campaign"], suffixes=("", "_dear"))
    both = both[both["campaign"] == "lamp"]
    assert len(both) > 100
    assert (both["viewed"] == both["viewed_dear"]).all()
    same = np.isclose(both["true_click"], both["true_click_dear"])
    assert (both["clicked"][same] == both["clicked_dear"][same]).all()
