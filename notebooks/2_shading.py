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
# # Shading in a first-price market
#
# Since about 2019 most exchanges are first-price: the winner pays its bid. Whoever still bids its value wins often and
# keeps nothing. How much less to bid depends on the highest rival bid, which nobody tells, or tells only afterwards.
# This notebook bids against a market whose prices are known to us and not to the bidder, and looks at how quickly
# policies learn to *shade*.

# %%
import matplotlib.pyplot as plt
import numpy as np

import bidsim
from bidsim.scenario.load import scenario_of

WORLD = {
    "name": "shading",
    "requests": 60_000,
    "count": "exact",
    "duration": "1d",
    "values": {"kind": "independent"},
    "auction": {"format": "first_price"},
    "market": {"kind": "distribution"},
}


def surplus(policy, **changes):
    """Run one bidder against the market; what it keeps of an auction, and how often it wins."""
    world = {**WORLD, **changes, "campaigns": {"me": {"budget": 1e9, "policy": policy}}}
    result = bidsim.run(scenario_of(world))
    row = result.campaigns.iloc[0]
    return (row["value_nanos"] - row["payment_nanos"]) / 1e9 / result.manifest["requests"], row[
        "wins"
    ] / result.manifest["requests"]


# %% [markdown]
# **One factor for all values.** Values and the highest rival bid are both uniform on [0, 1]: a bid of b wins with
# probability b, so the best answer to a value v is v/2, and a factor of 0.5 should be best.

# %%
factors = np.linspace(0.1, 1.0, 10)
kept = [surplus({"name": "shaded", "factor": float(f)})[0] for f in factors]
best = factors[int(np.argmax(kept))]
figure, axes = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
axes.plot(factors, kept, "o-")
axes.plot(factors, factors * (1 - factors) / 3, color="#cbd2d9", lw=2, zorder=0, label="theory, f (1 - f) / 3")
axes.set_xlabel("bid over value")
axes.set_ylabel("kept from one auction")
axes.legend(frameon=False)
assert abs(best - 0.5) < 0.11
print(f"best factor {best:.1f}; truthful bids keep {kept[-1]:.4f}, the best ones {max(kept):.4f}")

# %% [markdown]
# **Learning it.** Nobody knows the market's distribution. `learned_shading` keeps a histogram of the lowest bid that
# would have won, which the exchange tells after each auction; `logistic_shading` fits a win-rate curve and works where
# only wins and losses are told; the bandits try factors.

# %%
names = ["truthful", "shaded", "learned_shading", "logistic_shading", "thompson", "ucb", "exp_weights"]
found = {name: surplus(name if name != "shaded" else {"name": "shaded", "factor": 0.5}) for name in names}
figure, axes = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
axes.barh(list(found), [value for value, _ in found.values()], color="#0b6e99")
axes.axvline(1 / 12, color="#c2571a", lw=1, label="best possible, 1/12")
axes.invert_yaxis()
axes.set_xlabel("kept from one auction, learning included")
axes.legend(frameon=False)
assert found["learned_shading"][0] > 0.9 / 12

# %% [markdown]
# **What the exchange tells matters.** With `tell_minimum = false` a loser hears only that it lost, and the histogram
# must be guessed from bids that won and bids that did not.

# %%
for name in ("learned_shading", "logistic_shading"):
    told, silent = (surplus(name, auction={"format": "first_price", "tell_minimum": flag})[0] for flag in (True, False))
    print(f"{name:<18} keeps {told:.4f} when the lowest winning bid is told, {silent:.4f} when it is not")

# %% [markdown]
# Next: [pacing under a budget](3_pacing.py). References: Zhang, Kitts et al., *Bid Shading in the Brave New World of
# First-Price Auctions* (CIKM 2020); Han, Zhou, Weissman, *Optimal No-Regret Learning in Repeated First-Price Auctions*
# (2020).
