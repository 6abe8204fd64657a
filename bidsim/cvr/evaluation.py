"""How good predictions are: log-loss, normalised entropy, AUC, calibration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_TINY = 1e-15

F64 = NDArray[np.float64]


def log_loss(predicted: F64, label: F64, weight: F64) -> float:
    """Weighted mean of -log P(label), in nats."""
    p = np.clip(predicted, _TINY, 1.0 - _TINY)
    return float(-(weight * (label * np.log(p) + (1.0 - label) * np.log1p(-p))).sum() / weight.sum())


def normalised_entropy(predicted: F64, label: F64, weight: F64) -> float:
    """Log-loss over that of the base rate (He et al., ADKDD 2014, eq. 1); below 1 is better than guessing."""
    rate = float((weight * label).sum() / weight.sum())
    return log_loss(predicted, label, weight) / log_loss(np.full_like(predicted, rate), label, weight)


def auc(predicted: F64, label: F64, weight: F64) -> float:
    """Weighted area under the ROC curve; ties count half. NaN where only one class is present."""
    order = np.argsort(predicted, kind="stable")
    p, positive, negative = predicted[order], (weight * label)[order], (weight * (1.0 - label))[order]
    first = np.concatenate([[True], p[1:] != p[:-1]])
    groups = np.cumsum(first) - 1
    pos = np.bincount(groups, positive)
    neg = np.bincount(groups, negative)
    below = np.cumsum(neg) - neg
    if pos.sum() == 0 or neg.sum() == 0:
        return float("nan")
    return float((pos * (below + 0.5 * neg)).sum() / (pos.sum() * neg.sum()))


def evaluate(predicted: F64, label: F64, weight: F64, true_rate: F64) -> dict[str, float]:
    """All metrics of one model on labelled rows.

    Args:
        predicted: Predicted rates, float64[n].
        label: 1 for rows credited with a conversion, else 0.
        weight: How many logged rows each row stands for.
        true_rate: True probabilities of the labels.

    Returns:
        ``log_loss``, ``normalised_entropy``, ``auc``, ``brier``, ``calibration`` (predicted over observed) and
        ``prediction_over_truth`` (mean prediction over mean true probability).

    """
    total = float((weight * predicted).sum())
    observed = float((weight * label).sum())
    return {
        "log_loss": log_loss(predicted, label, weight),
        "normalised_entropy": normalised_entropy(predicted, label, weight),
        "auc": auc(predicted, label, weight),
        "brier": float((weight * (predicted - label) ** 2).sum() / weight.sum()),
        "calibration": total / observed if observed else float("nan"),
        "prediction_over_truth": total / float((weight * true_rate).sum()),
    }
