"""Pictures of the latency benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from bench.decisions import DECISION
from bidsim.engine.deadline import STAGES

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OURS, _THEIRS = "#1f6f8b", "#c8553d"


def draw(
    folder: Path,
    stages: dict[int, NDArray[np.float64]],
    load: list[tuple[float, NDArray[np.float64]]],
    growth: dict[str, list[tuple[int, float, float]]],
) -> None:
    """Write all pictures as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    _histogram(folder / "decision.png", stages)
    _stages(folder / "stages.png", stages)
    _under_load(folder / "under_load.png", load)
    for what, found in growth.items():
        _growth(folder / f"growth_{what}.png", what, found)
    _campaigns(folder / "growth_campaigns.png", stages)


def _finish(figure: Figure, axes: Axes, path: Path, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11)
    if axes.get_yscale() == "log":
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _histogram(path: Path, stages: dict[int, NDArray[np.float64]]) -> None:
    """Decision time by percentile, as HDR histograms are drawn."""
    figure, axes = plt.subplots(figsize=(7.5, 4.2))
    for campaigns, times in stages.items():
        decision = np.sort(times[:, DECISION].sum(axis=1)) / 1e3
        beyond = 1 / (1 - (np.arange(len(decision)) + 0.5) / len(decision))
        axes.plot(beyond, decision, lw=1.8, label=f"{campaigns:,} eligible")
    axes.set(xscale="log", yscale="log", xlabel="percentile", ylabel="decision, microseconds")
    marks = [(1 / (1 - q), label) for q, label in ((0.0, "0"), (0.5, "50"), (0.9, "90"), (0.99, "99"), (0.999, "99.9"))]
    axes.set_xticks([m for m, _ in marks], [label for _, label in marks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    _finish(figure, axes, path, "Time of a whole decision, by percentile")


def _stages(path: Path, stages: dict[int, NDArray[np.float64]]) -> None:
    figure, axes = plt.subplots(figsize=(7.5, 3.2))
    left = np.zeros(len(stages))
    labels = [f"{c:,} eligible" for c in stages]
    for j, name in ((j, STAGES[j]) for j in DECISION):
        share = np.array([np.median(t[:, j]) / np.median(t[:, DECISION], axis=0).sum() for t in stages.values()])
        axes.barh(labels, share, left=left, label=name)
        left += share
    axes.set(xlabel="share of the decision's median", xlim=(0, 1))
    axes.legend(frameon=False, ncol=6, loc="upper center", bbox_to_anchor=(0.5, -0.22), fontsize=8)
    _finish(figure, axes, path, "Where a decision's time goes")


def _under_load(path: Path, load: list[tuple[float, NDArray[np.float64]]]) -> None:
    figure, axes = plt.subplots(figsize=(7.5, 4.0))
    rates = [rate / 1e3 for rate, _ in load]
    for label, q, colour in (("p50", 0.5, _OURS), ("p99", 0.99, _THEIRS), ("p99.9", 0.999, "#8c7aa9")):
        axes.plot(rates, [np.quantile(t, q) / 1e3 for _, t in load], "o-", color=colour, label=label)
    axes.set(
        yscale="log",
        xlabel="thousand requests a second, arriving whether or not the loop is free",
        ylabel="microseconds from arrival",
    )
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    _finish(figure, axes, path, "Latency with queueing, 100 eligible campaigns")


def _growth(path: Path, what: str, found: list[tuple[int, float, float]]) -> None:
    figure, axes = plt.subplots(figsize=(5.2, 3.6))
    sizes = [s for s, _, _ in found]
    axes.plot(sizes, [t / 1e3 for _, _, t in found], "o-", color=_THEIRS, label="LightGBM's C API")
    axes.plot(sizes, [o / 1e3 for _, o, _ in found], "o-", color=_OURS, label="bidsim")
    axes.set(xscale="log", yscale="log", xlabel=what, ylabel="microseconds a row")
    axes.set_xticks(sizes, [str(s) for s in sizes])
    axes.minorticks_off()
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    _finish(figure, axes, path, f"One row, as {what} grow")


def _campaigns(path: Path, stages: dict[int, NDArray[np.float64]]) -> None:
    figure, axes = plt.subplots(figsize=(5.2, 3.6))
    sizes = list(stages)
    axes.plot(sizes, [np.median(t[:, DECISION].sum(axis=1)) / 1e3 for t in stages.values()], "o-", color=_OURS)
    axes.set(xscale="log", yscale="log", xlabel="eligible campaigns", ylabel="microseconds a decision, median")
    axes.set_xticks(sizes, [str(s) for s in sizes])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    _finish(figure, axes, path, "A decision, as campaigns grow")
