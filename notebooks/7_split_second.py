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
# # The split second
#
# An exchange waits some 100 milliseconds for bids, network included; what comes later is lost. A larger model predicts
# better and answers later. Is it worth it? That cannot be answered by a table of AUCs, nor by one of latencies: it
# takes a market with a clock.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import bidsim

# each of the fewer requests stands for more real ones, and each tree takes four times as long,
# so that small models tell the same story
SMALL = {
    "requests": 40_000,
    "deadline.volume": 375_000,
    "seats.main.decision.per_tree": 300.0,
    "history.requests": 200_000,
    "history.duration": "20d",
    "history.warmup": "5d",
}


FOLDER = Path(tempfile.mkdtemp())


def run(trees, tmax):
    """Run with a model of so many trees; it is trained the first time, and used again afterwards."""
    trained = FOLDER / str(trees)
    model = (
        {"seats.main.model.path": str(trained / "model" / "main")}
        if trained.exists()
        else {"seats.main.model.trees": trees, "seats.main.model.learning_rate": 0.04}
    )
    result = bidsim.run(bidsim.load_scenario("slow_model", {**SMALL, **model, "deadline.tmax": tmax}))
    if not trained.exists():
        result.save(trained)
    return result


# %% [markdown]
# Three sizes of model, each with 100 milliseconds and with all the time in the world. Without a clock the largest model
# should earn the most, for its log-loss is the lowest; with a clock it pays for every tree.

# %%
TREES = [10, 75, 150]
found, loss = {}, 0.0
for trees in TREES:
    for tmax in ("100ms", "1h"):
        result = run(trees, tmax)
        loss = result.manifest["evaluation"]["main"]["model"]["log_loss"] if tmax == "100ms" else loss
        late = result.frame("seats").set_index("seat").loc["main"]
        found[trees, tmax] = (loss, late["late"] / late["decisions"], result.summary["market"]["surplus_expected"])
for (trees, tmax), (loss, late, surplus) in found.items():
    print(f"{trees:4} trees, {tmax:>5}: log-loss {loss:.5f}, late {100 * late:5.1f}%, surplus {surplus:8.2f}")

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for tmax, colour in (("100ms", "#0b6e99"), ("1h", "#9aa5b1")):
    axes[0].plot(TREES, [100 * found[t, tmax][1] for t in TREES], "o-", color=colour, label=f"tmax {tmax}")
    axes[1].plot(TREES, [found[t, tmax][2] for t in TREES], "o-", color=colour)
for one, label in zip(axes, ("late answers, %", "expected surplus"), strict=True):
    one.set_xscale("log")
    one.set_xlabel("trees")
    one.set_ylabel(label)
axes[0].legend(frameon=False)
assert found[150, "100ms"][1] > found[10, "100ms"][1] + 0.1, "more trees, more late answers"
assert found[150, "1h"][1] == 0.0

# %% [markdown]
# The model's own time is what the scenario declares (`decision.per_tree`), so that results are the same on every
# machine. What *this* machine really takes is measured on the very loop that the simulation runs:

# %%
times = run(75, "100ms").manifest["stage_nanoseconds"]
for stage, figures in times.items():
    if isinstance(figures, dict) and "p50" in figures:
        print(f"{stage:<10} {figures['p50'] / 1000:6.2f} us (median), {figures['p99'] / 1000:6.2f} us (p99)")

# %% [markdown]
# Next: [a policy of one's own](8_own_policy.py). More: docs/choose/deadlines.md; `python -m bench latency` measures the
# decision beside LightGBM's C API and lleaves.
