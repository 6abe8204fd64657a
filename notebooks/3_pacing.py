# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Pacing under a budget, and regret
#
# A budget that would be gone by noon must be made to last. To sit out auctions at random is one way; to bid less in all
# of them is another. The second is right in theory: with a budget the best one can do in hindsight is to bid
# value / (1 + mu) with one multiplier mu for the whole flight, so that just the cheapest value is bought (Balseiro and
# Gur 2019). Regret is what a pacer keeps less than that bidder, who knew everything.

# %%
import matplotlib.pyplot as plt
import numpy as np

import bidsim
from bidsim.metrics.hindsight import best_in_hindsight
from bidsim.scenario.load import scenario_of

PACERS = ["none", "even", "adaptive", "pid", "throttle"]


def run(pacing, requests=40_000, budget=0.08):
    """Run one bidder with a budget of ``budget`` a request in second-price auctions.

    Every bid is kept, for regret needs it.
    """
    world = {
        "name": "pacing",
        "requests": requests,
        "count": "exact",
        "duration": "1d",
        "traffic": {"hours": "flat"},
        "values": {"kind": "independent"},
        "auction": {"format": "second_price"},
        "market": {"kind": "distribution"},
        "campaigns": {"me": {"budget": budget * requests, "policy": "truthful", "pacing": pacing}},
        "log": {"decisions": 10_000_000, "wins": 10_000_000, "bucket": "30m"},
    }
    return bidsim.run(scenario_of(world))


# %% [markdown]
# Traffic is flat here, so the ideal is a straight line that ends at the last minute. *none* bids its value until the
# money is gone; *throttle* and *even* stay near the line by sitting out; *adaptive* and *pid* by bidding less. Two
# lines may look alike and yet have bought very different things: what counts is below the picture.

# %%
results = {pacing: run(pacing) for pacing in PACERS}
figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
for name, result in results.items():
    line = result.timeline
    axes.plot(
        line["start_us"] / 3.6e9,
        np.cumsum(line["payment_nanos"]) / result.campaigns["budget_nanos"].iloc[0],
        label=name,
    )
axes.set_xlabel("hour")
axes.set_ylabel("part of the budget that is spent")
axes.legend(frameon=False)
figure.suptitle("Without a pacer the money is gone early", x=0.02, ha="left")

# %% [markdown]
# How much value each could have bought with the same money is the best in hindsight: all impressions sorted by value
# for money, bought from the top until the budget is spent (a knapsack, and with many small items the greedy solution is
# the optimum).

# %%
rows = {}
for name, result in results.items():
    bids = result.bids
    best = best_in_hindsight(
        bids["value_nanos"].to_numpy(),
        bids["minimum_bid_nanos"].to_numpy(),
        int(result.campaigns["budget_nanos"].iloc[0]),
    )
    row = result.campaigns.iloc[0]
    rows[name] = (row["value_nanos"] / 1e9, best.value / 1e9, row["payment_nanos"] / row["budget_nanos"])
for name, (got, possible, spent) in rows.items():
    print(
        f"{name:<10} bought {got:8.1f} of {possible:8.1f} that could have been bought ({100 * got / possible:5.1f}%), "
        f"spent {100 * spent:5.1f}%"
    )
assert rows["adaptive"][0] > rows["none"][0]
assert rows["adaptive"][0] > 0.97 * rows["adaptive"][1]

# %% [markdown]
# Adaptive pacing moves its multiplier by a small step after every auction, up when it spends less than the target and
# down when it spends more. With steps of 1/sqrt(T) its regret grows with the square root of the number of auctions, so
# its share of the whole vanishes.

# %%
sizes = [2_500, 10_000, 40_000]
lost = []
for size in sizes:
    result = run("adaptive", size)
    bids = result.bids
    best = best_in_hindsight(
        bids["value_nanos"].to_numpy(),
        bids["minimum_bid_nanos"].to_numpy(),
        int(result.campaigns["budget_nanos"].iloc[0]),
    )
    lost.append(1 - result.campaigns["value_nanos"].iloc[0] / best.value)
figure, axes = plt.subplots(figsize=(5.5, 3), layout="constrained")
axes.loglog(sizes, np.maximum(lost, 1e-5), "o-", label="adaptive")
axes.loglog(sizes, max(lost[0], 1e-5) * np.sqrt(sizes[0] / np.array(sizes)), color="#cbd2d9", label="as 1 / sqrt(T)")
axes.set_xlabel("auctions")
axes.set_ylabel("part of the best value that is lost")
axes.legend(frameon=False)

# %% [markdown]
# Next: [what a conversion model knows](4_model_and_truth.py). References: Balseiro and Gur, *Learning in Repeated
# Auctions with Budgets* (Management Science 2019); Conitzer et al., *Multiplicative Pacing Equilibria in Auction
# Markets* (2018).
