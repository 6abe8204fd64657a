"""AuctionGym's second-price world: what its six oracle bidders earn, against published code run for two million opportunities."""

from __future__ import annotations

import numpy as np

import bidsim
from bench import auctiongym
from tests.conftest import SCENARIOS

# per opportunity, from AuctionGym's SP_Oracle configuration, seed 0 of its catalogue; revenue's standard error is 0.0002
REVENUE, WELFARE, CLICKS = 0.41199, 0.71856, 0.5686
NETS = [0.04597, 0.04805, 0.03367, 0.08474, 0.04690, 0.04724]
SIGMAS = 3.0


def test_world__agrees_with_auctiongym() -> None:
    result = bidsim.run(bidsim.load_scenario(SCENARIOS / "auctiongym_sp_oracle.toml"), progress=lambda *a: None)
    n = result.manifest["requests"]
    assert n == 2_000_000
    table = result.campaigns.set_index("campaign")
    spread = {"revenue": 0.283, "welfare": 0.653, "clicks": 0.495, "net": 0.32}

    def close(found: float, expected: float, sd: float) -> bool:
        # both sides are simulated with as many opportunities
        return abs(found - expected) <= SIGMAS * sd * np.sqrt(2.0 / n)

    worth = table["true_rate_sum"] * table["conversion_value_nanos"] / 1e9
    paid = table["payment_nanos"] / 1e9
    assert close(paid.sum() / n, REVENUE, spread["revenue"])
    assert close(worth.sum() / n, WELFARE, spread["welfare"])
    assert close(table["conversions"].sum() / n, CLICKS, spread["clicks"])
    for k, net in enumerate(NETS):
        assert close((worth - paid)[f"agent-{k + 1}"] / n, net, spread["net"])


def test_numpy_twin__plays_the_same_world() -> None:
    found, _ = auctiongym.play(500_000, 3)
    assert abs(found["revenue"] - REVENUE) < 4 * 0.283 / np.sqrt(500_000)
    assert abs(found["clicks"] - CLICKS) < 4 * 0.495 / np.sqrt(500_000)
    assert abs(found["net_4"] - NETS[3]) < 4 * 0.32 / np.sqrt(500_000)
