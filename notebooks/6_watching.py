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
# # Watching a model break
#
# A model is good on the day it is trained. Then a feature is no longer delivered, a tracker breaks, traffic comes from
# somewhere else. One AUC for everything hardly moves. Here faults are planted at a known moment, so an alarm can be
# graded: was it right, how soon, and how often does it cry wolf?

# %%
import matplotlib.pyplot as plt
import numpy as np

import bidsim
from bidsim.monitoring.monitor import monitor
from bidsim.monitoring.table import slice_table
from bidsim.monitoring.words import headline

SMALL = {"requests": 400_000, "history.requests": 700_000, "duration": "12d", "traffic.users": 40_000}
BUDGETS = {f"campaigns.{name}.budget": 150.0 for name in ("softly", "morning", "gloss", "fleur", "stride", "soundly")}


def run(*incidents):
    """Run the quiet market, with incidents where any are given."""
    return bidsim.run(bidsim.load_scenario("quiet_market", {**SMALL, **BUDGETS, "incidents": list(incidents)}))


# %% [markdown]
# **Quiet.** Six hundred slices, each with a handful of conversions in six hours. A rule that alarms at 20% more or less
# would sound all the time.

# %%
quiet = run()
calm = monitor(quiet)
detector = calm.detectors["conversions"]
mean, came = np.array(detector.means), np.array(detector.came)
rule = (mean >= 10) & (np.abs(came / np.maximum(mean, 1e-9) - 1) > 0.2)
print(
    f"{mean.shape[0]} windows, {mean.shape[1]} slices: a 20% rule alarms in {100 * rule.any(axis=1).mean():.0f}% of "
    f"the windows; incidents told here: {len(calm.pages)}"
)
assert rule.any(axis=1).mean() > 0.9

# %% [markdown]
# **Broken.** On day nine one advertiser's tracker dies.

# %%
broken = run({"kind": "tracker_outage", "advertiser": "gloss", "start": "8d"})
watch = monitor(broken)
for page in watch.pages:
    print(headline(page, watch))
assert [page.about.advertiser for page in watch.pages] == ["gloss"]

# %%
detector = watch.detectors["conversions"]
names = [s.name for s in watch.slicing.slices]
figure, axes = plt.subplots(2, 1, figsize=(7, 4), sharex=True, layout="constrained")
days = (np.arange(watch.quiet, watch.cells.windows) + 0.5) / 4
for one, name in zip(axes, ("all traffic", "gloss"), strict=True):
    s = names.index(name)
    expected, seen = np.array(detector.means)[:, s], np.array(detector.came)[:, s]
    half = 1.96 * np.sqrt(expected + detector.baseline.overdispersion[s] * expected**2)
    one.fill_between(
        days, np.maximum(expected - half, 0), expected + half, color="#e4e7eb", label="95% of quiet windows"
    )
    one.plot(days, expected, "--", color="#1f2933", lw=1, label="expected")
    one.plot(days, seen, color="#0b6e99", label="reported")
    one.axvline(8, color="#c2571a", lw=1)
    one.set_title(name, loc="left", fontsize=9)
axes[0].legend(frameon=False, fontsize=7, ncols=3)
axes[1].set_xlabel("days since the start")

# %% [markdown]
# The total hardly shows it. Neither does the AUC of all traffic, which nearly everybody watches:

# %%
for name, result, found in (("quiet", quiet, calm), ("broken", broken, watch)):
    table = slice_table(result, found, 32, 44)
    best = [auc for auc in table["auc"] if not np.isnan(auc)]
    print(
        f"{name}: calibration of all traffic {table['ratio'][0]:.2f}, of gloss "
        f"{table['ratio'][table['slice'].index('gloss')]:.2f}; AUC by level {min(best):.2f} to {max(best):.2f}"
    )

# %% [markdown]
# **A broken feature explains a broken slice.** When a feature fails, conversions fall out of line everywhere that it
# mattered. The page is about the feature.

# %%
watch = monitor(run({"kind": "feature_outage", "feature": "days_since_purchase", "start": "8d"}))
for page in watch.pages:
    print(headline(page, watch))
    print("  with", len(page.alarms), "alarms, of", ", ".join(sorted(page.kinds)))
assert watch.pages[0].about.field == "days_since_purchase"

# %% [markdown]
# How soon each kind of fault is noticed, at how many false alarms: docs/reference/watch.md. Next: [the split
# second](7_split_second.py). References: Shin, Ramdas, Rinaldo, *E-detectors* (2022); Shiryaev (1963); He et al.,
# *Practical Lessons from Predicting Clicks on Ads at Facebook* (2014), for normalised entropy.
