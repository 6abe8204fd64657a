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
# # Reading an advertiser's report
#
# An advertiser asks: where did my money go, what drives my conversions, what should I change, and how sure is that?
# `bidsim report RUN` writes a page for each; here is what stands on it, and what the simulation knows to be true.

# %%
import matplotlib.pyplot as plt

import bidsim
from bidsim.explain.advertiser import describe_advertiser

small = {"requests": 300_000, "history.requests": 800_000, "exploration.share": 0.5}
result = bidsim.run(bidsim.load_scenario("quickstart", small))
page = describe_advertiser(result, "gloss")
head = page["headline"]
print(
    f"spend {head['spend']:.2f}, conversions {head['conversions']['value']:.0f} ({head['conversions']['low']:.0f} to "
    f"{head['conversions']['high']:.0f})"
)

# %% [markdown]
# **Where opportunities went.** Every request ends as a win or as a loss with a reason, and they add up.

# %%
campaigns = result.campaigns.query("advertiser == 'gloss'").set_index("campaign")
lost = campaigns[[c for c in campaigns.columns if c.startswith("lost_")]]
assert (lost.sum(axis=1) + campaigns["wins"] == campaigns["requests"]).all()
targeted = lost.drop(columns="lost_not_targeted")
axes = (100 * targeted.div(targeted.sum(axis=1) + campaigns["wins"], axis=0)).plot.barh(
    stacked=True, figsize=(7, 2.4), colormap="tab20c"
)
axes.set_xlabel("% of targeted requests")
axes.legend(frameon=False, fontsize=7, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))

# %% [markdown]
# **Advice.** An action is told with what it should bring, and only where the chance that even its direction is wrong is
# below 2.5%. What is not known is told, too, with the experiment that would settle it.

# %%
for action in page["advice"]["actions"]:
    told = action["uplift"]
    print(
        f"do: {action['lever']} {action['change']:+.2g}: conversions {100 * told['value']:+.1f}% "
        f"({100 * told['low']:+.1f} to {100 * told['high']:+.1f})"
    )
for row in page["advice"]["silent"]:
    print(f"not told: {row['lever']}: {row['silence']}; {row['needed']:,} randomised conversions would settle 5%")

# %% [markdown]
# **What the ads caused.** Conversions are *credited* to ads, whoever caused them. A twentieth of the users never see
# this advertiser's ads: the difference is what ads cause. The simulation knows it exactly, for it runs each user a
# second time without ads, with the same dice.

# %%
lines = result.incrementality.query("advertiser == 'gloss'").set_index("product")
caused = lines["served_purchases"] - lines["served_purchases_without_ads"]
credited = campaigns.groupby("product")["conversions"].sum()
figure, axes = plt.subplots(figsize=(5.5, 2.4), layout="constrained")
axes.barh([f"{p}: credited" for p in credited.index], credited, color="#9aa5b1")
axes.barh([f"{p}: caused" for p in caused.index], caused, color="#0b6e99")
axes.set_xlabel("purchases")
print((caused / credited).round(2).to_dict())

# %% [markdown]
# Shampoo is bought every six weeks anyway, and last-click credit collects it; perfume is not. Next: [watching a model
# break](6_watching.py). References: Johnson, Lewis, Nubbemeyer, *Ghost Ads* (2017); Gordon et al., *A Comparison of
# Approaches to Advertising Measurement* (2019).
