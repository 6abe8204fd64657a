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
# # A policy of one's own, and an honest comparison
#
# A policy turns the value of an impression into a bid. It is one file: parameters, what it remembers, and one function
# that is compiled. This notebook writes one that bids less the more of the budget is gone, and asks whether that pays,
# on many worlds, with an interval.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import bidsim
from bidsim.experiments.compare import compare

folder = Path(tempfile.mkdtemp())
(folder / "careful.py").write_text('''
"""Bid less of the value the more of the budget is gone."""

from __future__ import annotations

from typing import Annotated, ClassVar

from numpy.typing import NDArray
import numpy as np
from pydantic import Field

from bidsim.core.contracts import OFFERS_SIGNATURE, Offers, Policy
from bidsim.core.kernel import kernel
from bidsim.core.settings import Number, Settings
from bidsim.core.units import price_of


class Params(Settings):
    """Parameters."""

    first: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.9
    """Part of the value that is bid with all of the budget left."""
    last: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.4
    """Part of the value that is bid when it is nearly gone."""


@kernel(OFFERS_SIGNATURE)
def bid(offers: Offers, lo: int, hi: int, floats: NDArray[np.float64], ints: NDArray[np.int64]) -> None:
    """Bid for offers ``lo`` to ``hi``."""
    for k in range(lo, hi):
        row = floats[offers.campaign[k]]
        gone = offers.spent[k] / max(offers.budget[k], 1)
        offers.bid[k] = price_of(offers.value[k] * offers.multiplier[k] * (row[0] + gone * (row[1] - row[0])))


class Careful(Policy):
    """The plug-in."""

    Params = Params
    floats: ClassVar = ("first", "last")
    bid = bid

    @staticmethod
    def start(params, brief):
        return {"first": params.first, "last": params.last}
''')

# %% [markdown]
# The file lies beside a scenario that names it. Code from outside the package is loaded only where that is allowed:
# `--allow-code` on the command line.

# %%
BASE = """
# Does it pay to bid less the more of the budget is gone?
name = "careful"
requests = 30_000
duration = "2d"
[traffic]
users = 8_000
[history]
requests = 60_000
[market]
kind = "landscape"
median_cpm = 4.0
[seats.main]
model = "oracle"
[products.soap]
price = 20.0
interest = "household"
click_rate = 0.1
conversion_rate = 0.2
[campaigns.mine]
advertiser = "me"
product = "soap"
budget = 120.0
policy = POLICY
"""
scenarios = []
for name, policy in (("flat", '{ name = "shaded", factor = 0.65 }'), ("careful", '{ name = "careful:Careful" }')):
    path = folder / f"{name}.toml"
    path.write_text(BASE.replace("POLICY", policy).replace('name = "careful"\nrequests', f'name = "{name}"\nrequests'))
    scenarios.append(bidsim.load_scenario(path, allow_code=True))
one = bidsim.run(scenarios[1])
print(one.campaigns[["campaign", "bids", "wins", "conversions", "payment_nanos"]].to_string(index=False))

# %% [markdown]
# **The comparison.** Both meet the same requests and the same dice in each of twelve worlds, so the difference is
# *paired* and its interval is narrow.

# %%
found = compare(scenarios, replications=12, seed=100, workers=1)
for row in found:
    print(
        f"{row.metric:<12} flat {row.base:8.2f}, careful {row.other:8.2f}: difference {row.interval.value:+.2f} "
        f"({row.interval.low:+.2f} to {row.interval.high:+.2f})"
    )

# %%
flat, careful = (
    [
        bidsim.run(bidsim.load_scenario(folder / f"{s}.toml", {"seed": seed}, allow_code=True)).summary["market"][
            "surplus_expected"
        ]
        for seed in range(12)
    ]
    for s in ("flat", "careful")
)
difference = np.array(careful) - np.array(flat)
figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
axes.axvline(0, color="#cbd2d9")
axes.plot(difference, np.arange(12), "o", color="#0b6e99")
mean, half = difference.mean(), 2.201 * difference.std(ddof=1) / np.sqrt(12)
axes.plot([mean - half, mean + half], [-1.5, -1.5], color="#c2571a", lw=3, label="mean, 95% interval")
axes.set_xlabel("expected surplus, careful less flat, in each world")
axes.set_yticks([])
axes.legend(frameon=False)
print(f"careful less flat: {mean:+.2f} ({mean - half:+.2f} to {mean + half:+.2f})")

# %% [markdown]
# To add the policy to bidsim itself, put the file into `bidsim/policies/` with one test: CONTRIBUTING.md, ten minutes.
