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
# # What a conversion model knows, and what it does not
#
# A conversion-rate (CVR) model is trained on logged traffic and asked what each impression is worth. It can be good at
# that and still say nothing about what *changes* conversions. Here the world is synthetic, so both can be held against
# the truth.

# %%
import matplotlib.pyplot as plt
import numpy as np

import bidsim

# %% [markdown]
# The quickstart market, smaller. Half of the users are in an *exploration slice*: for them dice set price, creative,
# landing page and delivery, and neither bidder nor model is told.

# %%
small = {"requests": 200_000, "history.requests": 1_000_000, "exploration.share": 0.5, "log.decisions": 8_000}
result = bidsim.run(bidsim.load_scenario("quickstart", small))
figures = result.manifest["evaluation"]["main"]
for name in ("model", "oracle", "base_rate"):
    print(f"{name:<10} AUC {figures[name]['auc']:.3f}   log-loss {figures[name]['log_loss']:.5f}")
assert figures["base_rate"]["log_loss"] > figures["model"]["log_loss"] > figures["oracle"]["log_loss"]

# %% [markdown]
# **What the model uses.** Shapley values of its trees, on sampled decisions: exact, and the same as `shap`'s, which
# draws them.

# %%
import shap

explanation = result.explain("main")
size = np.abs(explanation.values).mean(axis=0)
order = np.argsort(-size)[:10]
print("uses most:", ", ".join(explanation.feature_names[k] for k in order[:6]))
shap.plots.beeswarm(explanation, max_display=10, show=False)
plt.gcf().tight_layout()

# %% [markdown]
# `engagement` is a proxy of the user's hidden intent: the model uses it, rightly, for users with intent buy more. But
# nobody would sell more by raising a user's engagement score: in this world it has *no* effect of its own. An
# explanation of a model is an explanation of the model.

# %%
used = dict(zip(explanation.feature_names, size / size.sum(), strict=True))
print(
    f"engagement makes {100 * used['engagement']:.1f}% of the attributions, price {100 * used['price']:.1f}%; the "
    "true effect of engagement is 0"
)
assert used["engagement"] > 0

# %% [markdown]
# **What changes conversions.** From the exploration slice: the effect of an action on conversions, with an interval, or
# silence where dice have not told enough. Beside it what the model would say, were one to ask it the same question
# ("what if the price were 5% lower?"). And, because this world is ours, **the truth**: each lever is moved in the world
# itself, nothing else changes, and the week runs again.

# %%
from bidsim.experiments.grading.applied import true_uplifts
from bidsim.explain.advertiser import describe_advertiser

page = describe_advertiser(result, "morning")
rows = page["effects"]["levers"]
truth = true_uplifts(
    bidsim.load_scenario("quickstart", small), {("morning", row["lever"]): row["change"] for row in rows}
)
held = 0
for row in rows:
    told, believed, true = row["uplift"], row["model_says"], truth["morning", row["lever"]].expected
    held += told["low"] <= true <= told["high"]
    print(
        f"{row['lever']:<14} {row['change']:+.2f}: dice {100 * told['value']:+5.1f}% ({100 * told['low']:+.1f} to "
        f"{100 * told['high']:+.1f}), "
        f"model {100 * believed:+5.1f}%, truth {100 * true:+5.1f}%"
    )
assert held >= len(rows) - 1

# %% [markdown]
# The model is most wrong where it looks most useful: shops show keen users higher prices, so it has seen that dear
# offers sell, and advises to raise the price.

# %%
figure, axes = plt.subplots(figsize=(6.5, 2.8), layout="constrained")
for k, row in enumerate(rows):
    axes.plot([100 * row["uplift"]["low"], 100 * row["uplift"]["high"]], [k, k], color="#0b6e99", lw=2)
    axes.plot(
        100 * row["uplift"]["value"], k, "o", color="#0b6e99", label="dice, with 95% interval" if k == 0 else None
    )
    axes.plot(
        100 * row["model_says"], k, "x", color="#c2571a", ms=9, label="what the model would say" if k == 0 else None
    )
    axes.plot(
        100 * truth["morning", row["lever"]].expected,
        k,
        "|",
        color="#1f2933",
        ms=16,
        mew=2,
        label="the truth" if k == 0 else None,
    )
axes.axvline(0, color="#cbd2d9", lw=1)
axes.set_yticks(range(len(rows)), [f"{r['lever']} {r['change']:+.2g}" for r in rows])
axes.set_xlabel("change of conversions, %")
axes.legend(frameon=False, fontsize=8)

# %% [markdown]
# How far off such estimates are in general is graded on worlds drawn for the purpose: `python -m bench explanations`,
# docs/reference/grade.md.
#
# Next: [reading an advertiser's report](5_report.py). References: Lundberg and Lee, *A Unified Approach to Interpreting
# Model Predictions* (2017); Janzing et al., *Feature relevance quantification in explainable AI: a causal problem*
# (2020); Chapelle et al., *Simple and Scalable Response Prediction for Display Advertising* (2014).
