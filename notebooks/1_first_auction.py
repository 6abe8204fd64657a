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
# # A first auction, and revenue equivalence
#
# Two bidders, each with a value for the impression that only it knows, drawn uniformly from [0, 1]. Who should win, and
# what should the winner pay? Vickrey (1961) found that it hardly matters: if bidders know what they are doing, the
# seller earns the same from a *second-price* auction, in which the winner pays the other's bid, and from a
# *first-price* auction, in which it pays its own. Here the engine that runs whole markets runs just this auction, some
# hundred thousand times.

# %%
import matplotlib.pyplot as plt
import numpy as np

import bidsim
from bidsim.scenario.load import scenario_of

AUCTIONS = 100_000


def market(auction, policy, bidders=2):
    """Run one textbook auction many times; what the seller and the bidders get from each."""
    world = {
        "name": "textbook",
        "requests": AUCTIONS,
        "count": "exact",
        "duration": "1d",
        "values": {"kind": "independent"},
        "auction": auction,
        "campaigns": {f"bidder-{k}": {"budget": 1e9, "policy": policy} for k in range(bidders)},
    }
    found = bidsim.run(scenario_of(world)).summary["market"]
    return found["revenue"] / AUCTIONS, found["surplus_expected"] / AUCTIONS


# %% [markdown]
# **Second price, truthful bids.** To bid one's value is a dominant strategy: the bid decides whether one wins, and
# never what one pays. The expected payment is the smaller of two uniform values, 1/3.

# %%
second = market({"format": "second_price"}, "truthful")
print(f"second price, truthful: revenue {second[0]:.4f} (theory {1 / 3:.4f}), left to the bidders {second[1]:.4f}")

# %% [markdown]
# **First price.** To bid one's value leaves nothing. In equilibrium a bidder with value v bids what it expects the
# other's value to be, given that it wins: v/2 against one rival, (n-1)/n v against n-1 (Krishna, *Auction Theory*,
# proposition 2.2).

# %%
naive = market({"format": "first_price"}, "truthful")
wise = market({"format": "first_price"}, {"name": "equilibrium", "bidders": 2})
print(f"first price, truthful:    revenue {naive[0]:.4f}, left to the bidders {naive[1]:.4f}")
print(f"first price, equilibrium: revenue {wise[0]:.4f}, left to the bidders {wise[1]:.4f}")
assert abs(second[0] - wise[0]) < 0.005, "revenue equivalence"

# %% [markdown]
# The two agree to the sampling error, and so they do for any number of bidders: the seller gets (n-1)/(n+1).

# %%
numbers = [2, 3, 4, 6]
measured = {
    "second price, truthful": [market({"format": "second_price"}, "truthful", n)[0] for n in numbers],
    "first price, equilibrium": [
        market({"format": "first_price"}, {"name": "equilibrium", "bidders": n}, n)[0] for n in numbers
    ],
}
figure, axes = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
line = np.linspace(2, 6, 50)
axes.plot(line, (line - 1) / (line + 1), color="#cbd2d9", lw=3, label="theory, (n - 1) / (n + 1)")
for (name, values), marker in zip(measured.items(), "os", strict=True):
    axes.plot(numbers, values, marker, ms=8, label=name, fillstyle="none" if marker == "s" else "full")
axes.set_xlabel("bidders")
axes.set_ylabel("revenue from one impression")
axes.set_xticks(numbers)
axes.legend(frameon=False)
figure.suptitle("Different rules, the same revenue", x=0.02, ha="left")

# %% [markdown]
# **What breaks it.** A reserve price helps the seller in both formats alike, if it is the right one: it should be the
# value at which the virtual valuation v - (1 - F(v)) / f(v) is zero, 1/2 here whatever the number of bidders (Myerson
# 1981).

# %%
reserves = np.linspace(0.0, 0.9, 10)
revenue = [market({"format": "second_price", "reserve_cpm": 1000 * r}, "truthful")[0] for r in reserves]
figure, axes = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
axes.plot(reserves, revenue, "o", label="measured")
axes.plot(reserves, 1 / 3 + reserves**2 - 4 / 3 * reserves**3, color="#cbd2d9", lw=2, label="theory")
axes.axvline(0.5, color="#c2571a", lw=1, label="Myerson's reserve")
axes.set_xlabel("reserve price")
axes.set_ylabel("revenue")
axes.legend(frameon=False)
assert reserves[int(np.argmax(revenue))] in (0.4, 0.5, 0.6)

# %% [markdown]
# Next: [shading in a first-price market](2_shading.py). References: Vickrey, *Counterspeculation, Auctions, and
# Competitive Sealed Tenders* (1961); Myerson, *Optimal Auction Design* (1981); Krishna, *Auction Theory* (2010),
# chapters 2 and 5.
